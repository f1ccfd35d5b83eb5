import KubernetesAPI
import Logging
import NIOHTTP1
import NIOSSL
import Synchronization
import TestSupport
import Testing

@Suite("Configuration that changes while the client runs")
struct ReloadTests {
    private static let object = #"{"metadata":{"name":"kube-system"}}"#
    private static let key = ObjectKey(name: "kube-system")

    private func withClient<Result>(
        _ configuration: KubernetesConfiguration, requestTimeout: Duration = .seconds(30),
        clock: any Clock<Duration> = ContinuousClock(),
        reload: @escaping @Sendable () throws -> KubernetesConfiguration,
        _ body: (KubernetesClient) async throws -> Result
    ) async throws -> Result {
        let client = try KubernetesClient(
            configuration: configuration, reload: reload, logger: .silent, userAgent: "tests",
            options: .init(requestTimeout: requestTimeout, retry: .never), clock: clock)
        return try await TestSupport.withClient(client, body)
    }

    @Test("an authority that was replaced is read again in the very call that the old one failed, for a creation too")
    func authority() async throws {
        let certificates = try TestCertificates.made.get()
        let tls = try NIOSSLContext(configuration: certificates.server.serverConfiguration())
        let reloads = CallCount()
        try await withScriptedServer(tls: tls) { _, exchange in
            try await exchange.reply(200, Self.object)
        } _: { server in
            func configuration(_ authority: String) -> KubernetesConfiguration {
                KubernetesConfiguration(
                    server: ServerAddress(isTLS: true, host: "127.0.0.1", port: server.port),
                    certificateAuthority: Array(authority.utf8))
            }
            let renewed = configuration(certificates.authority)
            try await withClient(configuration(certificates.otherAuthority)) {
                _ = reloads.next()
                return renewed
            } _: { client in
                _ = try await client.create(Ingress(metadata: ObjectMeta(namespace: "shop"), spec: nil))
                _ = try await client.get(Namespace.self, Self.key)
                _ = try await client.watch(Namespace.self, options: .init(resourceVersion: "1"))
            }
            #expect(server.requests.count == 3)
            #expect(reloads.value == 1)
        }
    }

    @Test("a token that was replaced in the kubeconfig is read again when the old one is refused")
    func token() async throws {
        try await withTemporaryDirectory { directory in
            try await withScriptedServer { request, exchange in
                let isAccepted = request.headers.first(name: "authorization") == "Bearer new"
                try await exchange.reply(isAccepted ? 200 : 401, Self.object)
            } _: { server in
                func write(_ token: String) throws -> String {
                    try directory.write(
                        "config",
                        """
                        current-context: c
                        clusters: [{name: c, cluster: {server: "http://127.0.0.1:\(server.port)"}}]
                        users: [{name: u, user: {token: \(token)}}]
                        contexts: [{name: c, context: {cluster: c, user: u}}]
                        """)
                }
                let file = try write("old")
                let load = { @Sendable in try KubernetesConfiguration.load(kubeconfig: file, environment: [:]) }
                try await withClient(try load(), reload: load) { client in
                    _ = try write("new")
                    _ = try await client.get(Namespace.self, Self.key)
                    _ = try await client.get(Namespace.self, Self.key)
                }
                #expect(server.requests.count == 3)
            }
        }
    }

    @Test("a server that does not answer is looked up again, as one that refuses connections is")
    func silentServer() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.hold()
        } _: { old in
            try await withScriptedServer { _, exchange in
                try await exchange.reply(200, Self.object)
            } _: { new in
                func configuration(_ port: Int) -> KubernetesConfiguration {
                    KubernetesConfiguration(server: ServerAddress(isTLS: false, host: "127.0.0.1", port: port))
                }
                let moved = configuration(new.port)
                // Long enough for the server that does answer, on a machine under load.
                try await withClient(configuration(old.port), requestTimeout: .seconds(3)) {
                    moved
                } _: { client in
                    _ = try await client.get(Namespace.self, Self.key)
                }
                #expect(old.requests.count == 1 && new.requests.count == 1)
            }
        }
    }

    @Test("what has not changed is not read again for every refusal, and a file that is broken changes nothing")
    func rateLimited() async throws {
        struct Broken: Error {}
        let reloads = CallCount()
        let clock = ManualClock()
        try await withScriptedServer { _, exchange in
            try await exchange.reply(401, Self.object)
        } _: { server in
            let configuration = KubernetesConfiguration(
                server: ServerAddress(isTLS: false, host: "127.0.0.1", port: server.port))
            try await withClient(configuration, clock: clock) {
                if reloads.next() == 2 { throw Broken() }
                return configuration
            } _: { client in
                for count in 1...3 {
                    for _ in 0..<5 {
                        let error = await #expect(throws: KubernetesError.self) {
                            try await client.get(Namespace.self, Self.key)
                        }
                        #expect(error?.kind == .unauthorized)
                    }
                    #expect(reloads.value == count)
                    clock.advance(by: .seconds(10))
                }
            }
            #expect(server.requests.count == 15)
        }
    }
}
