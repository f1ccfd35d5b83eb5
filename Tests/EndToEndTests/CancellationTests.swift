import NIOCore
import NIOHTTP1
import TestSupport
import Testing
import TunnelProtocol

@Suite("Nobody works for an answer that nobody wants", .timeLimit(.minutes(1)))
struct CancellationTests {
    @Test("a client that goes away ends the backend's call within a second", arguments: [false, true])
    func clientLeaves(midBody: Bool) async throws {
        let started = Box<Bool>()
        let ended = Box<ContinuousClock.Instant>()
        try await withStack { backend in
            _ = try await backend.head()
            if midBody { try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf") }
            started.set(true)
            try await backend.waitForEnd()
            ended.set(.now)
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("GET /gone HTTP/1.1\r\nHost: app.test\r\n\r\n")
            if midBody { _ = try await client.head() }
            try await eventually("the backend is at work") { started.value == true }
            client.close()
            let left = ContinuousClock.now
            try await eventually(within: .seconds(10), "the backend knows") { ended.value != nil }
            #expect(try #require(ended.value) - left < .seconds(5))
            let line = try await stack.accessLine("/gone")
            #expect(line.fields["failure"] == "client_closed")
            #expect(line.fields["status"] == (midBody ? "200" : "499"))
        }
    }

    @Test("a client that goes away in its upload ends the backend's call, which does not see the upload as whole")
    func clientLeavesUpload() async throws {
        let outcome = Box<String>()
        try await withStack { backend in
            try await backend.takeRequest(noting: outcome)
        } _: { stack in
            for framing in ["Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
                outcome.set("")
                let client = try await stack.connect()
                let before = stack.backend.connections.count
                try await client.send("POST / HTTP/1.1\r\nHost: app.test\r\n\(framing)")
                try await eventually("the backend is at work") { stack.backend.connections.count > before }
                client.close()
                try await eventually(within: .seconds(10), "the backend knows") { outcome.value == "broken off" }
            }
        }
    }

    @Test("a backend that goes away ends the client's answer within a second")
    func backendLeaves() async throws {
        let closed = Box<ContinuousClock.Instant>()
        try await withStack { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            closed.set(.now)
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await client.rest()
            #expect(ContinuousClock.now - (try #require(closed.value)) < .seconds(5))
        }
    }

    @Test("a backend that closes during an upload without an answer is 502 at once, not at the upload's end")
    func backendLeavesUpload() async throws {
        try await withStack { backend in
            _ = try await backend.head()
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000\r\n\r\nhalf")
            let response = try await client.response()
            #expect(response.status == 502)
            client.close()
        }
    }

    @Test("the agent's stream is reset when the client goes away")
    func resetOnTheWire() async throws {
        var options = StackOptions()
        options.hasAgent = false
        try await withStack(options) { _ in
        } _: { stack in
            let agent = try await FakeAgent.connect(stack)
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await agent.request()
            client.close()
            try await eventually(within: .seconds(10), "the reset arrives") { agent.events == ["reset cancelled"] }
            // What the agent still sends on it disturbs nobody.
            agent.send(
                .headers(StreamID(1), .response(.init(status: 200, fields: [:])), endStream: false),
                .data(StreamID(1), ByteBuffer(string: "late"), endStream: true))
            let next = try await stack.connect()
            try await next.send("GET /2 HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await agent.request(2)
            agent.send(.headers(StreamID(2), .response(.init(status: 204, fields: [:])), endStream: true))
            let answer = try await next.response()
            #expect(answer.status == 204)
            next.close()
        }
    }

    @Test("clients that vanish in the middle of their uploads harm nobody", arguments: [false, true])
    func vanishingClients(separateLoops: Bool) async throws {
        var options = StackOptions()
        options.separateLoops = separateLoops
        try await withStack(options) { backend in
            while true {
                let head = try await backend.head()
                // Slow enough for the tunnel to ask the gateway to hold back.
                if head.method == "POST" { try await backend.waitForEnd() }
                try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        } _: { stack in
            let bytes = ByteBuffer(repeating: 1, count: 512 * 1024)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<100 {
                    group.addTask {
                        let client = try await stack.connect()
                        try await client.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9000000\r\n\r\n")
                        client.post(bytes)
                        // Not a wait: the clients go away at different moments of their requests.
                        try await Task.sleep(for: .milliseconds(number % 10))
                        client.close()
                    }
                }
                try await group.waitForAll()
            }
            let response = try await stack.request()
            #expect(response.status == 200)
            try await eventually("every request is over") {
                stack.gatewayLog.lines("Gateway proxy request").count == 101
            }
        }
    }
}
