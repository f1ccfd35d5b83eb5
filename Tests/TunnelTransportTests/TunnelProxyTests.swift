import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport
import Testing
import TunnelProtocol

@testable import TunnelTransport

@Suite("Dialling through an HTTP proxy", .timeLimit(.minutes(1)))
struct TunnelProxyTests {
    private static func dialer(
        _ port: Int, host: String = "gateway.invalid", tls: NIOSSLContext? = nil, proxyTLS: NIOSSLContext? = nil,
        authorization: String? = nil, serverName: String? = nil, timeout: TimeAmount = .seconds(10)
    ) -> TunnelDialer {
        TunnelDialer(
            host: host, port: 8443, tls: tls, serverName: serverName,
            proxy: TunnelProxy(host: "127.0.0.1", port: port, tls: proxyTLS, authorization: authorization),
            group: Loopback.group, timeout: timeout)
    }

    private static func dial(_ dialer: TunnelDialer) async throws -> (Tunnel, RecordingObserver) {
        let observer = RecordingObserver()
        let tunnel = try await dialer.dial(
            token: "good", configuration: TunnelConfiguration(role: .agent), observer: observer)
        return (tunnel, observer)
    }

    /// A client of the test's authority, and servers with a certificate for a name and with one for the address, too.
    private static func contexts() throws -> (named: NIOSSLContext, server: NIOSSLContext, client: NIOSSLContext) {
        let certificates = try TestCertificates.made.get()
        var client = TLSConfiguration.makeClientConfiguration()
        client.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(certificates.authority.utf8)))
        return (
            try NIOSSLContext(configuration: try certificates.namedServer.serverConfiguration()),
            try NIOSSLContext(configuration: try certificates.server.serverConfiguration()),
            try NIOSSLContext(configuration: client)
        )
    }

    /// Messages pass both ways.
    private static func exchange(
        _ loopback: Loopback, _ tunnel: Tunnel, _ observer: RecordingObserver
    ) async throws {
        try await eventually("the gateway has it") { !loopback.admission.accepted.withLock { $0.isEmpty } }
        let accepted = try #require(loopback.admission.accepted.withLock { $0.first })
        tunnel.send(.heartbeatAck(.init(revision: 1)))
        accepted.tunnel.send(.resync(.init(reason: "x")))
        try await eventually("both have a message") {
            accepted.observer.texts.count == 1 && observer.texts.count == 1
        }
    }

    @Test("A tunnel comes up through the proxy, which is told where to and who asks, and never sees the token")
    func plain() async throws {
        try await withLoopback { loopback in
            try await ConnectProxy.run(.connect(port: loopback.port)) { proxy, port in
                let (tunnel, observer) = try await Self.dial(Self.dialer(port, authorization: "Basic dTpw"))
                try await Self.exchange(loopback, tunnel, observer)
                #expect(
                    proxy.heads == [
                        "CONNECT gateway.invalid:8443 HTTP/1.1\r\nHost: gateway.invalid:8443\r\n"
                            + "Proxy-Authorization: Basic dTpw\r\n\r\n"
                    ])
                tunnel.close(.goingAway)
            }
        }
    }

    @Test("TLS goes through the proxy to the gateway, under the name that the certificate must have")
    func tls() async throws {
        let contexts = try Self.contexts()
        try await withLoopback(tls: (contexts.named, contexts.client)) { loopback in
            try await ConnectProxy.run(.connect(port: loopback.port)) { proxy, port in
                let named = Self.dialer(port, tls: contexts.client, serverName: TestCertificates.name)
                let (tunnel, observer) = try await Self.dial(named)
                try await Self.exchange(loopback, tunnel, observer)
                tunnel.close(.goingAway)
                #expect(proxy.heads == ["CONNECT gateway.invalid:8443 HTTP/1.1\r\nHost: gateway.invalid:8443\r\n\r\n"])
                // Without the name the certificate is not the host's.
                let error = await #expect(throws: TunnelDialError.self) {
                    try await Self.dial(Self.dialer(port, tls: contexts.client))
                }
                guard case .failed = error else {
                    Issue.record("not a failed handshake: \(String(describing: error))")
                    return
                }
            }
        }
    }

    @Test("The proxy itself may be spoken to by TLS")
    func tlsProxy() async throws {
        let contexts = try Self.contexts()
        try await withLoopback { loopback in
            try await ConnectProxy.run(tls: contexts.server, .connect(port: loopback.port)) { _, port in
                let (tunnel, observer) = try await Self.dial(Self.dialer(port, proxyTLS: contexts.client))
                try await Self.exchange(loopback, tunnel, observer)
                tunnel.close(.goingAway)
            }
        }
    }

    @Test(
        "A proxy that does not connect is named, with what it said",
        arguments: [
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nno",
                "407 Proxy Authentication Required"
            ),
            ("HTTP/1.0 503 Service Unavailable\r\n\r\n", "503 Service Unavailable"),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden"),
            ("SSH-2.0-OpenSSH\r\n\r\n", "its answer is not HTTP"),
            ("HTTP/1.1 200 OK\r\n", "it ended the connection without an answer"),
            ("", "it ended the connection without an answer"),
            (String(repeating: "x", count: 20_000), "its answer has no end"),
        ])
    func refused(answer: String, detail: String) async throws {
        try await ConnectProxy.run(.say(answer)) { _, port in
            let error = await #expect(throws: TunnelDialError.self) {
                try await Self.dial(Self.dialer(port, authorization: "Basic s3cret"))
            }
            #expect(error == .proxyRefused(proxy: "127.0.0.1:\(port)", detail: detail))
            #expect(!"\(String(describing: error))".contains("s3cret"))
        }
    }

    @Test("An answer behind an interim one is the one that counts, and what follows it at once is the gateway's")
    func interim() async throws {
        let upgrade = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nRetry-After: 7\r\n\r\nlater"
        try await ConnectProxy.run(
            .say("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX-Via: p\r\n\r\n" + upgrade)
        ) { _, port in
            let error = await #expect(throws: TunnelDialError.self) { try await Self.dial(Self.dialer(port)) }
            #expect(error == .refused(status: 503, detail: "later", retryAfter: 7))
        }
    }

    @Test("A proxy that says nothing, or is not there, fails the dial in time")
    func silent() async throws {
        try await ConnectProxy.run(.silence) { _, port in
            let error = await #expect(throws: TunnelDialError.self) {
                try await Self.dial(Self.dialer(port, timeout: .milliseconds(100)))
            }
            #expect(error == .timedOut)
        }
        let nobody = try ReservedPort()
        let error = await #expect(throws: TunnelDialError.self) { try await Self.dial(Self.dialer(nobody.number)) }
        guard case .unreachable(let detail) = error else {
            Issue.record("not unreachable: \(String(describing: error))")
            return
        }
        #expect(detail.contains("the proxy 127.0.0.1:\(nobody.number)"))
    }
}

@Suite("The addresses of a host", .timeLimit(.minutes(1)))
struct AddressResolutionTests {
    @Test("An address is itself, a name is all of its addresses, and none is an error that names it")
    func resolution() async throws {
        let loop = Loopback.group.any()
        let address = try await AddressResolution.addresses(of: "127.0.0.1", port: 7, on: loop)
        #expect(address == [try SocketAddress(ipAddress: "127.0.0.1", port: 7)])
        let six = try await AddressResolution.addresses(of: "::1", port: 7, on: loop)
        #expect(six == [try SocketAddress(ipAddress: "::1", port: 7)])
        let name = try await AddressResolution.addresses(of: "localhost", port: 7, on: loop)
        #expect(name.contains { $0.ipAddress == "127.0.0.1" || $0.ipAddress == "::1" })
        #expect(Set(name).count == name.count)
        // Too long for a name, so that no server is asked.
        let long = String(repeating: "x", count: 300)
        let error = await #expect(throws: AddressResolution.Failure.self) {
            try await AddressResolution.addresses(of: long, port: 7, on: loop)
        }
        #expect(error?.description.hasPrefix("\(long) has no address") == true)
    }

    @Test("An address is shown with its port, an IPv6 one in brackets; what has no port in its own words")
    func shown() throws {
        #expect(try SocketAddress(ipAddress: "127.0.0.1", port: 7).shown == "127.0.0.1:7")
        #expect(try SocketAddress(ipAddress: "2001:db8::1", port: 443).shown == "[2001:db8::1]:443")
        #expect(try SocketAddress(unixDomainSocketPath: "/tmp/socket").shown.contains("/tmp/socket"))
    }
}
