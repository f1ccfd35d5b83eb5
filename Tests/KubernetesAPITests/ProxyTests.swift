import KubernetesAPI
import NIOHTTP1
import NIOSSL
import TestSupport
import Testing

@Suite("A proxy on the way to the API server")
struct ProxyTests {
    private struct Outcome {
        var asked: [ForwardingProxy.Request]
        var served: [ScriptedServer.Request]
        var error: KubernetesError?
        var port: Int
    }

    /// Asks a server that shows `pair` for an object, through a proxy at an address of its own: a client that compared the
    /// certificate with the far end of its connection would find 127.0.0.2.
    private func fetch(
        _ pair: TestCertificates.Pair, host: String = "127.0.0.1", kind: ProxyAddress.Kind = .http,
        login: ProxyAddress.Login? = nil, _ change: (inout KubernetesConfiguration) -> Void = { _ in }
    ) async throws -> Outcome {
        let certificates = try TestCertificates.made.get()
        let tls = try NIOSSLContext(configuration: pair.serverConfiguration())
        return try await withScriptedServer(tls: tls) { _, exchange in
            try await exchange.reply(200, #"{"metadata":{"name":"kube-system"}}"#)
        } _: { server in
            try await withForwardingProxy(host: "127.0.0.2") { proxy in
                var configuration = KubernetesConfiguration(
                    server: ServerAddress(isTLS: true, host: host, port: server.port),
                    certificateAuthority: Array(certificates.authority.utf8),
                    proxy: ProxyAddress(kind: kind, host: "127.0.0.2", port: proxy.port, login: login))
                change(&configuration)
                let client = try KubernetesClient(
                    configuration: configuration, logger: .silent, userAgent: "tests", options: .init(retry: .never))
                let failure = try await withClient(client) { client in
                    var failure: KubernetesError?
                    for _ in 1...2 {
                        do {
                            _ = try await client.get(Namespace.self, ObjectKey(name: "kube-system"))
                        } catch let error as KubernetesError {
                            failure = error
                        }
                    }
                    return failure
                }
                return Outcome(asked: proxy.requests, served: server.requests, error: failure, port: server.port)
            }
        }
    }

    @Test(
        "a server named by its address is reached through the proxy, and its certificate must carry that address",
        arguments: [ProxyAddress.Kind.http, .socks])
    func address(kind: ProxyAddress.Kind) async throws {
        let outcome = try await fetch(try TestCertificates.made.get().server, kind: kind)
        #expect(outcome.error == nil)
        #expect(outcome.served.count == 2)
        #expect(
            outcome.asked == [
                .init(kind: kind == .http ? "http" : "socks", target: "127.0.0.1:\(outcome.port)", authorization: nil)
            ])
    }

    @Test("a certificate without that address, or for another one, is refused before anything is sent")
    func wrongCertificate() async throws {
        let certificates = try TestCertificates.made.get()
        for (pair, host) in [(certificates.namedServer, "127.0.0.1"), (certificates.server, "127.0.0.3")] {
            let outcome = try await fetch(pair, host: host)
            #expect(outcome.error?.kind == .connection)
            #expect(outcome.error?.mayHaveBeenProcessed == false)
            #expect(outcome.error?.message == "the server's certificate is not for \(host)")
            #expect(outcome.served.isEmpty)
        }
    }

    @Test("one of another authority is refused although it carries the address; without verification anything goes")
    func authority() async throws {
        let certificates = try TestCertificates.made.get()
        let refused = try await fetch(certificates.server) {
            $0.certificateAuthority = Array(certificates.otherAuthority.utf8)
        }
        #expect(refused.error?.kind == .connection)
        #expect(refused.served.isEmpty)
        let trusted = try await fetch(certificates.namedServer) {
            $0.certificateAuthority = nil
            $0.insecureSkipTLSVerify = true
        }
        #expect(trusted.served.count == 2)
    }

    @Test("a server named by a name, or with tls-server-name beside its address, is verified by that name")
    func name() async throws {
        let certificates = try TestCertificates.made.get()
        let named = try await fetch(certificates.namedServer, host: TestCertificates.name)
        #expect(named.served.count == 2)
        #expect(named.asked.map(\.target) == ["\(TestCertificates.name):\(named.port)"])
        let beside = try await fetch(certificates.namedServer) { $0.tlsServerName = TestCertificates.name }
        #expect(beside.served.count == 2)
        let other = try await fetch(certificates.namedServer, host: "other.test")
        #expect(other.served.isEmpty && other.error?.mayHaveBeenProcessed == false)
    }

    @Test("an HTTP proxy is told name and password")
    func login() async throws {
        let outcome = try await fetch(
            try TestCertificates.made.get().server, login: .init(name: "me", password: "p@ss"))
        #expect(outcome.served.count == 2)
        #expect(outcome.asked.map(\.authorization) == ["Basic bWU6cEBzcw=="])
        #expect(outcome.served.allSatisfy { $0.headers["proxy-authorization"].isEmpty })
    }

    @Test(
        "proxy-url is read as kubectl reads it",
        arguments: [
            ("http://proxy:3128", ProxyAddress(kind: .http, host: "proxy", port: 3128)),
            ("http://proxy/", ProxyAddress(kind: .http, host: "proxy", port: 80)),
            ("socks5://127.0.0.1:1081", ProxyAddress(kind: .socks, host: "127.0.0.1", port: 1081)),
            ("SOCKS5://proxy", ProxyAddress(kind: .socks, host: "proxy", port: 1080)),
            (
                "http://me:p%40s:s@[::1]:8080",
                ProxyAddress(
                    kind: .http, host: "::1", port: 8080, login: .init(name: "me", password: "p@s:s"))
            ),
        ])
    func parsing(text: String, expected: ProxyAddress) throws {
        #expect(try ProxyAddress(text) == expected)
    }

    @Test(
        "what is no usable proxy is refused, and the reason tells no password",
        arguments: [
            ("proxy:3128", "must begin with http:// or socks5://"),
            ("ftp://me:secret@proxy", "must begin with http:// or socks5://, not ftp://"),
            (
                "https://me:secret@proxy",
                "a proxy that is itself spoken to with TLS is not supported; use http:// or socks5://"
            ),
            ("socks5://me:secret@proxy", "a SOCKS proxy that asks for a name and a password is not supported"),
            ("http://me:secret@proxy:x", "not the address of a proxy: http://proxy:x"),
        ])
    func refused(text: String, problem: String) {
        let error = #expect(throws: ProxyAddress.Problem.self) { try ProxyAddress(text) }
        #expect(error?.description == problem)
    }
}
