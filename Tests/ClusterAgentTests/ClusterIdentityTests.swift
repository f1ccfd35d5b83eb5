import Foundation
import KubernetesAPI
import Settings
import TestSupport
import Testing

@testable import ClusterAgent

@Suite("Which cluster the agent is in")
struct ClusterIdentityTests {
    @Test("waits for a server that fails, and for credentials that cannot be had yet")
    func waits() async throws {
        let log = LogRecorder()
        let token = FileManager.default.temporaryDirectory.appendingPathComponent("token-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: token) }
        let count = CallCount()
        try await withScriptedServer { _, exchange in
            let isFirst = count.next() == 1
            try await exchange.reply(isFirst ? 503 : 200, #"{"metadata":{"name":"kube-system","uid":"the-uid"}}"#)
        } _: { server in
            try await withClient(port: server.port, credentials: .tokenFile(path: token.path)) { client in
                let identity = ClusterIdentity(
                    client: client, logger: log.logger("test"), pause: .milliseconds(5))
                async let uuid = identity.read()
                try await eventually("it has tried in vain") { !log.lines("Cluster identity not read yet").isEmpty }
                #expect(server.requests.isEmpty)
                try Data("t".utf8).write(to: token, options: .atomic)
                #expect(try await uuid == "the-uid")
                #expect(
                    server.requests.map(\.path) == ["/api/v1/namespaces/kube-system", "/api/v1/namespaces/kube-system"])
            }
        }
    }

    @Test("a refusal is told as what it is: a setting that a person has to give")
    func refused() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.reply(403, "{}")
        } _: { server in
            try await withClient(port: server.port) { client in
                let error = await #expect(throws: SettingsError.self) {
                    try await ClusterIdentity(client: client, logger: .silent).read()
                }
                #expect(error?.setting == "cluster-uuid")
            }
        }
    }
}
