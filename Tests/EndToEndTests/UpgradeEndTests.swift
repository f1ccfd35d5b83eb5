import EdgeGateway
import HTTPExchange
import NIOCore
import ServiceLifecycleTestKit
import TestSupport
import Testing
import TunnelProtocol

@testable import TunnelTransport

@Suite("How an upgraded connection ends", .timeLimit(.minutes(1)))
struct UpgradeEndTests {
    private static let megabyte = UpgradeTests.pattern(1 << 20)

    @Test("a client that has said its last still gets all that the application says after it")
    func clientEndsFirst() async throws {
        let heard = Box<ByteBuffer>()
        try await withStack { backend in
            try await backend.allowHalfClosure()
            try await UpgradeTests.accept(backend)
            heard.set(try await backend.rest())
            try await backend.send(Self.megabyte)
        } _: { stack in
            let client = try await UpgradeTests.open(stack)
            try await client.allowHalfClosure()
            try await client.send("question")
            try await client.endOutput()
            #expect(try await client.rest() == Self.megabyte)
            #expect(heard.value == ByteBuffer(string: "question"))
            client.close()
            let line = try await stack.accessLine("/chat")
            #expect(line.fields["failure"] == nil)
            try await Self.noStreamIsOpen(stack)
        }
    }

    @Test("an application that has said its last still gets all that the client says after it")
    func applicationEndsFirst() async throws {
        let heard = Box<ByteBuffer>()
        try await withStack { backend in
            try await backend.allowHalfClosure()
            try await UpgradeTests.accept(backend)
            #expect(try await backend.bytes(5) == ByteBuffer(string: "ready"))
            try await backend.send("question")
            try await backend.endOutput()
            heard.set(try await backend.rest())
        } _: { stack in
            let client = try await UpgradeTests.open(stack)
            try await client.allowHalfClosure()
            try await client.send("ready")
            #expect(try await client.rest() == ByteBuffer(string: "question"))
            try await client.send(Self.megabyte)
            try await client.endOutput()
            try await eventually("the application has heard the end") { heard.value != nil }
            #expect(heard.value == Self.megabyte)
            client.close()
            let line = try await stack.accessLine("/chat")
            #expect(line.fields["failure"] == nil)
            try await Self.noStreamIsOpen(stack)
        }
    }

    @Test("where one side has said its last, silence of the other is borne no longer than that of any answer")
    func silenceBehindAnEnd() async throws {
        var options = StackOptions()
        options.gatewayTimeouts.idle = .milliseconds(200)
        let isOver = Box<Bool>()
        try await withStack(options) { backend in
            try await backend.allowHalfClosure()
            try await UpgradeTests.accept(backend)
            try await backend.waitForEnd()
            // Says nothing more, and closes nothing.
            try await eventually("the test is over") { isOver.value == true }
        } _: { stack in
            let client = try await UpgradeTests.open(stack)
            try await client.allowHalfClosure()
            try await client.endOutput()
            let line = try await stack.accessLine("/chat")
            #expect(line.fields["failure"] == "idle_timeout")
            try await Self.noStreamIsOpen(stack)
            isOver.set(true)
            client.close()
        }
    }

    @Test(
        "an application that talks on when its client is gone is cancelled within a second",
        arguments: [false, true])
    func clientGone(leavingBytesUnread: Bool) async throws {
        let sent = Counter()
        let ended = Box<ContinuousClock.Instant>()
        try await withStack { backend in
            try await UpgradeTests.accept(backend)
            _ = try await backend.bytes(3)
            do {
                while true {
                    try await backend.send(UpgradeTests.pattern(1 << 16))
                    sent.add(1)
                }
            } catch {
                ended.set(.now)
            }
        } _: { stack in
            let client = try await UpgradeTests.open(stack)
            try await client.send("bye")
            // Over unread bytes a connection is closed with a reset.
            if leavingBytesUnread { _ = try await sent.standstill() }
            client.close()
            let left = ContinuousClock.now
            try await eventually("its connection is closed") { ended.value != nil }
            #expect(try #require(ended.value) - left < .seconds(4))
            try await Self.noStreamIsOpen(stack)
        }
    }

    // MARK: Restarts

    /// A client that has sent what nobody reads, and not read what an agent's application has sent: more than the
    /// sockets on the way take.
    private func withBusyClient(
        _ options: StackOptions, _ body: @escaping @Sendable (Stack, FakeAgent, RawConnection) async throws -> Void
    ) async throws {
        var options = options
        options.hasAgent = false
        try await withStack(options) { _ in
        } _: { stack in
            let agent = try await FakeAgent.connect(stack)
            let client = try await stack.connect(receiveBuffer: 32 * 1024)
            try await client.send(UpgradeTests.handshake)
            _ = try await agent.request()
            agent.send(.headers(StreamID(1), .response(.init(status: 101, fields: [:])), endStream: false))
            let head = try await client.head()
            #expect(head.status == 101)
            client.post(UpgradeTests.pattern(4 << 20))
            // Without more credit than every request has.
            try await eventually("the client is held back") { agent.received >= 65_536 }
            agent.send(.data(StreamID(1), Self.frames, endStream: false))
            try await body(stack, agent, client)
            client.close()
        }
    }

    /// Whole WebSocket frames.
    private static let frames = ByteBuffer(bytes: (0..<16_000).flatMap { _ in [0x82, 2, 1, 2] as [UInt8] })

    @Test("a client of a lost tunnel is told to come again even while it sends and does not read")
    func tunnelLost() async throws {
        try await withBusyClient(StackOptions()) { stack, agent, client in
            agent.disconnect()
            try await eventually("the tunnel is lost") { stack.tunnels.all.isEmpty }
            var expected = Self.frames
            expected.writeBytes(UpgradeTests.restart)
            #expect(try await client.rest() == expected)
            let line = try await stack.accessLine("/chat")
            #expect(line.fields["failure"] == "tunnel_lost")
        }
    }

    @Test("a client of a gateway that ends is told to come again even while it sends and does not read")
    func gatewayEnds() async throws {
        var options = StackOptions()
        options.gatewayGrace = .seconds(8)
        let drainingOptions = options
        try await testGracefulShutdown { shutdown in
            try await self.withBusyClient(drainingOptions) { stack, agent, client in
                let begin = ContinuousClock.now
                let tunnel = try #require(stack.tunnels.all.first)
                shutdown.triggerGracefulShutdown()
                // When the front door's time is over, and so that of its connections.
                try await eventually("the tunnel drains") { !tunnel.tunnel.vitals.takesStreams }
                var expected = Self.frames
                expected.writeBytes(UpgradeTests.restart)
                #expect(try await client.rest() == expected)
                #expect(ContinuousClock.now - begin < .seconds(8))
            }
        }
    }

    private static func noStreamIsOpen(_ stack: Stack) async throws {
        let tunnel = try #require(stack.tunnels.all.first)
        try await eventually("no stream is open") { tunnel.tunnel.vitals.openStreams == 0 }
    }
}
