import NIOCore
import NIOEmbedded
import NIOPosix
import TestSupport
import Testing
import TunnelProtocol

@testable import TunnelTransport

@Suite("How a tunnel ends", .timeLimit(.minutes(1)))
struct TunnelEndingTests {
    private func bothClosed(_ pair: TunnelPair) async throws {
        try await eventually("both ends are closed") {
            !pair.agentObserver.closed.isEmpty && !pair.gatewayObserver.closed.isEmpty
        }
        // Said once, whatever follows.
        #expect(pair.agentObserver.closed.count == 1)
        #expect(pair.gatewayObserver.closed.count == 1)
    }

    @Test("a side that closes says why, and the other hears it")
    func reasons() async throws {
        try await withLoopback { loopback in
            let leaving = try await loopback.connect()
            leaving.agent.close(.goingAway)
            try await bothClosed(leaving)
            #expect(leaving.agentObserver.closed == [.goingAway])
            #expect(leaving.gatewayObserver.closed == [.closedByPeer(code: 1001, reason: "going away")])

            let failed = try await loopback.connect()
            failed.gateway.close(.failed("out of disk"))
            try await bothClosed(failed)
            #expect(failed.agentObserver.closed == [.closedByPeer(code: 1011, reason: "failed: out of disk")])
        }
    }

    @Test("a connection that ends without a goodbye is a disconnection, and its streams are lost")
    func disconnected() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            let (client, _) = try await pair.gateway.openRecorded()
            try await eventually("the agent has the stream") { pair.agentObserver.streams.count == 1 }
            pair.agent.channel.close(promise: nil)
            try await bothClosed(pair)
            #expect(pair.gatewayObserver.closed == [.disconnected])
            try await eventually("both users know") {
                client.events == ["lost"] && pair.agentObserver.streams.first?.events == ["lost"]
            }
            let (late, _) = try await pair.gateway.openRecorded()
            try await eventually("nothing opens any more") { late.events == ["refused closed"] }
        }
    }

    struct Malformed: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var code: ProtocolViolation.Code
        var opcode = WebSocketOpcode.binary
        var payload: [UInt8]
    }

    static let malformed: [Malformed] = [
        Malformed(testDescription: "half a frame header", code: .truncated, payload: [0, 0, 4, 0]),
        Malformed(
            testDescription: "a frame longer than its message", code: .truncated,
            payload: [0, 0, 9, 0, 0, 0, 0, 0, 1, 1]),
        Malformed(
            testDescription: "DATA on a stream never opened", code: .badStreamID,
            payload: [0, 0, 1, 0, 0, 0, 0, 0, 9, 1]),
        Malformed(
            testDescription: "credit on a stream never opened", code: .badStreamID,
            payload: [0, 0, 4, 2, 0, 0, 0, 0, 9, 0, 0, 0, 1]),
        Malformed(
            testDescription: "an unknown kind of HEADERS", code: .malformedFrame,
            payload: [0, 0, 1, 1, 0, 0, 0, 0, 1, 77]),
    ]

    @Test(
        "a malformed frame closes its tunnel with the typed violation on both sides, and no other", arguments: malformed
    )
    func violation(_ malformed: Malformed) async throws {
        try await withLoopback { loopback in
            let bystander = try await loopback.connect()
            let pair = try await loopback.connect()
            pair.agent.writeRaw(opcode: malformed.opcode, ByteBuffer(bytes: malformed.payload), as: .client)
            try await bothClosed(pair)
            guard case .violated(let violation) = pair.gatewayObserver.closed.first else {
                Issue.record("closed as \(pair.gatewayObserver.closed)")
                return
            }
            #expect(violation.code == malformed.code)
            guard case .closedByPeer(1002, let reason) = pair.agentObserver.closed.first else {
                Issue.record("closed as \(pair.agentObserver.closed)")
                return
            }
            #expect(reason.contains(malformed.code.rawValue))
            guard case .message(.error(let told)) = pair.agentObserver.texts.last.map(ControlMessage.decode) else {
                Issue.record("no error message: \(pair.agentObserver.texts)")
                return
            }
            #expect(told.code == malformed.code.rawValue)
            let (client, _) = try await bystander.gateway.openRecorded()
            try await eventually("the bystander carries streams") { bystander.agentObserver.streams.count == 1 }
            #expect(client.events == [])
        }
    }

    @Test("an agent closes on a gateway's violation just so")
    func violationByGateway() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            // A masked frame from the server.
            pair.gateway.writeRaw([0x82, 0x81, 1, 2, 3, 4, 5])
            try await bothClosed(pair)
            guard case .violated(let violation) = pair.agentObserver.closed.first else {
                Issue.record("closed as \(pair.agentObserver.closed)")
                return
            }
            #expect(violation.code == .webSocket)
            guard case .closedByPeer(1002, _) = pair.gatewayObserver.closed.first else {
                Issue.record("closed as \(pair.gatewayObserver.closed)")
                return
            }
        }
    }

    @Test("an over-long control message closes the tunnel as too large")
    func longControlMessage() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            pair.agent.writeRaw(
                opcode: WebSocketOpcode.text, ByteBuffer(repeating: 0x20, count: ControlMessage.maximumSize + 1),
                as: .client)
            try await bothClosed(pair)
            guard case .violated(let violation) = pair.gatewayObserver.closed.first else {
                Issue.record("closed as \(pair.gatewayObserver.closed)")
                return
            }
            #expect(violation.code == .tooLarge)
        }
    }

    @Test("an owner that takes no more control messages closes the tunnel as flooded")
    func controlFlood() async throws {
        try await withLoopback(TestAdmission(takesControl: false)) { loopback in
            let pair = try await loopback.connect()
            pair.agent.send(.resync(.init(reason: "again")))
            try await bothClosed(pair)
            guard case .violated(let violation) = pair.gatewayObserver.closed.first else {
                Issue.record("closed as \(pair.gatewayObserver.closed)")
                return
            }
            #expect(violation.code == .controlFlood)
        }
    }

    @Test("the answers to its pings tell the gateway that an idle agent lives")
    func pings() async throws {
        let admission = TestAdmission(
            TunnelConfiguration(role: .gateway, pingInterval: .milliseconds(500), deadAfter: .milliseconds(1900)))
        try await withLoopback(admission) { loopback in
            // The agent sends nothing by itself in this time.
            let pair = try await loopback.connect(
                configuration: TunnelConfiguration(role: .agent, pingInterval: .seconds(60), deadAfter: .seconds(60)))
            let pings = CallCount()
            let agent = pair.agent
            try await agent.eventLoop.submit {
                try agent.channel.pipeline.syncOperations.addHandler(PingTap(pings), position: .first)
            }.get()
            // A tunnel whose pings are not answered ends before the fourth.
            try await eventually("it is pinged four times") { pings.value >= 4 }
            #expect(pair.gatewayObserver.closed == [])
        }
    }

    @Test("a canary that came before any was expected is the first of those that are missed")
    func earlyCanary() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            var frame = ByteBuffer()
            frame.writeFrame(.headers(StreamID(1), .request(.canary), endStream: true))
            pair.gateway.writeRaw(opcode: WebSocketOpcode.binary, frame, as: .server)
            try await eventually("it has come") { pair.agentObserver.streams.count == 1 }
            pair.agent.expectCanaries(every: .milliseconds(300))
            try await eventually("the next ones are missed") {
                if case .unresponsive = pair.agentObserver.closed.first { true } else { false }
            }
        }
    }

    @Test("a gateway that has announced its end owes no canaries")
    func canariesAfterGoAway() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            pair.gateway.startCanaries(every: .milliseconds(100), timeout: .seconds(30))
            try await eventually("one has come") { !pair.agentObserver.streams.isEmpty }
            pair.gateway.announceDrain(detail: "soon")
            try await eventually("the agent knows") { pair.agentObserver.drains == ["soon"] }
            pair.agent.expectCanaries(every: .milliseconds(100))
            pair.gateway.drain(detail: "now")
            // The counts move with the agent's ticks, once per second: the second one would be the end.
            for _ in 0..<2 {
                let start = pair.agent.vitals.latest.bytesIn
                pair.gateway.send(.heartbeatAck(.init(revision: 0)))
                try await eventually("the agent has looked at its watch") {
                    pair.agent.vitals.latest.bytesIn > start
                }
            }
            #expect(pair.agentObserver.closed == [])
            #expect(pair.agentObserver.drains == ["soon"])
        }
    }

    @Test("a peer from which nothing comes is given up as silent")
    func silence() async throws {
        let admission = TestAdmission(
            TunnelConfiguration(role: .gateway, pingInterval: .seconds(60), deadAfter: .milliseconds(900)))
        try await withLoopback(admission) { loopback in
            let pair = try await loopback.connect(
                configuration: TunnelConfiguration(role: .agent, pingInterval: .seconds(60), deadAfter: .seconds(60)))
            try await eventually(within: .seconds(5), "it is given up") { pair.gatewayObserver.closed == [.silent] }
            try await bothClosed(pair)
            #expect(pair.agentObserver.closed == [.closedByPeer(code: 1000, reason: "silent")])
        }
    }

    @Test("the gateway ends a connection once both have said goodbye; the agent leaves it that, for a second")
    func whoEndsTheConnection() throws {
        for role in [Multiplexer.Role.gateway, .agent] {
            let channel = EmbeddedChannel()
            try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            let observer = RecordingObserver()
            _ = try Tunnel.install(on: channel, configuration: TunnelConfiguration(role: role), observer: observer)
            let peer: WebSocketRole = role == .gateway ? .client : .server
            var writer = WebSocketWriter(role: peer)
            var goodbye = writer.startMessage(capacity: 2, allocator: channel.allocator)
            goodbye.writeInteger(WebSocketClose.goingAway)
            writer.finish(&goodbye, opcode: WebSocketOpcode.close)
            try channel.writeInbound(goodbye)

            var reader = WebSocketReader(role: peer)
            while let bytes = try channel.readOutbound(as: ByteBuffer.self) { reader.append(bytes) }
            guard case .close(code: WebSocketClose.normal, _) = try reader.next() else {
                Issue.record("\(role) does not answer")
                return
            }
            #expect(observer.closed == [.closedByPeer(code: 1001, reason: "")])
            #expect(channel.isActive == (role == .agent))
            channel.embeddedEventLoop.advanceTime(by: .seconds(1))
            #expect(!channel.isActive, "\(role)")
            _ = try? channel.finish()
        }
    }

    @Test("what arrives in one burst with the goodbye reaches the users of its streams, on every event loop")
    func lastBurst() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            var answered: [RecordingReceiver] = []
            var handedBack: [RecordingReceiver] = []
            let loops = Array(Loopback.group.makeIterator())
            for loop in loops { answered.append(try await pair.gateway.openRecorded(on: loop).0) }
            for loop in loops { handedBack.append(try await pair.gateway.openRecorded(on: loop).0) }
            try await eventually("the agent has them") { pair.agentObserver.streams.count == 2 * loops.count }

            var writer = WebSocketWriter(role: .client)
            var message = writer.startMessage(capacity: 1024, allocator: ByteBufferAllocator())
            let ids = (1...loops.count).map { StreamID(UInt32($0)) }
            let head = ResponseHead(status: 204, fields: [:])
            for id in ids { message.writeFrame(.headers(id, .response(head), endStream: true)) }
            message.writeFrame(.goAway(lastStreamID: StreamID(UInt32(loops.count)), detail: "gone"))
            writer.finish(&message, opcode: WebSocketOpcode.binary)
            var goodbye = writer.startMessage(capacity: 0, allocator: ByteBufferAllocator())
            writer.finish(&goodbye, opcode: WebSocketOpcode.close)
            message.writeBuffer(&goodbye)
            try await pair.agent.channel.writeAndFlush(message).get()

            try await eventually("all have heard") {
                answered.allSatisfy { $0.events == ["head 204 end"] }
                    && handedBack.allSatisfy { $0.events == ["reset refused gone"] }
            }
        }
    }

    @Test("text that is not UTF-8 closes the tunnel with 1007 and its own code")
    func invalidText() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            pair.agent.writeRaw(opcode: WebSocketOpcode.text, ByteBuffer(bytes: [0xED, 0xA0, 0x80]), as: .client)
            try await bothClosed(pair)
            guard case .violated(let violation) = pair.gatewayObserver.closed.first,
                case .closedByPeer(WebSocketClose.invalidPayload, _) = pair.agentObserver.closed.first
            else {
                Issue.record("closed as \(pair.gatewayObserver.closed) and \(pair.agentObserver.closed)")
                return
            }
            #expect(violation.code == .invalidText)
        }
    }

    @Test("a ping right behind the handshake is answered with its own payload")
    func pong() async throws {
        try await withLoopback { loopback in
            let request =
                "GET /agent/v1/tunnel HTTP/1.1\r\nHost: g\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \(TunnelHandshake.makeKey())\r\n"
                + "Sec-WebSocket-Protocol: gateway-tunnel.v1\r\nAuthorization: Bearer good\r\n\r\n"
            // A ping "hi" and a close frame, masked with zeroes, in the same segment.
            let frames: [UInt8] = [0x89, 0x82, 0, 0, 0, 0, 0x68, 0x69, 0x88, 0x80, 0, 0, 0, 0]
            let answer = try await exchangeRaw(port: loopback.port, Array(request.utf8) + frames)
            let head = try #require(answer.firstRange(of: Array("\r\n\r\n".utf8)))
            #expect(answer.starts(with: Array("HTTP/1.1 101".utf8)))
            #expect(Array(answer[head.upperBound...].prefix(4)) == [0x8A, 2, 0x68, 0x69])
        }
    }
}

/// Counts the pings that arrive.
private final class PingTap: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let pings: CallCount
    private var reader = WebSocketReader(role: .client)

    init(_ pings: CallCount) { self.pings = pings }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        reader.append(unwrapInboundIn(data))
        while let message = try? reader.next() {
            if case .ping = message { _ = pings.next() }
        }
        context.fireChannelRead(data)
    }
}
