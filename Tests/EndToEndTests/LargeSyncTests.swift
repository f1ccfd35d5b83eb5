import ClusterAgent
import NIOCore
import TestSupport
import Testing
import TunnelProtocol

@Suite("A cluster with very many routes", .timeLimit(.minutes(3)))
struct LargeSyncTests {
    @Test("40,000 routes reach the gateway over a slow line, through the tunnel that they began on")
    func slowLine() async throws {
        let gateway = Box<Int>()
        let line = try await SlowLine.listen(to: gateway)
        let address = try #require(line.localAddress)
        var options = StackOptions()
        options.waitsForRoutes = false
        options.pool = { $0.resolve = { _ in [address] } }
        // Far more than a tunnel lets wait for its socket, and than sockets hold.
        let directory = String(repeating: "d", count: 300)
        options.onlyAdvertised = (0..<40_000).map { ("h\($0 / 10).test", "/\(directory)/\($0)") }
        try await withStack(options, within: .seconds(150)) { _ in
        } _: { stack in
            gateway.set(stack.agentPort)
            try await eventually(within: .seconds(140), "the whole set is acknowledged, or given up") {
                !stack.sync.acks.isEmpty || stack.sync.sessions > 1
            }
            #expect(stack.sync.acks.first?.accepted == 40_001)
            #expect(stack.sync.sessions == 1)
            #expect(stack.gatewayLog.lines("Tunnel closed").isEmpty)
        }
        try? await line.close()
    }
}
