import EdgeGateway
import NIOCore
import ServiceLifecycleTestKit
import TestSupport
import Testing

@Suite("Ending without breaking what is open", .timeLimit(.minutes(1)))
struct GracefulShutdownTests {
    @Test("21: a gateway and an agent that are told to end finish the open exchange first, and take no new one")
    func drain() async throws {
        var options = StackOptions()
        options.gatewayGrace = .seconds(10)
        options.agentGrace = .seconds(10)
        let drainingOptions = options
        let goOn = Box<Bool>()
        try await testGracefulShutdown { shutdown in
            try await withStack(drainingOptions) { backend in
                _ = try await backend.head()
                try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
                try await eventually("the shutdown began") { goOn.value == true }
                try await backend.send("half")
                try await backend.waitForEnd()
            } _: { stack in
                let client = try await stack.connect()
                let idle = try await stack.connect()
                try await client.send("GET /open HTTP/1.1\r\nHost: app.test\r\n\r\n")
                let head = try await client.head()
                shutdown.triggerGracefulShutdown()
                try await idle.waitForEnd()
                try await eventually("the front door is shut") {
                    do {
                        try await stack.connect().close()
                        return false
                    } catch {
                        return true
                    }
                }
                #expect(stack.gatewayLog.lines("Tunnel closed").isEmpty)
                goOn.set(true)
                let (body, _, _) = try await client.body(of: head)
                #expect(String(buffer: body) == "halfhalf")
                try await client.waitForEnd()
                try await eventually("the tunnel is closed on purpose") {
                    stack.gatewayLog.lines("Tunnel closed").first?.fields["reason"]?.contains("going away") == true
                }
            }
        }
    }
}
