import EdgeGateway
import NIOCore
import Telemetry
import TestSupport
import Testing
import TunnelProtocol
import TunnelTransport

@Suite("A tunnel whose data path hangs while its socket lives", .timeLimit(.minutes(1)))
struct HungDataPathTests {
    private static var options: StackOptions {
        var options = StackOptions()
        // Three of them are the patience of the agent, and must outlast a busy machine.
        options.tunnel.canaryInterval = .seconds(1)
        options.tunnel.canaryTimeout = .seconds(4)
        return options
    }

    @Test("it leaves the rotation, is told why, and all requests end well on the other tunnel, those in it included")
    func agentHangs() async throws {
        try await withStack(Self.options) { backend in
            try await backend.answerAll()
        } _: { stack in
            // Takes streams and answers none; pings it answers.
            let hung = try await FakeAgent.connect(stack)
            try await eventually("both are in the rotation") { stack.tunnels.all.count == 2 }
            try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<8 {
                    group.addTask { try await stack.request("GET", "/\(number)").status }
                }
                for try await status in group { #expect(status == 200) }
            }
            #expect(hung.requests.contains { !$0.isCanary }, "no request was under way in the hung tunnel")
            #expect(stack.tunnels.all.count == 1)
            try await eventually("it is told and closed") {
                hung.errors.map(\.code) == ["canary_failed"] && hung.closed != nil
            }
            guard case .closedByPeer(1011, _) = hung.closed else {
                Issue.record("closed as \(String(describing: hung.closed))")
                return
            }
            #expect(stack.gatewayLog.lines("Tunnel canary failed").count == 1)
            try await eventually("it is counted") {
                stack.metrics.exposition().contains(
                    "gateway_tunnel_canary_failures_total{cluster_uuid=\"cluster-a\"} 1\n")
            }
            // The other tunnel's canaries are answered, and are no business of its backend.
            let requests = stack.backend.connections.count
            #expect(requests <= 8)
            #expect(stack.agentLog.lines("Tunnel lost").isEmpty)
        }
    }

    @Test("a tunnel whose canaries are answered stays, for many intervals")
    func healthy() async throws {
        try await withStack(Self.options) { backend in
            try await backend.answerAll()
        } _: { stack in
            let tunnel = try #require(stack.tunnels.all.first)
            try await eventually("canaries were opened") { tunnel.tunnel.vitals.latest.streamsOpened >= 4 }
            #expect(stack.tunnels.all.map(\.id) == [tunnel.id])
            #expect(stack.agentLog.lines("Stream failed").isEmpty)
        }
    }

    @Test("a gateway that sends canaries no more is left by its agent")
    func gatewayHangs() async throws {
        try await withAgent { backend in
            try await backend.answerAll()
        } _: { gateway, _ in
            gateway.announceCanaries(everyMilliseconds: 100)
            try await eventually("the agent has dialled anew") { gateway.tunnelCount == 2 }
            gateway.send(.headers(StreamID(1), .request(.canary), endStream: true))
            try await eventually("the canary is answered") {
                gateway.frames.contains("head 1 200") && gateway.frames.contains("data 1 ok end")
            }
            try await eventually("the agent leaves") { gateway.errors == ["canary_failed"] }
            try await eventually("and comes again") { gateway.tunnelCount == 3 }
            // No canary ever came here: nothing is missed.
            gateway.send(FakeGateway.request(1))
            try await eventually("it serves") { gateway.frames.filter { $0.hasPrefix("head 1 200") }.count == 2 }
        }
    }
}
