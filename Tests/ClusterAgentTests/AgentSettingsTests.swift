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
    _ flags: [AgentSettings.Name: String?] = [:], environment: [String: String] = [:], podNamespace: String? = nil
) throws -> AgentSettings {
    let token = FileManager.default.temporaryDirectory.appendingPathComponent("token-\(UUID().uuidString)")
    try Data("t0ken\n".utf8).write(to: token)
    defer { try? FileManager.default.removeItem(at: token) }
    let required: [AgentSettings.Name: String?] = [.gatewayURL: "wss://gateway:8443", .tokenFile: token.path]
    return try AgentSettings(
        SettingsReader(
            flags: required.merging(flags) { $1 }, environment: environment,
            prefix: AgentSettings.environmentPrefix), podNamespace: podNamespace, environment: environment)
}

@Suite("Agent settings")
struct AgentSettingsTests {
    @Test("Only the gateway's URL and the token file are required; the rest has defaults")
    func defaults() throws {
        let settings = try settings()
        #expect(settings.gatewayURL.description == "wss://gateway:8443")
        #expect(settings.gatewayServerName == nil)
        #expect(settings.gatewayClientCertificate == nil)
        #expect(settings.gatewayProxy == nil)
        #expect(settings.tunnels == 2)
        #expect(settings.clusterUUID == nil)
        #expect(settings.sync == .auto)
        #expect(settings.loadBalancerGrace == .seconds(120))
        #expect(settings.ingressController == nil)
        #expect(settings.ingressControllerProtocol == .auto)
        #expect(settings.backendCAFile == nil)
        #expect(settings.ingressClasses == [])
        #expect(settings.ingressSelector == nil)
        #expect(settings.namespaces == [])
        #expect(!settings.updateIngressStatus)
        #expect(
            settings.leaderElection
                == .init(
                    lease: ObjectKey(namespace: "pipeops-system", name: "pipeops-agent"), leaseDuration: .seconds(15),
                    renewDeadline: .seconds(10), retryPeriod: .seconds(2)))
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
            (.gatewayServerName, "*.example.com"), (.gatewayClientCertificate, "/no/file"),
            (.gatewayClientKey, "/no/file"), (.tunnels, "0"), (.tunnels, "17"),
            (.tokenFile, "/no/file"), (.kubeconfig, "/no/file"), (.context, ""), (.sync, "sometimes"),
            (.loadBalancerGrace, "2"), (.ingressController, "controller"), (.ingressController, "a/b/c"),
            (.ingressController, "/c"), (.ingressControllerProtocol, "https"), (.backendCAFile, "/no/file"),
            (.clusterDomain, "*.local"), (.gatewayDomain, "a..b"),
            (.allowLoopbackTargets, "perhaps"), (.adminListen, "8083"), (.connectTimeout, "0s"),
            (.responseTimeout, "forever"), (.idleTimeout, "5"), (.tunnelMemory, "1KiB"), (.maxStreams, "0"),
            (.reconnectMin, "1ms"), (.reconnectMax, "2h"), (.reconnectMax, "100ms"), (.shutdownGrace, "x"),
            (.logFormat, "xml"), (.logLevel, "loud"), (.ingressClass, "Nginx"),
            (.ingressSelector, "a in b"), (.namespace, "a.b"), (.updateIngressStatus, "perhaps"),
            (.updateIngressStatus, "true"), (.leaderElect, "perhaps"), (.leaderElectLease, "pipeops-agent"),
            (.leaderElectLease, "a.b/c"), (.leaderElectLeaseDuration, "10s"), (.leaderElectLeaseDuration, "500ms"),
            (.leaderElectRenewDeadline, "2s"), (.leaderElectRetryPeriod, "0s"),
        ] as [(AgentSettings.Name, String)])
    func badValues(name: AgentSettings.Name, value: String) {
        let error = #expect(throws: SettingsError.self) { try settings([name: value]) }
        #expect(error?.description.hasPrefix("--\(name.rawValue): \"\(value)\" ") == true, "\(error as Any)")
        #expect(error?.description.contains(where: \.isNewline) == false)
    }

    @Test("The proxy is the setting's, else the environment's for the gateway's scheme, unless the gateway is excluded")
    func proxy() throws {
        func proxy(_ flags: [AgentSettings.Name: String?] = [:], _ environment: [String: String] = [:]) throws
            -> String?
        {
            try settings(flags, environment: environment).gatewayProxy?.description
        }
        #expect(try proxy([:], ["HTTPS_PROXY": "http://upper:1", "HTTP_PROXY": "http://other:1"]) == "http://upper:1")
        #expect(try proxy([:], ["HTTPS_PROXY": "http://upper:1", "https_proxy": "lower:2"]) == "http://lower:2")
        #expect(try proxy([:], ["HTTP_PROXY": "http://other:1"]) == nil)
        #expect(try proxy([.gatewayURL: "ws://gateway:80"], ["http_proxy": "http://other:1"]) == "http://other:1")
        #expect(try proxy([:], ["https_proxy": "http://p:1", "NO_PROXY": "gateway"]) == nil)
        #expect(try proxy([:], ["https_proxy": "http://p:1", "no_proxy": "gateway:8443"]) == nil)
        #expect(try proxy([:], ["https_proxy": "http://p:1", "no_proxy": "gateway:443"]) == "http://p:1")
        let both = ["https_proxy": "http://p:1", "NO_PROXY": "*"]
        #expect(try proxy([.gatewayProxy: "https://explicit"], both) == "https://explicit:443")
        #expect(try proxy([:], ["PIPEOPS_AGENT_GATEWAY_PROXY": "http://u:p@variable:1"]) == "http://variable:1")
        let shown = "\(try settings([.gatewayProxy: "http://user:s3cret@p:1"]))"
        #expect(!shown.contains("s3cret") && !shown.contains("dXNlcjpzM2NyZXQ="))
    }

    @Test("A proxy that cannot be one is named without its password", arguments: ["--gateway-proxy", "https_proxy"])
    func badProxy(source: String) throws {
        let url = "socks5://user:s3cret@proxy:1080"
        let error = #expect(throws: SettingsError.self) {
            source == "https_proxy"
                ? try settings(environment: [source: url]) : try settings([.gatewayProxy: url])
        }
        #expect(error?.setting == source)
        #expect(error?.description.contains("s3cret") == false)
    }

    @Test("A certificate for the gateway needs its key, and a key its certificate")
    func clientCertificate() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("pem-\(UUID().uuidString)").path
        try Data("x".utf8).write(to: URL(fileURLWithPath: file))
        defer { try? FileManager.default.removeItem(atPath: file) }
        for (name, missing) in [
            (AgentSettings.Name.gatewayClientCertificate, "gateway-client-key"),
            (.gatewayClientKey, "gateway-client-certificate"),
        ] {
            let error = #expect(throws: SettingsError.self) { try settings([name: file]) }
            #expect(error?.setting == "--\(name.rawValue)")
            #expect(error?.problem.contains(missing) == true)
        }
        #expect(
            try settings([.gatewayClientCertificate: file, .gatewayClientKey: file]).gatewayClientCertificate
                == .init(certificateFile: file, keyFile: file))
    }

    @Test("What is required and missing is named", arguments: [.gatewayURL, .tokenFile] as [AgentSettings.Name])
    func missing(name: AgentSettings.Name) {
        let error = #expect(throws: SettingsError.self) { try settings([name: nil]) }
        #expect(error?.setting == "--\(name.rawValue)")
    }

    @Test("Classes and namespaces are lists: with commas in flags and environment, or a list of the file")
    func lists() throws {
        let byFlag = try settings([.ingressClass: "nginx,traefik", .namespace: "shop"])
        #expect(byFlag.ingressClasses == ["nginx", "traefik"])
        #expect(byFlag.namespaces == ["shop"])
        let byEnvironment = try settings(environment: [
            "PIPEOPS_AGENT_INGRESS_CLASS": "nginx, traefik", "PIPEOPS_AGENT_NAMESPACE": "shop,default",
        ])
        #expect(byEnvironment.ingressClasses == ["nginx", "traefik"])
        #expect(byEnvironment.namespaces == ["shop", "default"])
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("agent-\(UUID().uuidString).yaml")
        try Data("ingress-class: [nginx]\nnamespace: shop\ningress-selector: app in (a, b)\n".utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let byFile = try settings([.config: file.path])
        #expect(byFile.ingressClasses == ["nginx"])
        #expect(byFile.namespaces == ["shop"])
        #expect(try byFile.ingressSelector == LabelSelector("app in (a,b)"))
    }

    @Test("One bad element of a list is named, and nothing else of it")
    func badElement() {
        let error = #expect(throws: SettingsError.self) { try settings([.ingressClass: "nginx,x_y"]) }
        #expect(
            error?.description == "--ingress-class: \"x_y\" must be the name of an IngressClass, such as nginx")
    }

    @Test("A bad selector is refused with the place in it")
    func badSelector() {
        let error = #expect(throws: SettingsError.self) {
            try settings(environment: ["PIPEOPS_AGENT_INGRESS_SELECTOR": "app in web"])
        }
        #expect(error?.setting == "PIPEOPS_AGENT_INGRESS_SELECTOR")
        #expect(error?.value == "app in web")
        #expect(error?.problem.hasSuffix("but at character 8 has \"web\" where \"(\" belongs") == true)
    }

    @Test("The status of Ingresses is written only for classes that were named")
    func ingressStatus() throws {
        #expect(try settings([.updateIngressStatus: "true", .ingressClass: "pipeops"]).updateIngressStatus)
        let error = #expect(throws: SettingsError.self) { try settings([.updateIngressStatus: "yes"]) }
        #expect(error?.description.hasPrefix("--update-ingress-status: \"yes\" needs ingress-class") == true)
    }

    @Test("The Lease is where the setting says, otherwise where the Pod is, and its times are in order")
    func leaderElection() throws {
        #expect(
            try settings(podNamespace: "edge").leaderElection?.lease
                == ObjectKey(namespace: "edge", name: "pipeops-agent"))
        #expect(
            try settings([.leaderElectLease: "a/b"], podNamespace: "edge").leaderElection?.lease
                == ObjectKey(namespace: "a", name: "b"))
        #expect(try settings([.leaderElect: "false"]).leaderElection == nil)
        let quick = try settings([
            .leaderElectLeaseDuration: "3s", .leaderElectRenewDeadline: "2s", .leaderElectRetryPeriod: "500ms",
        ])
        #expect(quick.leaderElection?.leaseDuration == .seconds(3))
        #expect(quick.leaderElection?.renewDeadline == .seconds(2))
        #expect(quick.leaderElection?.retryPeriod == .milliseconds(500))
        for (name, value, other) in [
            (.leaderElectLeaseDuration, "10s", "leader-elect-renew-deadline"),
            (.leaderElectRenewDeadline, "1s", "leader-elect-retry-period"),
        ] as [(AgentSettings.Name, String, String)] {
            let error = #expect(throws: SettingsError.self) { try settings([name: value, .leaderElect: "false"]) }
            #expect(error?.problem.hasPrefix("must be longer than \(other), which is ") == true)
        }
    }

    @Test("The Pod's namespace comes from POD_NAMESPACE, or from the file beside the service account's token")
    func podNamespace() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("namespace-\(UUID().uuidString)")
        #expect(try AgentSettings.podNamespace(environment: [:], file: file.path) == nil)
        try Data("from-file\n".utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        #expect(try AgentSettings.podNamespace(environment: [:], file: file.path) == "from-file")
        #expect(try AgentSettings.podNamespace(environment: ["POD_NAMESPACE": "edge"], file: file.path) == "edge")
        #expect(throws: SettingsError.self) {
            try AgentSettings.podNamespace(environment: ["POD_NAMESPACE": "Edge Case"], file: file.path)
        }
    }
}
