import NIOCore
import NIOHPACK
import NIOHTTP2
import ServiceLifecycleTestKit
import TestSupport
import Testing
import TunnelProtocol
import TunnelTransport

@Suite("WebSockets by HTTP/2", .timeLimit(.minutes(1)))
struct HTTP2WebSocketTests {
    private static func accept(_ backend: RawConnection, fields: String = "") async throws -> RawHead {
        let head = try await backend.head()
        let key = head["Sec-WebSocket-Key"].first ?? ""
        try await backend.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: \(TunnelHandshake.accept(for: key))\r\n\(fields)\r\n")
        return head
    }

    @Test("the application sees a handshake of HTTP/1.1, the client one of RFC 8441; then bytes pass both ways")
    func handshake() async throws {
        let seen = Box<RawHead>()
        try await withStack(HTTP2FrontTests.options) { backend in
            seen.set(try await Self.accept(backend, fields: "Sec-WebSocket-Protocol: chat\r\nX-Own: 1\r\n"))
            while let bytes = try await backend.some() { try await backend.send(bytes) }
        } _: { stack in
            let client = try await stack.http2()
            let stream = try await client.webSocket(
                "/chat?room=1", [("sec-websocket-protocol", "chat, superchat"), ("sec-websocket-key", "of-the-client")])
            let head = try await stream.head()
            #expect(client.settings?.contains { $0.parameter == .enableConnectProtocol && $0.value == 1 } == true)
            #expect(
                head.map { "\($0.name): \($0.value)" } == [":status: 200", "sec-websocket-protocol: chat", "x-own: 1"])
            let request = try #require(seen.value)
            #expect(request.startLine == "GET /chat?room=1 HTTP/1.1")
            #expect(request["Upgrade"] == ["websocket"])
            #expect(request["Sec-WebSocket-Key"].count == 1)
            #expect(request["Sec-WebSocket-Key"] != ["of-the-client"])
            #expect(request["Sec-WebSocket-Version"] == ["13"])
            let bytes = UpgradeTests.pattern(300_000)
            try await stream.send(bytes)
            #expect(try await stream.body(bytes.readableBytes) == bytes)
            client.close()
        }
    }

    @Test("either side may say its last before the other", arguments: [false, true])
    func halfClosure(clientFirst: Bool) async throws {
        let heard = Box<ByteBuffer>()
        try await withStack(HTTP2FrontTests.options) { backend in
            try await backend.allowHalfClosure()
            _ = try await Self.accept(backend)
            if clientFirst {
                heard.set(try await backend.rest())
                try await backend.send("answer")
            } else {
                try await backend.send("answer")
                try await backend.endOutput()
                heard.set(try await backend.rest())
            }
        } _: { stack in
            let client = try await stack.http2()
            let stream = try await client.webSocket()
            _ = try await stream.head()
            if !clientFirst { try await stream.end() }
            try await stream.send("question", end: true)
            let state = try await stream.end()
            #expect(state.hasEnded)
            #expect(stream.text == "answer")
            try await eventually("the application has heard all") { heard.value != nil }
            #expect(heard.value == ByteBuffer(string: "question"))
            #expect(try await stack.accessLine("/chat").fields["failure"] == nil)
            #expect(client.isOpen)
            client.close()
        }
    }

    @Test("an application that declines says so; one that is not honest about it, or answers another key, is refused")
    func declined() async throws {
        try await withStack(HTTP2FrontTests.options) { backend in
            while true {
                switch try await backend.head().target {
                case "/403": try await backend.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
                case "/426":
                    try await backend.send(
                        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"
                    )
                case "/200": try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                default:
                    return try await backend.send(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
                }
            }
        } _: { stack in
            let client = try await stack.http2()
            for (path, status) in [("/403", 403), ("/426", 426), ("/200", 502), ("/other-key", 502)] {
                let stream = try await client.webSocket(path)
                try await eventually("the stream is reset") { stream.state.reset != nil }
                #expect(stream.status == status)
                #expect(stream.state.hasEnded)
                #expect(stream.state.reset == .noError)
            }
            let other = try await client.webSocket(protocol: "connect-udp")
            #expect(try await other.head().first(name: ":status") == "501")
            #expect(client.isOpen)
            client.close()
        }
    }

    @Test("a client whose tunnel is lost is told to come again, and so is one whose gateway ends")
    func restart() async throws {
        var lost = HTTP2FrontTests.options
        lost.hasAgent = false
        try await withStack(lost) { _ in
        } _: { stack in
            let agent = try await FakeAgent.connect(stack)
            let client = try await stack.http2()
            let stream = try await client.webSocket()
            let request = try await agent.request()
            let answer = TunnelHandshake.accept(for: request.fields.first(name: "Sec-WebSocket-Key") ?? "")
            let fields: HeaderFields = ["Upgrade": "websocket", "Sec-WebSocket-Accept": answer]
            agent.send(.headers(StreamID(1), .response(.init(status: 101, fields: fields)), endStream: false))
            _ = try await stream.head()
            agent.disconnect()
            try await stream.end()
            #expect(Array(buffer: stream.state.body) == UpgradeTests.restart)
            #expect(stream.state.hasEnded)
            client.close()
        }
        var options = HTTP2FrontTests.options
        options.gatewayGrace = .seconds(1)
        let endingOptions = options
        try await testGracefulShutdown { shutdown in
            try await withStack(endingOptions) { backend in
                _ = try await Self.accept(backend)
                try await backend.waitForEnd()
            } _: { stack in
                let client = try await stack.http2()
                let stream = try await client.webSocket()
                _ = try await stream.head()
                shutdown.triggerGracefulShutdown()
                try await stream.end()
                #expect(Array(buffer: stream.state.body) == UpgradeTests.restart)
                #expect(stream.state.hasEnded)
                try await eventually("the connection is closed") { !client.isOpen }
            }
        }
    }
}
