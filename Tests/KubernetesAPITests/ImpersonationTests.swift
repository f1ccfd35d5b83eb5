import Foundation
import NIOHTTP1
import TestSupport
import Testing

@testable import KubernetesAPI

@Suite("Kubeconfig users that stand for others")
struct ImpersonationTests {
    private func load(_ user: String, port: Int = 1) async throws -> KubernetesConfiguration {
        try await withTemporaryDirectory { directory in
            let file = try directory.write(
                "config",
                """
                current-context: c
                clusters: [{name: c, cluster: {server: "http://127.0.0.1:\(port)"}}]
                users: [{name: u, user: {\(user)}}]
                contexts: [{name: c, context: {cluster: c, user: u}}]
                """)
            return try KubernetesConfiguration.load(kubeconfig: file, environment: [:])
        }
    }

    @Test("as, as-uid, as-groups and as-user-extra travel in each request")
    func headers() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.reply(200, #"{"metadata":{"name":"n"}}"#)
        } _: { server in
            let configuration = try await load(
                "token: t, as: jane, as-uid: u-1, as-groups: [dev, ops], as-user-extra: {Acme.com/Team: [a, b]}",
                port: server.port)
            let client = try KubernetesClient(configuration: configuration, logger: .silent, userAgent: "tests")
            try await withClient(client) { _ = try await $0.get(Namespace.self, ObjectKey(name: "n")) }
            let headers = try #require(server.requests.first).headers
            #expect(headers["impersonate-user"] == ["jane"])
            #expect(headers["impersonate-uid"] == ["u-1"])
            #expect(headers["impersonate-group"] == ["dev", "ops"])
            #expect(headers["impersonate-extra-acme.com%2Fteam"] == ["a", "b"])
            #expect(headers["authorization"] == ["Bearer t"])
        }
    }

    @Test(
        "a user that cannot be used is an error that names the field",
        arguments: [
            ("as-groups: [dev]", "users[u].user.as", "missing beside as-groups"),
            ("auth-provider: {name: gcp}", "users[u].user.auth-provider", "gcp is built into"),
            (
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always}",
                "users[u].user.exec.interactiveMode", "needs a terminal"
            ),
        ])
    func faults(user: String, field: String, problem: String) async throws {
        let error = await #expect(throws: KubernetesConfigurationError.self) { _ = try await load(user) }
        #expect(error?.field == field)
        #expect(error?.problem.contains(problem) == true)
        #expect(error?.context == "c")
    }
}
