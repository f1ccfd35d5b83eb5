import ClusterAgent
import Foundation
import KubernetesAPI
import Logging
import Routing
import Settings
import Telemetry
import Testing

/// The agent with a token file, and otherwise these flags and this environment.
private func settings(
    _ flags: [AgentSettings.Name: String?] = [:], environment: [String: String] = [:]
) throws -> AgentSettings {
    let token = FileManager.default.temporaryDirectory.appendingPathComponent("token-\(UUID().uuidString)")
    try Data("t0ken\n".utf8).write(to: token)
    defer { try? FileManager.default.removeItem(at: token) }
    let required: [AgentSettings.Name: String?] = [.gatewayURL: "wss://gateway:8443", .tokenFile: token.path]
    return try AgentSettings(
        SettingsReader(
            flags: required.merging(flags) { $1 }, environment: environment,
            prefix: AgentSettings.environmentPrefix))
}

@Suite("Agent settings")
struct AgentSettingsTests {
    @Test("Only the gateway's URL and the token file are required; the rest has defaults")
    func defaults() throws {
        let settings = try settings()
        #expect(settings.gatewayURL.description == "wss://gateway:8443")
        #expect(settings.clusterUUID == nil)
        #expect(settings.sync == .auto)
        #expect(settings.loadBalancerGrace == .seconds(120))
        #expect(settings.ingressController == nil)
        #expect(settings.clusterDomain.text == "cluster.local")
        #expect(settings.gatewayDomain.text == "gateway.pipeops.io")
        #expect(!settings.allowLoopbackTargets)
        #expect(settings.adminListen.description == "127.0.0.1:8083")
        #expect(settings.connectTimeout == .seconds(5))
        #expect(settings.responseTimeout == .seconds(600))
        #expect(settings.idleTimeout == .seconds(3600))
        #expect(settings.tunnelMemory == 64 * 1024 * 1024)
        #expect(settings.maxStreams == 1024)
        #expect(settings.reconnectMin == .milliseconds(500))
        #expect(settings.reconnectMax == .seconds(30))
        #expect(settings.shutdownGrace == .seconds(30))
        #expect(settings.logFormat == .json)
        #expect(settings.logLevel == .info)
        #expect(!"\(settings)".contains("t0ken"))
    }

    @Test("Values are read from the environment")
    func environment() throws {
        let settings = try settings(environment: [
            "PIPEOPS_AGENT_INGRESS_CONTROLLER": "ingress-nginx/controller", "PIPEOPS_AGENT_SYNC": "never",
            "PIPEOPS_AGENT_CLUSTER_UUID": "ABC-123", "PIPEOPS_AGENT_ALLOW_LOOPBACK_TARGETS": "true",
        ])
        #expect(settings.ingressController == ObjectKey(namespace: "ingress-nginx", name: "controller"))
        #expect(settings.sync == .never)
        #expect(settings.clusterUUID == "abc-123")
        #expect(settings.allowLoopbackTargets)
    }

    @Test(
        "A bad value gives one line that names the setting",
        arguments: [
            (.clusterUUID, "a.b"), (.clusterUUID, "a_b"), (.clusterUUID, ""), (.gatewayURL, "https://gateway"),
            (.gatewayURL, "wss://gateway/path"), (.gatewayURL, "gateway:443"), (.gatewayCAFile, "/no/file"),
            (.tokenFile, "/no/file"), (.kubeconfig, "/no/file"), (.context, ""), (.sync, "sometimes"),
            (.loadBalancerGrace, "2"), (.ingressController, "controller"), (.ingressController, "a/b/c"),
            (.ingressController, "/c"), (.clusterDomain, "*.local"), (.gatewayDomain, "a..b"),
            (.allowLoopbackTargets, "perhaps"), (.adminListen, "8083"), (.connectTimeout, "0s"),
            (.responseTimeout, "forever"), (.idleTimeout, "5"), (.tunnelMemory, "1KiB"), (.maxStreams, "0"),
            (.reconnectMin, "1ms"), (.reconnectMax, "2h"), (.reconnectMax, "100ms"), (.shutdownGrace, "x"),
            (.logFormat, "xml"), (.logLevel, "loud"),
        ] as [(AgentSettings.Name, String)])
    func badValues(name: AgentSettings.Name, value: String) {
        let error = #expect(throws: SettingsError.self) { try settings([name: value]) }
        #expect(error?.description.hasPrefix("--\(name.rawValue): \"\(value)\" ") == true, "\(error as Any)")
        #expect(error?.description.contains(where: \.isNewline) == false)
    }

    @Test("What is required and missing is named", arguments: [.gatewayURL, .tokenFile] as [AgentSettings.Name])
    func missing(name: AgentSettings.Name) {
        let error = #expect(throws: SettingsError.self) { try settings([name: nil]) }
        #expect(error?.setting == "--\(name.rawValue)")
    }
}
