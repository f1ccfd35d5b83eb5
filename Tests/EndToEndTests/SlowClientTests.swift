import EdgeGateway
import HTTPExchange
import NIOCore
import TestSupport
import Testing

@Suite("Slow clients", .timeLimit(.minutes(1)))
struct SlowClientTests {
    private static let request = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"

    private func options(
        header: TimeAmount = .seconds(20), keepAlive: TimeAmount = .seconds(20),
        timeouts: ExchangeStateMachine.Timeouts = .init(response: .seconds(20), idle: .seconds(20))
    ) -> StackOptions {
        var options = StackOptions()
        options.limits.header = header
        options.limits.keepAlive = keepAlive
        options.gatewayTimeouts = timeouts
        return options
    }

    private func expectTimeout(_ connection: RawConnection) async throws {
        let head = try await connection.head()
        #expect(head.status == 408)
        #expect(head["Connection"] == ["close"])
        #expect(String(buffer: try await connection.rest()).contains(#""code":"request_timeout""#))
    }

    /// Sends the text a byte at a time until it is at an end, or nobody takes it any more.
    private func trickle(_ text: String, on connection: RawConnection) async {
        for byte in text.utf8 {
            guard (try? await connection.send(ByteBuffer(bytes: [byte]))) != nil else { return }
            // Not a wait: so slow the client is.
            try? await Task.sleep(for: .milliseconds(20))
        }
    }

    @Test("a head that trickles in is given up when its time is over, however steadily it comes")
    func trickledHead() async throws {
        try await withStack(options(header: .milliseconds(300))) { backend in
            try await backend.answerAll()
        } _: { stack in
            let connection = try await stack.connect()
            let start = ContinuousClock.now
            async let sent: Void = trickle(Self.request + String(repeating: "x", count: 1000), on: connection)
            // The request itself takes longer than that: 36 bytes, 20 ms each.
            try await expectTimeout(connection)
            #expect(ContinuousClock.now - start >= .milliseconds(300))
            connection.close()
            await sent
            #expect(stack.backend.connections.isEmpty)
            let line = try await stack.accessLine("")
            #expect(line.fields["failure"] == "request_timeout")
            #expect(line.fields["status"] == "408")
        }
    }

    @Test("so is the second of a connection, while those before it are answered")
    func secondHead() async throws {
        try await withStack(options(header: .milliseconds(300))) { backend in
            try await backend.answerAll()
        } _: { stack in
            let connection = try await stack.connect()
            try await connection.send(Self.request)
            #expect(try await connection.response().status == 200)
            try await connection.send(Self.request + "GET / HT")
            #expect(try await connection.response().status == 200)
            try await expectTimeout(connection)
        }
    }

    @Test("a connection on which nothing comes is closed without a word, also behind an answer")
    func nothing() async throws {
        try await withStack(options(keepAlive: .milliseconds(300)), within: .seconds(50)) { backend in
            try await backend.answerAll()
        } _: { stack in
            #expect(try await stack.connect().rest().readableBytes == 0)
            let used = try await stack.connect()
            try await used.send(Self.request)
            #expect(try await used.response().status == 200)
            #expect(try await used.rest().readableBytes == 0)
        }
    }

    @Test("empty lines are nothing, however long they come")
    func emptyLines() async throws {
        try await withStack(options(keepAlive: .milliseconds(300)), within: .seconds(50)) { backend in
            try await backend.answerAll()
        } _: { stack in
            let connection = try await stack.connect()
            async let sent: Void = trickle(String(repeating: "\r\n", count: 1000), on: connection)
            #expect((try? await connection.rest().readableBytes) ?? 0 == 0)
            await sent
            // What looks like the beginning of a request when the time is over, and is none.
            let late = try await stack.connect()
            try await late.send("\r")
            // Until that time is over, twice.
            try await Task.sleep(for: .milliseconds(600))
            try await late.send("\n")
            #expect(try await late.rest().readableBytes == 0)
        }
    }

    @Test("a head that has begun has its own time, though the connection was idle for long")
    func lateHead() async throws {
        try await withStack(options(header: .seconds(20), keepAlive: .milliseconds(400))) { backend in
            try await backend.answerAll()
        } _: { stack in
            let connection = try await stack.connect()
            try await connection.send("GET / ")
            // Longer than it may be without a request.
            try await Task.sleep(for: .milliseconds(800))
            try await connection.send("HTTP/1.1\r\nHost: app.test\r\n\r\n")
            #expect(try await connection.response().status == 200)
            connection.close()
        }
    }

    /// A stack whose application reads a request's head, and says nothing for longer than it may.
    private func withSilentApplication(_ body: @escaping @Sendable (Stack) async throws -> Void) async throws {
        let timeouts = ExchangeStateMachine.Timeouts(response: .milliseconds(300), idle: .seconds(20))
        try await withStack(options(timeouts: timeouts)) { backend in
            _ = try await backend.head()
            try await backend.waitForEnd()
        } _: { stack in
            try await body(stack)
        }
    }

    @Test("an upload that stands still is answered 408")
    func stalledUpload() async throws {
        try await withSilentApplication { stack in
            let connection = try await stack.connect()
            try await connection.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\nhello")
            try await expectTimeout(connection)
        }
    }

    @Test("who waits for a 100 is not who is slow: that is the application")
    func expecting() async throws {
        try await withSilentApplication { stack in
            let connection = try await stack.connect()
            try await connection.send(
                "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
            #expect(try await connection.head().status == 504)
            connection.close()
        }
    }

    @Test("a client that does not take its answer is cut off when nothing has moved for long enough")
    func unreadAnswer() async throws {
        let timeouts = ExchangeStateMachine.Timeouts(response: .seconds(20), idle: .milliseconds(500))
        let ended = Box<Bool>()
        try await withStack(options(timeouts: timeouts)) { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            let piece = ByteBuffer(repeating: 1, count: 100_000)
            while (try? await backend.send(piece)) != nil {}
            ended.set(true)
        } _: { stack in
            let connection = try await stack.connect(receiveBuffer: 32 * 1024)
            try await connection.send(Self.request)
            try await eventually("the application is told") { ended.value == true }
            #expect(try await stack.accessLine("/").fields["failure"] == "idle_timeout")
            connection.close()
        }
    }

    @Test("an exchange may be bounded as a whole, though bytes move all the time")
    func total() async throws {
        let timeouts = ExchangeStateMachine.Timeouts(
            response: .seconds(20), idle: .seconds(20), total: .seconds(2))
        try await withStack(options(timeouts: timeouts)) { backend in
            let head = try await backend.head()
            guard head.target == "/stream" else { return try await backend.waitForEnd() }
            try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            // Something moves more often than any other bound allows for.
            while (try? await backend.send("x")) != nil { try await Task.sleep(for: .milliseconds(10)) }
        } _: { stack in
            let connection = try await stack.connect()
            try await connection.send("GET /stream HTTP/1.1\r\nHost: app.test\r\n\r\n")
            #expect(try await connection.head().status == 200)
            _ = try await connection.rest()
            #expect(try await stack.accessLine("/stream").fields["failure"] == "time_limit")
            let answer = try await stack.request("GET", "/silent")
            #expect(answer.status == 504)
            #expect(answer.text.contains(#""code":"time_limit""#))
        }
    }
}
