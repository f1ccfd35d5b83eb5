import EdgeGateway
import NIOCore
import TestSupport
import Testing
import TunnelProtocol
import TunnelTransport

@Suite("When a tunnel ends", .timeLimit(.minutes(1)))
struct TunnelLossTests {
    @Test("a tunnel that dies before the answer is 503 at once; service returns with the next tunnel")
    func lostBeforeHead() async throws {
        let working = Box<Bool>()
        try await withStack { backend in
            while true {
                let head = try await backend.head()
                guard head.target == "/slow" else {
                    try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    continue
                }
                working.set(true)
                try await backend.waitForEnd()
            }
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("GET /slow HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try await eventually("the backend is at work") { working.value == true }
            let start = ContinuousClock.now
            stack.tunnels.all.first?.tunnel.channel.close(promise: nil)
            let response = try await client.response()
            #expect(response.status == 503)
            #expect(response.text.contains(#""code":"tunnel_lost""#))
            #expect(response.head["Retry-After"].count == 1)
            #expect(ContinuousClock.now - start < .seconds(5))
            try await eventually("the agent's routes are sent again") { stack.sync.acks.count == 2 }
            try await eventually("service returns") {
                let again = try await stack.request()
                return again.status == 200
            }
            #expect(stack.agentLog.lines("Tunnel lost").count == 1)
            client.close()
        }
    }

    @Test("of the requests in a tunnel that dies, those that may be repeated go to another, once, and others fail")
    func lostAndRepeated() async throws {
        var options = StackOptions()
        options.hasAgent = false
        try await withStack(options) { _ in
        } _: { stack in
            var agents = [try await FakeAgent.connect(stack)]
            for number in 2...3 {
                let agent = try await FakeAgent.dial(stack)
                var hello = FakeAgent.hello("cluster-a")
                hello.agentID = "fake-\(number)"
                agent.send(.hello(hello))
                try await eventually("it is welcome") { agent.isWelcome }
                agents.append(agent)
            }
            func holder(_ target: String) -> FakeAgent? {
                agents.first { $0.closed == nil && $0.requests.contains { $0.target == target } }
            }
            for (method, survives) in [("POST", false), ("GET", true)] {
                let client = try await stack.connect()
                try await client.send("\(method) /\(method) HTTP/1.1\r\nHost: app.test\r\n\r\n")
                try await eventually("a tunnel has it") { holder("/\(method)") != nil }
                let first = try #require(holder("/\(method)"))
                first.disconnect()
                if survives {
                    try await eventually("the other has it") {
                        first.closed != nil && holder("/\(method)") != nil
                    }
                    holder("/\(method)")?.disconnect()
                }
                let answer = try await client.response()
                #expect(answer.status == 503)
                #expect(answer.text.contains(#""code":"tunnel_lost""#))
                client.close()
            }
        }
    }

    @Test("a tunnel that dies in the middle of an answer breaks the client's connection")
    func lostAfterHead() async throws {
        try await withStack { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            try await backend.waitForEnd()
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("GET /lost HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await client.head()
            stack.tunnels.all.first?.tunnel.channel.close(promise: nil)
            let rest = String(buffer: try await client.rest())
            #expect(!rest.contains("\r\n0\r\n\r\n"))
            let line = try await stack.accessLine("/lost")
            #expect(line.fields["failure"] == "tunnel_lost")
        }
    }

    /// Answers `/open` with `halfhalf`, the second half when it is told to, and expects no other request.
    private static func inHalves(_ goOn: Box<Bool>) -> Backend.Script {
        { backend in
            let head = try await backend.head()
            #expect(head.target == "/open")
            try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
            try await eventually("the drain began") { goOn.value == true }
            try await backend.send("half")
            try await backend.waitForEnd()
        }
    }

    @Test("a tunnel that is drained lets its open streams end and takes no new one")
    func drained() async throws {
        let goOn = Box<Bool>()
        try await withStack(backend: Self.inHalves(goOn)) { stack in
            let client = try await stack.connect()
            try await client.send("GET /open HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let head = try await client.head()
            stack.tunnels.all.first?.tunnel.drain(detail: "test")
            let refused = try await stack.request("GET", "/new")
            #expect(refused.status == 503)
            try await eventually("the agent knows") { !stack.agentLog.lines("Tunnel drained by the gateway").isEmpty }
            goOn.set(true)
            let (body, _, _) = try await client.body(of: head)
            #expect(String(buffer: body) == "halfhalf")
            client.close()
        }
    }

    @Test("an agent that ends gracefully finishes what is open and is out of the rotation at once")
    func agentEnds() async throws {
        var options = StackOptions()
        options.agentGrace = .seconds(10)
        let goOn = Box<Bool>()
        try await withStack(options, backend: Self.inHalves(goOn)) { stack in
            let client = try await stack.connect()
            try await client.send("GET /open HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let head = try await client.head()
            stack.stopAgent()
            try await eventually("it is out of the rotation") { stack.tunnels.all.isEmpty }
            let refused = try await stack.request("GET", "/new")
            #expect(refused.status == 503)
            #expect(stack.gatewayLog.lines("Tunnel closed").isEmpty)
            #expect(stack.agentHasEnded.value == nil)
            goOn.set(true)
            let (body, _, _) = try await client.body(of: head)
            #expect(String(buffer: body) == "halfhalf")
            try await eventually("then it ends") { stack.agentHasEnded.value == true }
            try await eventually("then it closes the tunnel") {
                stack.gatewayLog.lines("Tunnel closed").first?.fields["reason"]?.contains("going away") == true
            }
            client.close()
        }
    }

    @Test("a request that a draining tunnel refuses goes to another tunnel of the cluster")
    func retriedElsewhere() async throws {
        try await withStack { backend in
            try await backend.answerAll()
        } _: { stack in
            // A second tunnel, of an agent that refuses every stream as draining.
            let other = try await FakeAgent.connect(stack)
            try await eventually("both are in the rotation") { stack.tunnels.all.count == 2 }
            other.send(.goAway(lastStreamID: StreamID(0), detail: "leaving"))
            for _ in 0..<10 {
                let response = try await stack.request()
                #expect(response.status == 200)
            }
        }
    }
}
