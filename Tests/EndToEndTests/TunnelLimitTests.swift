import EdgeGateway
import TestSupport
import Testing
import TunnelProtocol
import TunnelTransport

@Suite("How many tunnels a cluster may have", .timeLimit(.minutes(1)))
struct TunnelLimitTests {
    @Test("every open tunnel of the cluster counts, also one without a hello, and one that its agent has drained")
    func open() async throws {
        var options = StackOptions()
        options.hasAgent = false
        try await withStack(options, within: .seconds(50)) { _ in
        } _: { stack in
            var agents: [FakeAgent] = []
            for number in 0..<128 {
                let agent = try await FakeAgent.dial(stack)
                agents.append(agent)
                guard number < 32 else { continue }
                var hello = FakeAgent.hello("cluster-a")
                hello.agentID = "fake-\(number)"
                agent.send(.hello(hello))
                try await eventually("it is welcome") { agent.isWelcome }
                agent.send(.goAway(lastStreamID: StreamID(0), detail: "on and on"))
            }
            try await eventually("none carries requests") { stack.tunnels.count(of: "cluster-a") == 0 }
            let refused = await #expect(throws: TunnelDialError.self) { try await FakeAgent.dial(stack) }
            guard case .refused(503, let detail, _) = refused else {
                Issue.record("not refused: \(String(describing: refused))")
                return
            }
            #expect(detail.hasPrefix("overloaded"))
            _ = try await FakeAgent.connect(stack, cluster: "b", host: "b.test")

            agents[0].disconnect()
            try await eventually("there is room for another") { (try? await FakeAgent.dial(stack)) != nil }
            for agent in agents { agent.disconnect() }
        }
    }
}
