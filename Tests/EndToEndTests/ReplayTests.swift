import EdgeGateway
import NIOCore
import Telemetry
import TestSupport
import Testing
import TunnelProtocol
import TunnelTransport

@Suite("Requests that are sent again through another tunnel", .timeLimit(.minutes(1)))
struct ReplayTests {
    /// Two tunnels of one cluster, whose agents do what the test says.
    private func withTwoAgents(_ body: @escaping @Sendable (Stack, [FakeAgent]) async throws -> Void) async throws {
        var options = StackOptions()
        options.hasAgent = false
        try await withStack(options) { _ in
        } _: { stack in
            let first = try await FakeAgent.connect(stack)
            let second = try await FakeAgent.dial(stack)
            var hello = FakeAgent.hello("cluster-a")
            hello.agentID = "fake-2"
            second.send(.hello(hello))
            try await eventually("both are in the rotation") { stack.tunnels.all.count == 2 }
            try await body(stack, [first, second])
        }
    }

    /// The agents, the one that has the request first.
    private func holder(_ agents: [FakeAgent]) async throws -> (FakeAgent, other: FakeAgent) {
        try await eventually("a tunnel has the request") { agents.contains { !$0.requests.isEmpty } }
        return agents[0].requests.isEmpty ? (agents[1], agents[0]) : (agents[0], agents[1])
    }

    /// How an agent gives a request up that it has not touched.
    enum Refusal: CaseIterable, Sendable {
        case draining, refused, overloaded, notAdvertised

        fileprivate func give(_ agent: FakeAgent) {
            let id = StreamID(1)
            switch self {
            case .draining: agent.send(.goAway(lastStreamID: StreamID(0), detail: "leaving"))
            case .refused: agent.send(.reset(id, .refused, detail: ""))
            case .overloaded: agent.send(.reset(id, .overloaded, detail: ""))
            case .notAdvertised: agent.send(.reset(id, .notAdvertised, detail: ""))
            }
        }
    }

    @Test("a POST that an agent has not touched goes to another with its body", arguments: Refusal.allCases)
    func untouched(refusal: Refusal) async throws {
        try await withTwoAgents { stack, agents in
            let client = try await stack.connect()
            try await client.send("POST /new HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello")
            let (first, other) = try await holder(agents)
            try await eventually("the body is there") { first.events.joined(separator: ", ").contains("end") }
            refusal.give(first)
            try await eventually("the other has it") { other.events == ["data 5 end"] }
            #expect(other.requests.map(\.target) == ["/new"])
            #expect(other.requests.first?.fields["Content-Length"] == ["5"])
            other.send(
                .headers(
                    StreamID(1), .response(ResponseHead(status: 201, fields: ["Content-Length": "0"])), endStream: true)
            )
            #expect(try await client.response().status == 201)
            #expect(
                stack.metrics.exposition().contains("gateway_retried_requests_total{reason=\"not_processed\"} 1\n"))
            client.close()
        }
    }

    @Test("a PUT whose tunnel is lost in the middle of its body goes to another from its beginning; a POST does not")
    func lost() async throws {
        for method in ["PUT", "POST"] {
            try await withTwoAgents { stack, agents in
                let client = try await stack.connect()
                try await client.send("\(method) / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhel")
                let (first, other) = try await holder(agents)
                try await eventually("half of it is there") { first.events == ["data 3"] }
                first.disconnect()
                guard method == "PUT" else {
                    #expect(try await client.response().status == 503)
                    #expect(other.requests.isEmpty)
                    return
                }
                try await eventually("the other has what was sent") { other.events == ["data 3"] }
                try await client.send("lo")
                try await eventually("and the rest") { other.events.last?.hasSuffix("end") == true }
                #expect(other.events.contains("data 2") || other.events.contains("data 2 end"))
                // Not a third time.
                other.disconnect()
                #expect(try await client.response().status == 503)
                #expect(
                    stack.metrics.exposition().contains("gateway_retried_requests_total{reason=\"tunnel_lost\"} 1\n"))
                client.close()
            }
        }
    }

    @Test("a body of more than may be kept is not sent again")
    func tooLarge() async throws {
        let size = FrameLimits.initialRequestCredit * 4
        try await withTwoAgents { stack, agents in
            let client = try await stack.connect()
            try await client.send("PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: \(size)\r\n\r\n")
            try await client.send(ByteBuffer(repeating: 0x78, count: size))
            let (first, other) = try await holder(agents)
            let line = { first.events.compactMap { Int($0.split(separator: " ").last ?? "") }.reduce(0, +) }
            try await eventually("the credit is used up") { line() >= FrameLimits.initialRequestCredit }
            first.send(.reset(StreamID(1), .refused, detail: ""))
            let response = try await client.response()
            #expect(response.status == 503)
            #expect(other.requests.isEmpty)
            client.close()
        }
    }

    @Test("nothing is sent again once an answer has begun")
    func answered() async throws {
        try await withTwoAgents { stack, agents in
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let (first, other) = try await holder(agents)
            first.send(
                .headers(
                    StreamID(1), .response(ResponseHead(status: 200, fields: ["Content-Length": "5"])), endStream: false
                ))
            _ = try await client.head()
            first.disconnect()
            #expect(try await client.rest() == ByteBuffer())
            #expect(other.requests.isEmpty)
        }
    }
}
