import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport
import Testing
import TunnelProtocol

@testable import TunnelTransport

@Suite("Opening a tunnel", .timeLimit(.minutes(1)))
struct TunnelOpeningTests {
    @Test("control messages pass both ways once the handshake is done")
    func controlMessages() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            pair.agent.send(.heartbeatAck(.init(revision: 1)))
            pair.gateway.send(.resync(.init(reason: "grüß Gott")))
            try await eventually("both have a message") {
                pair.gatewayObserver.texts.count == 1 && pair.agentObserver.texts.count == 1
            }
            #expect(pair.gatewayObserver.texts == [ControlMessage.heartbeatAck(.init(revision: 1)).encoded()])
            #expect(pair.agentObserver.texts == [ControlMessage.resync(.init(reason: "grüß Gott")).encoded()])
        }
    }

    @Test("a tunnel comes up over TLS, and a certificate nobody vouches for is refused")
    func tls() async throws {
        let certificates = try TestCertificates.made.get()
        var server = try certificates.server.serverConfiguration()
        server.minimumTLSVersion = .tlsv12
        var client = TLSConfiguration.makeClientConfiguration()
        client.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(certificates.authority.utf8)))
        let contexts = (
            server: try NIOSSLContext(configuration: server), client: try NIOSSLContext(configuration: client)
        )
        try await withLoopback(tls: contexts) { loopback in
            let pair = try await loopback.connect()
            pair.agent.send(.heartbeatAck(.init(revision: 1)))
            try await eventually("a message arrived") { pair.gatewayObserver.texts.count == 1 }

            var strangers = loopback
            strangers.clientTLS = try NIOSSLContext(configuration: .makeClientConfiguration())
            let error = await #expect(throws: TunnelDialError.self) { try await strangers.dial() }
            guard case .failed = error else {
                Issue.record("not a failed handshake: \(String(describing: error))")
                return
            }
        }
    }

    @Test("a wrong token is refused with 401, and both sides know why")
    func wrongToken() async throws {
        try await withLoopback { loopback in
            let error = await #expect(throws: TunnelDialError.self) { try await loopback.dial(token: "bad") }
            #expect(
                error
                    == .refused(
                        status: 401, detail: "unauthorized: the token belongs to no cluster", retryAfter: nil))
            #expect(
                loopback.admission.refusals.withLock { $0 }
                    == [TunnelRefusal(.unauthorized, "the token belongs to no cluster")])
            let pair = try await loopback.connect()
            #expect(pair.agent.channel.isActive)
        }
    }

    @Test("an admission that takes its time opens the tunnel when it is decided")
    func lateAdmission() async throws {
        try await withLoopback { loopback in
            let agent = try await loopback.dial(token: "late")
            agent.send(.heartbeatAck(.init(revision: 1)))
            try await eventually("a message arrived") {
                loopback.admission.accepted.withLock { $0.first }?.observer.texts.count == 1
            }
        }
    }

    @Test("a gateway that has no room says when to come again")
    func overloaded() async throws {
        try await withLoopback { loopback in
            let error = await #expect(throws: TunnelDialError.self) { try await loopback.dial(token: "busy") }
            #expect(error == .refused(status: 503, detail: "overloaded: too many tunnels", retryAfter: 7))
        }
    }

    @Test(
        "a request that is no tunnel is answered with its status and the connection closed",
        arguments: [
            ("GET / HTTP/1.1\r\nHost: g\r\n\r\n", "404 Not Found"),
            ("POST /agent/v1/tunnel HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed"),
            ("GET /agent/v1/tunnel HTTP/1.1\r\nHost: g\r\n\r\n", "426 Upgrade Required"),
            (
                "GET /agent/v1/tunnel HTTP/1.1\r\nHost: g\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                "400 Bad Request"
            ),
            ("nonsense\r\n\r\n", "400 Bad Request"),
        ])
    func notATunnel(request: String, status: String) async throws {
        try await withLoopback { loopback in
            let answer = try await exchangeRaw(port: loopback.port, request)
            #expect(answer.hasPrefix("HTTP/1.1 \(status)\r\n"), "\(answer)")
        }
    }

    @Test("a connection that sends nothing is closed after the handshake timeout")
    func handshakeTimeout() async throws {
        try await withLoopback(handshakeTimeout: .milliseconds(100)) { loopback in
            let start = ContinuousClock.now
            let answer = try await exchangeRaw(port: loopback.port, "")
            #expect(answer == "")
            #expect(ContinuousClock.now - start >= .milliseconds(90))
        }
    }

    @Test("a gateway that never answers makes dialling fail in time")
    func silentGateway() async throws {
        let silent = try await ServerBootstrap(group: Loopback.group).bind(host: "127.0.0.1", port: 0).get()
        let dialer = TunnelDialer(
            host: "127.0.0.1", port: try #require(silent.localAddress?.port), tls: nil, group: Loopback.group,
            timeout: .milliseconds(150))
        let error = await #expect(throws: TunnelDialError.self) {
            try await dialer.dial(
                token: "good", configuration: TunnelConfiguration(role: .agent), observer: RecordingObserver())
        }
        #expect(error == .timedOut)
        try await silent.close()
    }

    @Test("a port where nobody listens is unreachable")
    func unreachable() async throws {
        let listener = try await ServerBootstrap(group: Loopback.group).bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(listener.localAddress?.port)
        try await listener.close()
        let dialer = TunnelDialer(host: "127.0.0.1", port: port, tls: nil, group: Loopback.group)
        let error = await #expect(throws: TunnelDialError.self) {
            try await dialer.dial(
                token: "good", configuration: TunnelConfiguration(role: .agent), observer: RecordingObserver())
        }
        guard case .unreachable = error else {
            Issue.record("not unreachable: \(String(describing: error))")
            return
        }
    }

    @Test(
        "an answer that is not this protocol's upgrade is refused",
        arguments: [
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                + "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"
                + "Sec-WebSocket-Protocol: gateway-tunnel.v1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            "garbage\r\n\r\n",
        ])
    func foreignAnswer(answer: String) async throws {
        let server = try await ServerBootstrap(group: Loopback.group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AnswerAnything(answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let dialer = TunnelDialer(
            host: "127.0.0.1", port: try #require(server.localAddress?.port), tls: nil, group: Loopback.group,
            timeout: .seconds(3))
        let error = await #expect(throws: TunnelDialError.self) {
            try await dialer.dial(
                token: "good", configuration: TunnelConfiguration(role: .agent), observer: RecordingObserver())
        }
        #expect(error != .timedOut)
        try await server.close()
    }

    @Test("a gateway that accepts and is gone at once is a tunnel that has ended, and the next dial is another")
    func acceptedAndGone() async throws {
        let server = try await ServerBootstrap(group: Loopback.group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try pipeline.addHandler(AcceptAndLeave())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let dialer = TunnelDialer(
            host: "127.0.0.1", port: try #require(server.localAddress?.port), tls: nil, group: Loopback.group,
            timeout: .seconds(20))
        for _ in 0..<20 {
            let observer = RecordingObserver()
            do {
                let tunnel = try await dialer.dial(
                    token: "good", configuration: TunnelConfiguration(role: .agent), observer: observer)
                try await eventually("its owner knows") { observer.closed == [.disconnected] }
                #expect(!tunnel.channel.isActive)
            } catch let error as TunnelDialError {
                #expect(error == .failed("the connection ended during the handshake"))
                #expect(observer.closed.isEmpty)
            }
        }
        try await server.close()
    }

    @Test("an agent that asks and is gone at once leaves no tunnel behind")
    func askedAndGone() async throws {
        try await withLoopback { loopback in
            for token in ["good", "late"] {
                for _ in 0..<10 {
                    let client = try await ClientBootstrap(group: Loopback.group)
                        .connect(host: "127.0.0.1", port: loopback.port).get()
                    let question = TunnelHandshake.question(key: TunnelHandshake.makeKey())
                        .map { "\($0.name): \($0.value)\r\n" }.joined()
                    let request =
                        "GET \(TunnelHandshake.path) HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                        + question + "Authorization: Bearer \(token)\r\n\r\n"
                    client.writeAndFlush(ByteBuffer(string: request), promise: nil)
                    try await client.close().get()
                }
            }
            let last = try await loopback.connect()
            try await eventually("all but the last have ended") {
                loopback.admission.accepted.withLock { $0 }
                    .allSatisfy { $0.observer.closed.count == 1 || $0.tunnel === last.gateway }
            }
        }
    }
}

/// Accepts a tunnel and closes the connection with the same packet.
private final class AcceptAndLeave: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let request) = unwrapInboundIn(data) else { return }
        let head = HTTPResponseHead(
            version: .http1_1, status: .switchingProtocols, headers: TunnelHandshake.answer(to: request))
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.close(promise: nil)
    }
}

/// Answers the first bytes with a text.
private final class AnswerAnything: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let answer: String

    init(_ answer: String) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
    }
}

/// Sends bytes and returns all that comes until the other side closes.
func exchangeRaw(port: Int, _ bytes: [UInt8]) async throws -> [UInt8] {
    let channel = try await ClientBootstrap(group: Loopback.group).connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
            try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
    }
    return try await channel.executeThenClose { inbound, outbound in
        if !bytes.isEmpty { try await outbound.write(ByteBuffer(bytes: bytes)) }
        var answer: [UInt8] = []
        for try await part in inbound { answer += part.readableBytesView }
        return answer
    }
}

func exchangeRaw(port: Int, _ text: String) async throws -> String {
    String(decoding: try await exchangeRaw(port: port, Array(text.utf8)), as: UTF8.self)
}
