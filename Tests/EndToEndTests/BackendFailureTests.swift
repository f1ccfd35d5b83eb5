import HTTPExchange
import NIOCore
import TestSupport
import Testing

@testable import ClusterAgent

@Suite("What goes wrong behind the agent", .timeLimit(.minutes(1)))
struct BackendFailureTests {
    private func code(_ response: RawResponse) -> String {
        response.text.split(separator: "\"code\":\"").dropFirst().first?.split(separator: "\"").first.map(String.init)
            ?? ""
    }

    @Test("a backend that accepts no connections is 502 backend_unreachable")
    func unreachable() async throws {
        let closed = try ReservedPort()
        var options = StackOptions()
        options.endpoints = ["app.test": .address(ip: "127.0.0.1", port: closed.number)]
        try await withStack(options) { _ in
        } _: { stack in
            let response = try await stack.request("GET", "/u")
            #expect(response.status == 502)
            #expect(code(response) == "backend_unreachable")
            let line = try await stack.accessLine("/u")
            #expect(line.fields["failure"] == "backend_unreachable")
            #expect(line.fields["failure_detail"]?.contains("127.0.0.1") == true)
        }
    }

    @Test("a Service name that does not resolve is 502 backend_unresolved")
    func unresolved() async throws {
        var options = StackOptions()
        options.endpoints = ["app.test": .name("no-such-name.invalid", port: 80)]
        try await withStack(options) { _ in
        } _: { stack in
            let response = try await stack.request()
            #expect(response.status == 502)
            #expect(code(response) == "backend_unresolved")
        }
    }

    @Test("an answer whose head does not fit is 502, and the backend's endless body is not read on")
    func oversizedHead() async throws {
        let ended = Box<Bool>()
        try await withStack { backend in
            _ = try await backend.head()
            let field = String(repeating: "v", count: 900)
            let fields = (0..<80).map { "X-\($0): \(field)\r\n" }.joined()
            try await backend.send("HTTP/1.1 200 OK\r\n\(fields)Content-Length: 1000000000\r\n\r\n")
            try await backend.waitForEnd()
            ended.set(true)
        } _: { stack in
            let response = try await stack.request()
            #expect(response.status == 502)
            try await eventually(within: .seconds(10), "the backend's connection is closed") { ended.value == true }
        }
    }

    @Test("a backend that does not answer in time is 504 and its connection is closed")
    func slow() async throws {
        var options = StackOptions()
        options.upstream.timeouts.response = .seconds(1)
        let ended = Box<Bool>()
        try await withStack(options) { backend in
            _ = try await backend.head()
            try await backend.waitForEnd()
            ended.set(true)
        } _: { stack in
            let response = try await stack.request()
            #expect(response.status == 504)
            #expect(code(response) == "backend_timeout")
            try await eventually(within: .seconds(10), "the backend's connection is closed") { ended.value == true }
        }
    }

    @Test("the gateway's own clock ends what the agent does not, by the route's annotation")
    func slowAtGateway() async throws {
        var options = StackOptions()
        options.annotations = ["gateway.pipeops.io/response-timeout": "250ms"]
        try await withStack(options) { backend in
            _ = try await backend.head()
            try await backend.waitForEnd()
        } _: { stack in
            let start = ContinuousClock.now
            let response = try await stack.request()
            #expect(response.status == 504)
            #expect(ContinuousClock.now - start < .seconds(10))
        }
    }

    @Test("an answer that stops in the middle is broken off at the client after the idle timeout")
    func idle() async throws {
        var options = StackOptions()
        options.annotations = ["gateway.pipeops.io/idle-timeout": "300ms"]
        try await withStack(options) { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            try await backend.waitForEnd()
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("GET /idle HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let start = ContinuousClock.now
            let answer = String(buffer: try await client.rest())
            #expect(answer.hasSuffix("\r\n\r\nhalf"))
            #expect(ContinuousClock.now - start < .seconds(10))
            let line = try await stack.accessLine("/idle")
            #expect(line.fields["failure"] == "idle_timeout")
            #expect(line.fields["status"] == "200")
        }
    }

    @Test("a client that reads slowly is no idle one to the agent, and a backend that falls silent is")
    func agentsIdleTimeout() async throws {
        let whole = ByteBuffer(repeating: 0x78, count: 24 << 20)
        let sent = Counter()
        var options = StackOptions()
        options.upstream.timeouts.idle = .seconds(2)
        try await withStack(options, within: .seconds(30)) { backend in
            while true {
                let head = try await backend.head()
                try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: \(whole.readableBytes)\r\n\r\n")
                guard head.target == "/slow" else { return try await backend.waitForEnd() }
                var left = whole
                while let piece = left.readSlice(length: 1 << 16) {
                    try await backend.send(piece)
                    sent.add(1)
                }
            }
        } _: { stack in
            let client = try await stack.connect(receiveBuffer: 64 * 1024)
            try await client.send("GET /slow HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let head = try await client.head()
            _ = try await sent.standstill()
            // Several times as long as the agent bears silence.
            try await Task.sleep(for: .seconds(5))
            let (body, _, _) = try await client.body(of: head)
            #expect(body == whole)
            client.close()

            let other = try await stack.connect()
            try await other.send("GET /silent HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await other.rest()
            let line = try await stack.accessLine("/silent")
            #expect(line.fields["failure"] == "idle_timeout")
        }
    }

    @Test("a backend that closes before it answers is 502 backend_closed")
    func closedEarly() async throws {
        try await withStack { backend in
            _ = try await backend.head()
        } _: { stack in
            let response = try await stack.request()
            #expect(response.status == 502)
            #expect(code(response) == "backend_closed")
        }
    }

    @Test(
        "an answer that is not HTTP is 502 backend_invalid",
        arguments: [
            "garbage garbage garbage\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabcd",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "SSH-2.0-OpenSSH_9.6\r\n",
        ])
    func garbage(answer: String) async throws {
        try await withStack { backend in
            _ = try await backend.head()
            try await backend.send(answer)
            try await backend.waitForEnd()
        } _: { stack in
            let response = try await stack.request()
            #expect(response.status == 502)
            #expect(code(response) == "backend_invalid")
        }
    }

    @Test(
        "an answer that breaks off after its head breaks the client's connection, so that nobody takes it for whole",
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
        ])
    func brokenOff(answer: String) async throws {
        try await withStack { backend in
            _ = try await backend.head()
            try await backend.send(answer)
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let received = String(buffer: try await client.rest())
            #expect(received.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(!received.contains("\r\n0\r\n\r\n"))
        }
    }

    @Test("an answer that its connection's end ends is whole")
    func untilClose() async throws {
        try await withStack { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.0 200 OK\r\n\r\nold but good")
        } _: { stack in
            let response = try await stack.request()
            #expect(response.status == 200)
            #expect(response.text == "old but good")
            #expect(response.head["Transfer-Encoding"] == ["chunked"])
        }
    }

    @Test("bytes behind an answer are nobody's answer")
    func surplus() async throws {
        try await withStack { backend in
            _ = try await backend.head()
            try await backend.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            try await backend.answerAll("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
        } _: { stack in
            let first = try await stack.request()
            #expect(first.text == "ok")
            for _ in 0..<5 {
                let next = try await stack.request()
                #expect(next.text != "evil")
            }
        }
    }

    @Test("a kept connection that the backend closed is replaced once for a request that may be repeated")
    func staleConnection() async throws {
        let requests = Box<Int>()
        requests.set(0)
        try await withStack { backend in
            // Answers once; then takes the next request and closes instead of answering it.
            try await backend.answer()
            _ = try await backend.head()
            requests.set((requests.value ?? 0) + 1)
        } _: { stack in
            let first = try await stack.request("GET", "/1")
            #expect(first.status == 200)
            let second = try await stack.request("GET", "/2")
            #expect(second.status == 200)
            #expect(requests.value == 1)
            #expect(stack.backend.connections.count == 2)
            // A POST is never sent twice.
            let third = try await stack.request("POST", "/3", fields: ["Content-Length: 0"])
            #expect(third.status == 502)
            #expect(stack.backend.connections.count == 2)
        }
    }
}
