import NIOCore
import TestSupport
import Testing
import TunnelProtocol
import TunnelTransport

@Suite("The agent believes no gateway's framing", .timeLimit(.minutes(1)))
struct LyingGatewayTests {
    private static let smuggled = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n"

    /// Reads whatever comes on a backend's connection and keeps it.
    private static func keep(_ seen: Box<String>, _ connection: RawConnection) async throws {
        while let bytes = try await connection.some() { seen.set((seen.value ?? "") + String(buffer: bytes)) }
    }

    @Test("a body longer than its Content-Length never becomes a second request, and the stream is reset")
    func tooLong() async throws {
        let seen = Box<String>()
        try await withAgent { backend in
            try await Self.keep(seen, backend)
        } _: { gateway, _ in
            gateway.send(
                FakeGateway.request(1, "POST", fields: ["Content-Length": "2"], end: false),
                .data(StreamID(1), ByteBuffer(string: "ok" + Self.smuggled), endStream: true))
            try await eventually("the stream is reset") { gateway.frames.contains("reset 1 protocol_error") }
            gateway.send(
                FakeGateway.request(2, "POST", fields: ["Content-Length": "2"], end: false),
                .data(StreamID(2), ByteBuffer(string: "ok"), endStream: false))
            gateway.send(.data(StreamID(2), ByteBuffer(string: Self.smuggled), endStream: true))
            try await eventually("so is the second") { gateway.frames.contains("reset 2 protocol_error") }
            #expect(seen.value?.contains("/smuggled") != true)
        }
    }

    @Test("a body shorter than its Content-Length ends the backend's connection")
    func tooShort() async throws {
        let ended = Box<Bool>()
        try await withAgent { backend in
            let head = try await backend.head()
            ended.set(false)
            do { _ = try await backend.body(of: head) } catch { ended.set(true) }
        } _: { gateway, _ in
            gateway.send(
                FakeGateway.request(1, "POST", fields: ["Content-Length": "100"], end: false),
                .data(StreamID(1), ByteBuffer(string: "short"), endStream: true))
            try await eventually("the stream is reset") { gateway.frames.contains("reset 1 protocol_error") }
            gateway.send(
                FakeGateway.request(2, "POST", fields: ["Content-Length": "100"], end: false),
                .data(StreamID(2), ByteBuffer(string: "short"), endStream: false))
            try await eventually("it is under way") { ended.value == false }
            gateway.send(.headers(StreamID(2), .trailers(["X-A": "1"]), endStream: true))
            try await eventually("so is the second") { gateway.frames.contains("reset 2 protocol_error") }
            try await eventually("the backend's request broke off") { ended.value == true }
        }
    }

    @Test("a head that announces a body and ends the stream, or announces two lengths, is refused")
    func badLengths() async throws {
        try await withAgent { backend in
            try await backend.answerAll()
        } _: { gateway, backend in
            gateway.send(FakeGateway.request(1, "POST", fields: ["Content-Length": "5"]))
            var twice = HeaderFields()
            twice.add(name: "Content-Length", value: "1")
            twice.add(name: "Content-Length", value: "2")
            gateway.send(FakeGateway.request(2, "POST", fields: twice, end: false))
            gateway.send(FakeGateway.request(3, "POST", fields: ["Content-Length": "1x"], end: false))
            try await eventually("all are reset") {
                (1...3).allSatisfy { gateway.frames.contains("reset \($0) protocol_error") }
            }
            #expect(backend.connections.isEmpty)
        }
    }

    @Test("hop-by-hop fields and a second Host of a gateway do not reach the backend")
    func hopByHop() async throws {
        let seen = Box<RawHead>()
        try await withAgent { backend in
            try await backend.answer(noting: seen)
        } _: { gateway, _ in
            gateway.send(
                FakeGateway.request(
                    1, "POST", "/x",
                    fields: [
                        "Transfer-Encoding": "chunked", "Connection": "X-Drop", "X-Drop": "1", "Host": "other.test",
                        "Content-Length": "2", "X-Kept": "1",
                    ], end: false),
                .data(StreamID(1), ByteBuffer(string: "hi"), endStream: true))
            try await eventually("it is answered") { gateway.frames.contains("head 1 200") }
            #expect(seen.value?.lines() == ["Host: app.test", "Content-Length: 2", "X-Kept: 1"])
        }
    }

    @Test("no gateway gets past what is advertised by an upgrade to HTTP/2, nor by bytes before another is accepted")
    func upgrades() async throws {
        let seen = Box<String>()
        try await withAgent { backend in
            try await Self.keep(seen, backend)
        } _: { gateway, backend in
            func request(_ id: UInt32, upgrade: String) -> Frame {
                .headers(
                    StreamID(id),
                    .request(
                        RequestHead(
                            method: "GET", authority: "app.test", target: "/", upgrade: upgrade, window: 65536,
                            fields: [:])),
                    endStream: false)
            }
            for (index, offer) in ["h2c", "websocket, H2C"].enumerated() {
                gateway.send(request(UInt32(index + 1), upgrade: offer))
            }
            try await eventually("both are reset") {
                (1...2).allSatisfy { gateway.frames.contains("reset \($0) protocol_error") }
            }
            #expect(backend.connections.isEmpty)
            gateway.send(
                request(3, upgrade: "websocket"),
                .data(StreamID(3), ByteBuffer(string: Self.smuggled), endStream: false))
            try await eventually("the backend has the head") { seen.value?.hasSuffix("\r\n\r\n") == true }
            gateway.send(.data(StreamID(3), ByteBuffer(string: Self.smuggled), endStream: false))
            gateway.send(FakeGateway.request(4))
            try await eventually("what came later is there") { backend.connections.count == 2 }
            #expect(seen.value?.contains("/smuggled") != true)
        }
    }

    @Test("a stream number used twice ends the tunnel with its name; the agent dials again")
    func reusedStream() async throws {
        try await withAgent { backend in
            try await backend.answerAll()
        } _: { gateway, _ in
            gateway.send(FakeGateway.request(5))
            try await eventually("it is answered") { gateway.frames.contains { $0.hasPrefix("head 5 200") } }
            gateway.send(FakeGateway.request(5))
            try await eventually("the gateway is told") { gateway.errors == ["bad_stream_id"] }
            try await eventually("the agent comes again") { gateway.tunnelCount == 2 }
            gateway.send(FakeGateway.request(1))
            try await eventually("and serves") { gateway.frames.contains { $0.hasPrefix("head 1 200") } }
        }
    }

    @Test("streams past the agent's limit are refused, and those within it are served")
    func tooManyStreams() async throws {
        var options = StackOptions()
        options.tunnel.maxStreams = 3
        let goOn = Box<Bool>()
        try await withAgent(options) { backend in
            _ = try await backend.head()
            try await eventually("the backend may answer") { goOn.value == true }
            try await backend.send("HTTP/1.1 204 No Content\r\n\r\n")
            try await backend.waitForEnd()
        } _: { gateway, _ in
            for id in 1...5 { gateway.send(FakeGateway.request(UInt32(id))) }
            try await eventually("two are refused") {
                gateway.frames.filter { $0.hasPrefix("reset") } == ["reset 4 refused", "reset 5 refused"]
            }
            goOn.set(true)
            try await eventually("three are served") {
                (1...3).allSatisfy { gateway.frames.contains("head \($0) 204 end") }
            }
        }
    }
}
