import HTTPExchange
import NIOCore
import NIOHPACK
import NIOHTTP2
import TestSupport
import Testing

@testable import ClusterAgent

/// A stack whose agent speaks HTTP/2 to `backend`.
func withHTTP2Stack(
    _ options: StackOptions = StackOptions(), settings: HTTP2Settings = [],
    backend script: @escaping HTTP2Backend.Script,
    _ body: @escaping @Sendable (Stack, HTTP2Backend) async throws -> Void
) async throws {
    let backend = try await HTTP2Backend(settings: settings)
    var options = options
    options.transport = BackendTransport(usesHTTP2: true)
    options.endpoints["app.test"] = .address(ip: "127.0.0.1", port: backend.port)
    let stackOptions = options
    try await backend.run(script) {
        try await withStack(stackOptions) { _ in
        } _: { stack in
            try await body(stack, backend)
        }
    }
}

@Suite("A backend that speaks HTTP/2", .timeLimit(.minutes(1)))
struct HTTP2BackendTests {
    @Test("a request arrives with its path as it is and its fields in order, and the answer comes back")
    func roundTrip() async throws {
        try await withHTTP2Stack { stream in
            try await stream.end()
            try await stream.respond(203, [("x-one", "1"), ("x-two", "2"), ("x-one", "3")])
            try await stream.send("the ")
            try await stream.send("answer", end: true)
        } _: { stack, backend in
            let response = try await stack.request(
                "POST", "/a%2Fb/../c?b=2&a=1&b=1",
                fields: [
                    "X-First: 1", "x-second: 2", "X-First: 3", "Connection: close, X-Hop", "X-Hop: no",
                    "TE: gzip, trailers",
                    "Content-Length: 4",
                ], body: "body")
            #expect(response.status == 203)
            #expect(response.text == "the answer")
            #expect(
                response.head.lines().filter { $0.lowercased().hasPrefix("x-") && !$0.hasPrefix("X-R") }
                    == ["x-one: 1", "x-two: 2", "x-one: 3"])
            let stream = try #require(backend.streams.first)
            #expect(String(buffer: stream.state.body) == "body")
            #expect(stream.state.frames == [4], "the body's end comes with the body")
            let fields = stream.head.map { "\($0.name): \($0.value)" }
            #expect(
                fields.prefix(4) == [
                    ":method: POST", ":scheme: http", ":path: /a%2Fb/../c?b=2&a=1&b=1", ":authority: app.test",
                ])
            #expect(
                fields.filter { $0.hasPrefix("x-first") || $0.hasPrefix("x-second") }
                    == ["x-first: 1", "x-second: 2", "x-first: 3"])
            #expect(fields.contains("te: trailers"))
            #expect(!fields.contains { $0.hasPrefix("connection") || $0.hasPrefix("x-hop") || $0.hasPrefix("host") })
        }
    }

    @Test("many requests share a connection, up to what the backend allows, and more connections take the rest")
    func sharedConnections() async throws {
        let goOn = Box<Bool>()
        try await withHTTP2Stack(settings: [HTTP2Setting(parameter: .maxConcurrentStreams, value: 2)]) { stream in
            try await eventually("the test goes on") { goOn.value == true }
            try await stream.answer(stream[":path"] ?? "")
        } _: { stack, backend in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<6 {
                    group.addTask {
                        let response = try await stack.request("GET", "/\(number)")
                        #expect(response.text == "/\(number)")
                    }
                }
                try await eventually("all are under way") { backend.streams.count == 6 }
                #expect(backend.connections.map(\.streams.count) == [2, 2, 2])
                goOn.set(true)
                try await group.waitForAll()
            }
            // The connections are used again.
            for _ in 0..<5 { #expect(try await stack.request().status == 200) }
            #expect(backend.connections.count == 3)
        }
    }

    @Test("a call of gRPC: te passes, messages go both ways as they come, and the status arrives in trailers")
    func bothWays() async throws {
        let seen = Box<String>()
        try await withHTTP2Stack { stream in
            try await stream.respond(200, [("content-type", "application/grpc")])
            try await eventually("the first message is there") { stream.state.body.readableBytes == 5 }
            try await stream.send("reply")
            try await stream.end()
            seen.set(stream["te"] ?? "")
            try await stream.trailers([("grpc-status", "0"), ("grpc-message", "fine")])
        } _: { stack, backend in
            let client = try await stack.connect()
            try await client.send(
                "POST /s.S/Call HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/grpc\r\nTE: trailers\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            let head = try await client.head()
            #expect(head.status == 200)
            #expect(try await client.line() == "5")
            #expect(try await client.line() == "reply")
            // The answer has begun, and the request has not ended.
            #expect(backend.streams.first?.state.hasEnded == false)
            try await client.send("6\r\nsecond\r\n0\r\nX-Request-Trailer: yes\r\n\r\n")
            #expect(try await client.line() == "0")
            #expect(try await client.line() == "grpc-status: 0")
            #expect(try await client.line() == "grpc-message: fine")
            #expect(seen.value == "trailers")
            let state = try #require(backend.streams.first?.state)
            #expect(String(buffer: state.body) == "firstsecond")
            #expect(state.trailers?.first(name: "x-request-trailer") == "yes")
        }
    }

    @Test("an answer without a body is one head: gRPC's trailers-only")
    func trailersOnly() async throws {
        try await withHTTP2Stack { stream in
            try await stream.end()
            try await stream.respond(
                200, [("content-type", "application/grpc"), ("grpc-status", "12")], end: true)
        } _: { stack, _ in
            let response = try await stack.request("POST", fields: ["Content-Length: 1"], body: "x")
            #expect(response.status == 200)
            #expect(response.head["grpc-status"] == ["12"])
            #expect(response.body.readableBytes == 0)
        }
    }

    @Test("informational heads pass, and so do answers without bodies")
    func informationalHeads() async throws {
        try await withHTTP2Stack { stream in
            if stream[":method"] == "HEAD" {
                return try await stream.respond(200, [("content-length", "1000")], end: true)
            }
            try await stream.respond(103, [("link", "</a.css>")])
            try await stream.respond(204, end: true)
        } _: { stack, _ in
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let early = try await client.head()
            #expect(early.status == 103)
            #expect(early["Link"] == ["</a.css>"])
            #expect(try await client.head().status == 204)
            let head = try await stack.request("HEAD")
            #expect(head.status == 200)
            #expect(head.head["Content-Length"] == ["1000"])
        }
    }

    @Test("a client that goes away cancels its stream, and no other")
    func cancellation() async throws {
        try await withHTTP2Stack { stream in
            guard stream[":path"] == "/wait" else { return try await stream.answer() }
        } _: { stack, backend in
            #expect(try await stack.request().status == 200)
            let client = try await stack.connect()
            try await client.send("GET /wait HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try await eventually("the request is there") { backend.streams.count == 2 }
            client.close()
            let start = ContinuousClock.now
            try await eventually("RST_STREAM arrives") { backend.streams[1].state.reset == .cancel }
            #expect(ContinuousClock.now - start < .seconds(5))
            #expect(try await stack.request().status == 200)
            #expect(backend.connections.count == 1)
        }
    }

    @Test("a backend that resets a stream fails this one alone: 502 before the head, a broken answer after it")
    func resets() async throws {
        try await withHTTP2Stack { stream in
            switch stream[":path"] {
            case "/before": try await stream.reset(.internalError)
            case "/after":
                try await stream.respond(200, [("content-length", "100")])
                try await stream.send("half")
                try await stream.reset(.internalError)
            default: try await stream.answer()
            }
        } _: { stack, backend in
            let before = try await stack.request("GET", "/before")
            #expect(before.status == 502)
            #expect(before.text.contains("backend_closed"))
            let client = try await stack.connect()
            try await client.send("GET /after HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let text = String(buffer: try await client.rest())
            #expect(text.hasPrefix("HTTP/1.1 200 OK") && text.hasSuffix("half"))
            #expect(try await stack.request().status == 200)
            #expect(backend.connections.count == 1)
        }
    }

    @Test("a stream that was refused is sent again where nothing of its body was sent")
    func refusedStreams() async throws {
        let refusals = Counter()
        try await withHTTP2Stack { stream in
            if stream[":path"] == "/always" || refusals.value == 0 {
                refusals.add(1)
                return try await stream.reset(.refusedStream)
            }
            try await stream.answer()
        } _: { stack, backend in
            #expect(try await stack.request("POST", fields: ["Content-Length: 0"]).status == 200)
            #expect(backend.streams.count == 2)
            let never = try await stack.request("GET", "/always")
            #expect(never.status == 503)
            #expect(never.text.contains("overloaded"))
        }
    }

    @Test("streams above the last one of GOAWAY go to another connection, and those below it go on")
    func goAway() async throws {
        let goOn = Box<Bool>()
        try await withHTTP2Stack { stream in
            if stream[":path"] == "/below" {
                try await eventually("the test goes on") { goOn.value == true }
            } else if stream[":path"] == "/above", stream.id > 1 {
                return try await stream.connection.goAway(last: 1)
            }
            try await stream.answer(stream[":path"] ?? "")
        } _: { stack, backend in
            async let below = stack.request("GET", "/below")
            try await eventually("the first is under way") { backend.streams.count == 1 }
            let above = try await stack.request("GET", "/above")
            #expect(above.text == "/above")
            #expect(backend.connections.count == 2)
            // What comes next does not meet the connection that ends.
            #expect(try await stack.request("GET", "/next").status == 200)
            #expect(backend.connections.map(\.streams.count).max() == 2)
            goOn.set(true)
            #expect(try await below.text == "/below")
            try await eventually("the first connection ends with its last stream") { !backend.connections[0].isOpen }
        }
    }

    @Test("a stream that nobody reads stalls itself only, and holds no more than its window")
    func stalledReader() async throws {
        let whole = ByteBuffer(repeating: 0x78, count: 12 << 20)
        let sent = Box<Bool>()
        try await withHTTP2Stack { stream in
            guard stream[":path"] == "/slow" else { return try await stream.answer() }
            try await stream.respond(200, [("content-length", "\(whole.readableBytes)")])
            try await stream.send(whole, end: true)
            sent.set(true)
        } _: { stack, backend in
            let slow = try await stack.connect(receiveBuffer: 64 * 1024)
            try await slow.send("GET /slow HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let head = try await slow.head()
            for _ in 0..<50 { #expect(try await stack.request().status == 200) }
            #expect(backend.connections.count == 1)
            #expect(sent.value == nil)
            let (body, _, _) = try await slow.body(of: head)
            #expect(body == whole)
        }
    }

    @Test("a request's body waits for the backend's credit")
    func upload() async throws {
        let taken = Counter()
        try await withHTTP2Stack { stream in
            try await eventually("the first window is full") { stream.state.body.readableBytes == 65_535 }
            // Time for more to come, which must not.
            try await Task.sleep(for: .milliseconds(50))
            taken.add(stream.state.body.readableBytes)
            while !stream.state.hasEnded {
                // The end may have come meanwhile; then there is nothing to widen.
                try? await stream.widen(100_000)
                // As a backend that takes its time: not all credit at once.
                try await Task.sleep(for: .milliseconds(1))
            }
            try await stream.answer("\(stream.state.body.readableBytes)")
        } _: { stack, _ in
            let body = String(repeating: "abcdefgh", count: 1 << 16)
            let response = try await stack.request("PUT", fields: ["Content-Length: \(body.utf8.count)"], body: body)
            #expect(response.text == "\(body.utf8.count)")
            #expect(taken.value == 65_535)
        }
    }

    @Test("an old connection takes no new requests, and ends when it has none")
    func age() async throws {
        var options = StackOptions()
        options.upstream.http2.age = .milliseconds(1)
        try await withHTTP2Stack(options) { stream in
            try await stream.answer()
        } _: { stack, backend in
            #expect(try await stack.request().status == 200)
            try await eventually("the connection ends") { backend.connections.first?.isOpen == false }
            #expect(try await stack.request().status == 200)
            #expect(backend.connections.count == 2)
        }
    }

    @Test("a backend that allows no streams is 503, and its connections are not kept")
    func noStreams() async throws {
        try await withHTTP2Stack(settings: [HTTP2Setting(parameter: .maxConcurrentStreams, value: 0)]) { _ in
        } _: { stack, backend in
            for _ in 0..<2 { #expect(try await stack.request("POST", fields: ["Content-Length: 0"]).status == 503) }
            try await eventually("the connections end") { backend.connections.allSatisfy { !$0.isOpen } }
        }
    }

    @Test("a connection whose peer has vanished is noticed by its silence, not by every request's timeout")
    func silence() async throws {
        let isSilent = Box<Bool>()
        var options = StackOptions()
        options.transport = BackendTransport(usesHTTP2: true)
        options.upstream.http2.silence = .zero
        options.upstream.http2.answer = .milliseconds(100)
        try await withStack(options) { backend in
            // SETTINGS, and then nothing: not even an answer to PING.
            try await backend.send(ByteBuffer(bytes: [0, 0, 0, 4, 0, 0, 0, 0, 0]))
            try await backend.waitForEnd()
            isSilent.set(true)
        } _: { stack in
            let start = ContinuousClock.now
            let response = try await stack.request("POST", fields: ["Content-Length: 0"])
            #expect(response.status == 502)
            #expect(response.text.contains("backend_closed"))
            #expect(ContinuousClock.now - start < .seconds(8))
            try await eventually("the connection is closed") { isSilent.value == true }
        }
    }

    @Test("an upgrade is asked for by HTTP/1.1, whatever the backend speaks otherwise")
    func upgrades() async throws {
        var options = StackOptions()
        options.transport = BackendTransport(usesHTTP2: true)
        try await withStack(options) { backend in
            let head = try await backend.head()
            #expect(head.startLine == "GET /ws HTTP/1.1")
            #expect(head["Upgrade"] == ["websocket"])
            try await backend.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhi")
            #expect(try await backend.bytes(3) == ByteBuffer(string: "you"))
        } _: { stack in
            let client = try await stack.connect()
            try await client.send(
                "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            #expect(try await client.head().status == 101)
            #expect(try await client.bytes(2) == ByteBuffer(string: "hi"))
            try await client.send("you")
            try await client.waitForEnd()
        }
    }

    @Test("fields that do not fit a frame of HTTP/2 are 431 to the client, told by the agent")
    func largeFields() async throws {
        try await withHTTP2Stack { stream in
            try await stream.answer()
        } _: { stack, _ in
            let response = try await stack.request(fields: ["X-Large: \(String(repeating: "{", count: 16_000))"])
            #expect(response.status == 431)
            #expect(response.head["Proxy-Status"].first?.hasPrefix("pipeops-agent") == true)
            let fits = try await stack.request(fields: ["X-Large: \(String(repeating: "a", count: 15_000))"])
            #expect(fits.status == 200)
        }
    }
}
