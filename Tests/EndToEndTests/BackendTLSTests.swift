import ClusterAgent
import Foundation
import HTTPExchange
import KubernetesAPI
import NIOCore
import NIOPosix
import NIOSSL
import TestSupport
import Testing

@Suite("A backend that is reached by TLS", .timeLimit(.minutes(1)))
struct BackendTLSTests {
    /// A server of HTTP/1.1 behind TLS, and a stack whose agent reaches it so.
    private func withTLSStack(
        _ tls: BackendTLS, contexts: BackendTLSContexts? = nil, usesHTTP2: Bool = false, alpn: [String] = [],
        certificate: (TestCertificates) -> TestCertificates.Pair = { $0.server },
        _ body: @escaping @Sendable (Stack) async throws -> Void
    ) async throws {
        let certificates = try TestCertificates.made.get()
        let file = FileManager.default.temporaryDirectory.appending(path: "ca-\(UUID().uuidString).crt")
        try Data(certificates.authority.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        var configuration = try certificate(certificates).serverConfiguration()
        configuration.applicationProtocols = alpn
        let context = try NIOSSLContext(configuration: configuration)
        var options = StackOptions()
        options.backendTLS = contexts ?? BackendTLSContexts(authorityFile: file.path)
        options.transport = BackendTransport(usesHTTP2: usesHTTP2, tls: tls)
        if usesHTTP2 {
            let backend = try await HTTP2Backend(tls: context)
            options.endpoints["app.test"] = .address(ip: "127.0.0.1", port: backend.port)
            let options = options
            try await backend.run { stream in
                try await stream.answer("\(stream[":scheme"] ?? "") over HTTP/2")
            } _: {
                try await withStack(options) { _ in
                } _: {
                    try await body($0)
                }
            }
        } else {
            try await withScriptedServer(tls: context) { request, exchange in
                try await exchange.reply(200, "over TLS")
            } _: { server in
                var options = options
                options.endpoints["app.test"] = .address(ip: "127.0.0.1", port: server.port)
                try await withStack(options) { _ in
                } _: {
                    try await body($0)
                }
            }
        }
    }

    private func expectTLSFailure(_ stack: Stack) async throws {
        let response = try await stack.request()
        #expect(response.status == 502)
        #expect(response.text.contains("\"code\":\"backend_tls_failed\""))
        #expect(response.head["Proxy-Status"] == ["pipeops-agent; error=tls_certificate_error"])
    }

    @Test("its certificate is verified by the authorities of the setting, under its name")
    func verified() async throws {
        try await withTLSStack(BackendTLS(serverName: TestCertificates.name)) { stack in
            for _ in 0..<3 {
                let response = try await stack.request()
                #expect(response.status == 200)
                #expect(response.text == "over TLS")
            }
        }
    }

    @Test("a certificate for another name is a failure of its own")
    func otherName() async throws {
        try await withTLSStack(BackendTLS(serverName: "other.test"), certificate: { $0.namedServer }) { stack in
            try await expectTLSFailure(stack)
        }
    }

    @Test("without a name of its own the host of the request must be in the certificate")
    func requestHost() async throws {
        try await withTLSStack(BackendTLS(serverName: ""), certificate: { $0.namedServer }) { stack in
            try await expectTLSFailure(stack)
        }
        let pair = try TestCertificates.made.get().server(for: ["app.test"])
        try await withTLSStack(BackendTLS(serverName: ""), certificate: { _ in pair }) { stack in
            let response = try await stack.request(host: "APP.test:80")
            #expect(response.status == 200)
        }
    }

    @Test("an authority that nobody named is not trusted, and verification may be switched off")
    func unverified() async throws {
        try await withTLSStack(BackendTLS(serverName: TestCertificates.name), contexts: BackendTLSContexts()) {
            try await expectTLSFailure($0)
        }
        try await withTLSStack(
            BackendTLS(serverName: "other.test", isVerified: false), contexts: BackendTLSContexts()
        ) { stack in
            let response = try await stack.request()
            #expect(response.text == "over TLS")
        }
    }

    @Test("the authorities of a Secret are trusted, and no others")
    func secrets() async throws {
        let certificates = try TestCertificates.made.get()
        let right = ObjectKey(namespace: "default", name: "right")
        let wrong = ObjectKey(namespace: "default", name: "wrong")
        let contexts = BackendTLSContexts { key, eventLoop in
            eventLoop.makeSucceededFuture(key == right ? certificates.authority : certificates.otherAuthority)
        }
        for (secret, works) in [(right, true), (wrong, false)] {
            let tls = BackendTLS(serverName: TestCertificates.name, authority: .secret(secret))
            try await withTLSStack(tls, contexts: contexts) { stack in
                if works {
                    let response = try await stack.request()
                    #expect(response.status == 200)
                } else {
                    try await expectTLSFailure(stack)
                }
            }
        }
    }

    @Test("HTTP/2 is agreed on in the handshake, and a backend that does not take it is told apart")
    func http2() async throws {
        let tls = BackendTLS(serverName: TestCertificates.name)
        try await withTLSStack(tls, usesHTTP2: true, alpn: ["h2"]) { stack in
            let response = try await stack.request()
            #expect(response.text == "https over HTTP/2")
        }
        try await withTLSStack(tls, usesHTTP2: true, alpn: ["http/1.1"]) { stack in
            let response = try await stack.request("GET", "/alpn")
            #expect(response.status == 502)
            #expect(response.text.contains("backend_tls_failed"))
            let line = try await stack.accessLine("/alpn")
            #expect(line.fields["failure_detail"]?.contains("ALPN") == true)
        }
    }

    @Test("another protocol passes behind an upgrade, and each side hears the other's last byte")
    func upgrade() async throws {
        let certificates = try TestCertificates.made.get()
        var options = StackOptions()
        options.serverTLS = try NIOSSLContext(configuration: try certificates.server.serverConfiguration())
        options.backendTLS = BackendTLSContexts { _, eventLoop in
            eventLoop.makeSucceededFuture(certificates.authority)
        }
        options.transport = BackendTransport(
            tls: BackendTLS(
                serverName: TestCertificates.name, authority: .secret(ObjectKey(namespace: "default", name: "ca"))))
        try await withStack(options) { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: own\r\nConnection: upgrade\r\n\r\nhi")
            let said = try await backend.bytes(3)
            #expect(said == ByteBuffer(string: "you"))
            try await backend.send("bye")
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: own\r\n\r\n")
            let head = try await client.head()
            #expect(head.status == 101)
            let greeting = try await client.bytes(2)
            #expect(greeting == ByteBuffer(string: "hi"))
            try await client.send("you")
            let rest = try await client.rest()
            #expect(rest == ByteBuffer(string: "bye"))
        }
    }

    @Test("plain text is no TLS")
    func plainText() async throws {
        var options = StackOptions()
        options.transport = BackendTransport(tls: BackendTLS(serverName: "app.test"))
        try await withStack(options) { backend in
            try await backend.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            try await backend.waitForEnd()
        } _: { stack in
            try await expectTLSFailure(stack)
        }
    }

    @Test(
        "a backend that is silent in the beginning is 504 backend_connect_timeout",
        arguments: [
            BackendTransport(tls: BackendTLS(serverName: "app.test")), BackendTransport(usesHTTP2: true),
        ])
    func silence(transport: BackendTransport) async throws {
        var options = StackOptions()
        options.transport = transport
        options.upstream.connectTimeout = .milliseconds(200)
        try await withStack(options) { backend in
            try await backend.waitForEnd()
        } _: { stack in
            try await expectTimeout(stack)
            try await eventually("the connection is closed") { stack.backend.connections.allSatisfy(\.hasEnded) }
        }
    }

    @Test("a backend that does not take the connection is 504 backend_connect_timeout")
    func fullBacklog() async throws {
        // Never accepts; what its backlog does not hold waits for an answer to SYN.
        let listener = try await ServerBootstrap(group: Loops.backends)
            .serverChannelOption(.backlog, value: 1)
            .serverChannelOption(.autoRead, value: false)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(listener.localAddress?.port)
        var filling: [any Channel] = []
        for _ in 0..<4 {
            let channel = try? await ClientBootstrap(group: Loops.clients).connectTimeout(.milliseconds(200))
                .connect(host: "127.0.0.1", port: port).get()
            if let channel { filling.append(channel) }
        }
        var options = StackOptions()
        options.endpoints["app.test"] = .address(ip: "127.0.0.1", port: port)
        options.upstream.connectTimeout = .milliseconds(300)
        try await withStack(options) { _ in
        } _: { stack in
            try await expectTimeout(stack)
        }
        for channel in filling + [listener] { try await channel.close() }
    }

    private func expectTimeout(_ stack: Stack) async throws {
        let response = try await stack.request()
        #expect(response.status == 504)
        #expect(response.text.contains("\"code\":\"backend_connect_timeout\""))
        #expect(response.head["Proxy-Status"] == ["pipeops-agent; error=connection_timeout"])
    }
}
