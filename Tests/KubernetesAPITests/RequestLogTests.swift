import KubernetesAPI
import Logging
import TestSupport
import Testing

@Suite("Request log")
struct RequestLogTests {
    private static let object = #"{"metadata":{"name":"web","namespace":"shop","resourceVersion":"3"}}"#

    private func lines(
        answering status: Int = 200, _ body: (KubernetesClient) async throws -> Void
    ) async throws -> [[String: String]] {
        let log = LogRecorder()
        try await withScriptedServer { _, exchange in
            try await exchange.reply(status, Self.object)
        } _: { server in
            let client = try KubernetesClient(
                configuration: KubernetesConfiguration(
                    server: ServerAddress(isTLS: false, host: "127.0.0.1", port: server.port)),
                logger: log.logger("test"), userAgent: "tests", options: .init(retry: .never))
            try await withClient(client) { client in
                try? await body(client)
                await server.stop()
                try? await body(client)
            }
        }
        let lines = log.lines("Kubernetes request")
        #expect(lines.allSatisfy { $0.level == .debug })
        return lines.map(\.fields)
    }

    private func fields(
        _ verb: String, _ resource: String, group: String = "networking.k8s.io", subresource: String = "",
        namespace: String = "", name: String = "", code: String
    ) -> [String: String] {
        [
            "verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace,
            "name": name, "code": code,
        ]
    }

    @Test("a status that is applied is a patch of the subresource; without an answer the code is 0")
    func applied() async throws {
        let ingress = Ingress(metadata: ObjectMeta(name: "web", namespace: "shop"), spec: nil)
        let seen = try await lines { _ = try await $0.applyStatus(ingress, fieldManager: "m") }
        #expect(
            seen
                == ["200", "0"].map { code in
                    fields("patch", "ingresses", subresource: "status", namespace: "shop", name: "web", code: code)
                })
    }

    @Test("a list of everything names neither namespace nor object, a read in the core group no group")
    func collections() async throws {
        let lists = try await lines { _ = try await $0.list(Ingress.self) }
        #expect(lists.first == fields("list", "ingresses", code: "200"))
        let watches = try await lines { _ = try await $0.watch(Ingress.self, options: .init(resourceVersion: "1")) }
        #expect(watches.first == fields("watch", "ingresses", code: "200"))
        let gets = try await lines(answering: 404) { _ = try await $0.get(Namespace.self, ObjectKey(name: "ns")) }
        #expect(gets.first == fields("get", "namespaces", group: "", name: "ns", code: "404"))
    }
}
