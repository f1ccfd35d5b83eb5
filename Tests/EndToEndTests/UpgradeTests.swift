import ClusterAgent
import EdgeGateway
import HTTPExchange
import NIOCore
import ServiceLifecycleTestKit
import TestSupport
import Testing
import TunnelTransport

@Suite("Other protocols behind an upgrade", .timeLimit(.minutes(1)))
struct UpgradeTests {
    static let handshake = """
        GET /chat?room=1 HTTP/1.1\r
        Host: app.test\r
        Connection: keep-alive, Upgrade\r
        Upgrade: websocket\r
        Sec-WebSocket-Version: 13\r
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
        Sec-WebSocket-Protocol: chat, superchat\r
        Sec-WebSocket-Extensions: permessage-deflate\r
        Origin: http://app.test\r
        \r

        """
    static let accepted = """
        HTTP/1.1 101 Switching Protocols\r
        Upgrade: websocket\r
        Connection: Upgrade\r
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r
        Sec-WebSocket-Protocol: chat\r
        \r

        """
    static let restart: [UInt8] = [0x88, 0x02, 0x03, 0xF4]

    /// A connection of its own that has switched protocols.
    static func open(_ stack: Stack, receiveBuffer: Int? = nil) async throws -> RawConnection {
        let client = try await stack.connect(receiveBuffer: receiveBuffer)
        try await client.send(Self.handshake)
        let head = try await client.head()
        #expect(head.status == 101)
        return client
    }

    /// At a backend: takes a handshake and accepts it.
    static func accept(_ backend: RawConnection, saying more: [UInt8] = []) async throws {
        _ = try await backend.head()
        try await backend.send(ByteBuffer(bytes: Array(accepted.utf8) + more))
    }

    /// Bytes that are in no order.
    static func pattern(_ size: Int) -> ByteBuffer {
        ByteBuffer(bytes: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ ($0 >> 8) &* 17) })
    }

    // MARK: Handshakes

    @Test("a WebSocket handshake passes as it is, and the answer with it; then bytes pass both ways")
    func handshake() async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            seen.set(try await backend.head())
            try await backend.send(Self.accepted)
            while let bytes = try await backend.some() { try await backend.send(bytes) }
        } _: { stack in
            let client = try await stack.connect()
            try await client.send(Self.handshake)
            let answer = try await client.head()
            #expect(answer.startLine == "HTTP/1.1 101 Switching Protocols")
            #expect(answer["Connection"].map { $0.lowercased() } == ["upgrade"])
            #expect(answer["Upgrade"] == ["websocket"])
            #expect(
                answer.lines(without: ["connection", "upgrade"]) == [
                    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Protocol: chat",
                ])
            let request = try #require(seen.value)
            #expect(request.startLine == "GET /chat?room=1 HTTP/1.1")
            #expect(request["Connection"].map { $0.lowercased() } == ["upgrade"])
            #expect(request["Upgrade"] == ["websocket"])
            let own: Set = [
                "host", "connection", "upgrade", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
                "x-request-id",
            ]
            #expect(
                request.lines(without: own) == [
                    "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                    "Sec-WebSocket-Protocol: chat, superchat", "Sec-WebSocket-Extensions: permessage-deflate",
                    "Origin: http://app.test",
                ])
            for bytes: [UInt8] in [[0x81, 0x80, 0, 0, 0, 0], Array(0...255), [0x0D, 0x0A, 0x0D, 0x0A]] {
                try await client.send(ByteBuffer(bytes: bytes))
                #expect(try await client.bytes(bytes.count) == ByteBuffer(bytes: bytes))
            }
            client.close()
            let line = try await stack.accessLine("/chat")
            #expect(line.fields["status"] == "101")
            #expect(line.fields["failure"] == nil)
        }
    }

    @Test("the protocol is the one that the application chose")
    func chosen() async throws {
        try await withStack { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: two/2\r\n\r\n")
            try await backend.waitForEnd()
        } _: { stack in
            let client = try await stack.connect()
            try await client.send(
                "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: one/1, two/2\r\n\r\n")
            let answer = try await client.head()
            #expect(answer.status == 101)
            #expect(answer["Upgrade"] == ["two/2"])
            client.close()
        }
    }

    @Test("what is offered, and what is chosen, is all lines of it")
    func severalLines() async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            seen.set(try await backend.head())
            try await backend.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: two/2\r\nUpgrade: three\r\n\r\n")
            try await backend.waitForEnd()
        } _: { stack in
            let client = try await stack.connect()
            try await client.send(
                "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: one/1\r\nUpgrade: two/2, three\r\n\r\n"
            )
            let answer = try await client.head()
            #expect(answer.status == 101)
            #expect(answer["Upgrade"] == ["two/2, three"])
            #expect(seen.value?["Upgrade"] == ["one/1, two/2, three"])
            client.close()
        }
    }

    @Test(
        "an application that requires an upgrade says which, but never HTTP/2",
        arguments: [("websocket", ["websocket"]), ("h2c", [])])
    func upgradeRequired(required: String, told: [String]) async throws {
        try await withStack { backend in
            try await backend.answerAll(
                "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: \(required)\r\nContent-Length: 2\r\n\r\nno"
            )
        } _: { stack in
            let answer = try await stack.request()
            #expect(answer.status == 426)
            #expect(answer.head["Upgrade"] == told)
            #expect(answer.head["Connection"] == told.map { _ in "upgrade" })
        }
    }

    @Test("bytes in the same packet as the 101, and directly behind the request, belong to the new protocol")
    func early() async throws {
        let heard = Box<ByteBuffer>()
        try await withStack { backend in
            try await Self.accept(backend, saying: Array("GET / HTTP/1.1\r\n\r\n".utf8))
            heard.set(try await backend.bytes(38))
            try await backend.waitForEnd()
        } _: { stack in
            let client = try await stack.connect()
            try await client.send(Self.handshake + "GET /second HTTP/1.1\r\n")
            let head = try await client.head()
            #expect(head.status == 101)
            #expect(try await client.bytes(18) == ByteBuffer(string: "GET / HTTP/1.1\r\n\r\n"))
            try await client.send("Host: app.test\r\n")
            try await eventually("the backend has it") { heard.value != nil }
            #expect(heard.value == ByteBuffer(string: "GET /second HTTP/1.1\r\nHost: app.test\r\n"))
            client.close()
        }
    }

    @Test(
        "an application that declines is answered as ever, the connection goes on, and no stream stays open",
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nno go",
        ])
    func declined(answer: String) async throws {
        try await withStack { backend in
            try await backend.answerAll(answer)
        } _: { stack in
            let client = try await stack.connect()
            for request in [Self.handshake, "GET /again HTTP/1.1\r\nHost: app.test\r\n\r\n", Self.handshake] {
                try await client.send(request)
                let response = try await client.response()
                #expect(answer.hasPrefix(response.head.startLine))
            }
            #expect(stack.backend.connections.count == 1)
            let tunnel = try #require(stack.tunnels.all.first)
            try await eventually("no stream is open") { tunnel.tunnel.vitals.openStreams == 0 }
            client.close()
        }
    }

    @Test(
        "what is no upgrade is forwarded without one",
        arguments: [
            "POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n",
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n", "GET / HTTP/1.1\r\nConnection: upgrade\r\n",
            "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n",
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n",
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket, H2C\r\n",
        ])
    func notTakenUp(request: String) async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            try await backend.answer(noting: seen)
            try await backend.waitForEnd()
        } _: { stack in
            let client = try await stack.connect()
            let body = request.contains("Length") ? "hi" : request.contains("chunked") ? "2\r\nhi\r\n0\r\n\r\n" : ""
            try await client.send(request + "Host: app.test\r\n\r\n" + body)
            let response = try await client.response()
            #expect(response.status == 200)
            #expect(seen.value?["Upgrade"] == [])
            #expect(seen.value?["Connection"] == [])
            client.close()
        }
    }

    // MARK: Many bytes

    @Test("megabytes pass both ways at once")
    func large() async throws {
        let all = Self.pattern(8 << 20)
        try await withStack { backend in
            try await Self.accept(backend)
            async let sent: Void = backend.send(all)
            #expect(try await backend.bytes(all.readableBytes) == all)
            try await sent
            try await backend.waitForEnd()
        } _: { stack in
            let client = try await Self.open(stack)
            async let sent: Void = client.send(all)
            #expect(try await client.bytes(all.readableBytes) == all)
            try await sent
            client.close()
        }
    }

    @Test("a client that does not read stops the application, and then gets everything")
    func slowClient() async throws {
        let chunk = Self.pattern(1 << 16)
        let count = 1024
        let sent = Counter()
        try await withStack { backend in
            try await Self.accept(backend)
            for _ in 0..<count {
                try await backend.send(chunk)
                sent.add(1)
            }
        } _: { stack in
            let client = try await Self.open(stack, receiveBuffer: 64 * 1024)
            let held = try await sent.standstill()
            #expect(held < count * 3 / 4)
            for _ in 0..<count { #expect(try await client.bytes(chunk.readableBytes) == chunk) }
            try await client.waitForEnd()
        }
    }

    // MARK: Ends

    /// More than the tunnel takes for a client that does not read, so that the end finds bytes on the way.
    private static let behind = pattern(8 << 20)

    @Test("where the application closes, the client's connection closes behind the last byte")
    func applicationCloses() async throws {
        let sent = Counter()
        try await withStack { backend in
            try await Self.accept(backend)
            var left = Self.behind
            while let piece = left.readSlice(length: min(1 << 16, left.readableBytes)), piece.readableBytes > 0 {
                try await backend.send(piece)
                sent.add(1)
            }
        } _: { stack in
            let client = try await Self.open(stack, receiveBuffer: 64 * 1024)
            _ = try await sent.standstill()
            #expect(try await client.rest() == Self.behind)
        }
    }

    @Test("where the client closes, the application gets its last bytes and then sees the end")
    func clientCloses() async throws {
        let sent = Counter()
        let heard = Box<ByteBuffer>()
        try await withStack { backend in
            try await Self.accept(backend)
            // Until all is sent, or as much as fits between.
            _ = try await sent.standstill()
            heard.set(try await backend.rest())
        } _: { stack in
            let client = try await Self.open(stack)
            var left = Self.behind
            while let piece = left.readSlice(length: min(1 << 16, left.readableBytes)), piece.readableBytes > 0 {
                try await client.send(piece)
                sent.add(1)
            }
            client.close()
            try await eventually("the application sees the end") { heard.value != nil }
            #expect(heard.value == Self.behind)
            let tunnel = try #require(stack.tunnels.all.first)
            try await eventually("no stream is open") { tunnel.tunnel.vitals.openStreams == 0 }
        }
    }

    @Test("the application may still speak when the client has closed, but not for ever")
    func clientGone() async throws {
        let ended = Box<Bool>()
        try await withStack { backend in
            try await Self.accept(backend)
            _ = try await backend.bytes(3)
            do {
                while true { try await backend.send(Self.pattern(1 << 16)) }
            } catch {
                ended.set(true)
            }
        } _: { stack in
            let client = try await Self.open(stack)
            try await client.send("bye")
            client.close()
            try await eventually("its connection is closed") { ended.value == true }
            let tunnel = try #require(stack.tunnels.all.first)
            try await eventually("no stream is open") { tunnel.tunnel.vitals.openStreams == 0 }
        }
    }

    @Test("where nothing moves for long, both connections are closed; a shorter idle time does not count")
    func idle() async throws {
        var options = StackOptions()
        options.gatewayTimeouts.idle = .milliseconds(50)
        options.gatewayTimeouts.response = .seconds(5)
        options.upstream.timeouts.idle = .milliseconds(50)
        options.gatewayTimeouts.upgraded = .seconds(1)
        let ended = Box<Bool>()
        try await withStack(options) { backend in
            try await Self.accept(backend)
            try await backend.waitForEnd()
            ended.set(true)
        } _: { stack in
            let start = ContinuousClock.now
            let client = try await Self.open(stack)
            #expect(try await client.rest() == ByteBuffer())
            #expect(ContinuousClock.now - start > .milliseconds(900))
            try await eventually("the application's connection is closed") { ended.value == true }
            let line = try await stack.accessLine("/chat")
            #expect(line.fields["failure"] == "idle_timeout")
        }
    }

    // MARK: Restarts

    @Test(
        "a gateway that has waited long enough tells a WebSocket client to come again, between frames only",
        arguments: [[], [0x82, 2, 1, 2], [0x82, 5, 1, 2]] as [[UInt8]])
    func gatewayEnds(sent: [UInt8]) async throws {
        var options = StackOptions()
        options.gatewayGrace = .seconds(1)
        options.agentGrace = .seconds(15)
        let drainingOptions = options
        let frameIsWhole = sent.isEmpty || sent.count == 4 && sent[1] == 2
        try await testGracefulShutdown { shutdown in
            try await withStack(drainingOptions) { backend in
                try await Self.accept(backend, saying: sent)
                try await backend.waitForEnd()
            } _: { stack in
                let client = try await Self.open(stack)
                #expect(try await client.bytes(sent.count) == ByteBuffer(bytes: sent))
                shutdown.triggerGracefulShutdown()
                let rest = try await client.rest()
                #expect(rest == ByteBuffer(bytes: frameIsWhole ? Self.restart : []))
            }
        }
    }

    @Test(
        "a WebSocket client whose tunnel is lost is told to come again, between frames only",
        arguments: [[], [0x81, 126, 0, 130] + Array(1...130), [0x81, 126, 0]] as [[UInt8]])
    func tunnelLost(sent: [UInt8]) async throws {
        try await withStack { backend in
            try await Self.accept(backend, saying: sent)
            try await backend.waitForEnd()
        } _: { stack in
            let client = try await Self.open(stack)
            #expect(try await client.bytes(sent.count) == ByteBuffer(bytes: sent))
            stack.tunnels.all.first?.tunnel.channel.close(promise: nil)
            let rest = try await client.rest()
            #expect(rest == ByteBuffer(bytes: sent.count == 3 ? [] : Self.restart))
            let line = try await stack.accessLine("/chat")
            #expect(line.fields["failure"] == "tunnel_lost")
        }
    }

    @Test("a client of a protocol that has no word for it sees the end alone")
    func otherProtocol() async throws {
        try await withStack { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n")
            try await backend.waitForEnd()
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n")
            let head = try await client.head()
            #expect(head.status == 101)
            stack.tunnels.all.first?.tunnel.channel.close(promise: nil)
            #expect(try await client.rest() == ByteBuffer())
        }
    }
}
