import EdgeGateway
import NIOCore
import Telemetry
import TestSupport
import Testing
import TunnelProtocol

@testable import TunnelTransport

/// What a hostile peer sends that does nothing, as raw messages.
enum Flood: String, CaseIterable, CustomTestStringConvertible {
    case emptyData, windows, resets, deadStreams, informational, emptyMessages, emptyFragments, pings, pongs,
        unknownFrames, goAways
    /// From a gateway alone.
    case rapidReset, beyondTheLimit

    var testDescription: String { rawValue }

    /// How many rounds are more than any peer takes.
    var rounds: UInt32 { self == .deadStreams || self == .goAways ? 12 : 2 }

    /// A message that is a thousand times nothing, or hundreds that are each.
    ///
    /// - Parameters:
    ///   - round: counted from 0.
    ///   - head: a frame that opens or answers stream 1, where the kind of flood needs it.
    func messages(round: UInt32, head: Frame) -> [(opcode: UInt8, payload: ByteBuffer)] {
        func binary(_ frames: [Frame]) -> [(opcode: UInt8, payload: ByteBuffer)] {
            var payload = ByteBuffer()
            if round == 0 { payload.writeFrame(head) }
            for frame in frames { payload.writeFrame(frame) }
            return [(WebSocketOpcode.binary, payload)]
        }
        func thousand(_ frame: Frame) -> [Frame] { Array(repeating: frame, count: 1000) }
        let id = StreamID(1)
        switch self {
        case .emptyData: return binary(thousand(.data(id, ByteBuffer(), endStream: false)))
        case .windows: return binary(thousand(.window(id, increment: 1)))
        case .resets: return binary(thousand(.reset(id, .cancelled, detail: "")))
        case .deadStreams:
            return binary(
                [.reset(id, .cancelled, detail: "")] + thousand(.data(id, ByteBuffer(string: "x"), endStream: false)))
        case .informational:
            return binary(thousand(.headers(id, .response(.init(status: 103, fields: [:])), endStream: false)))
        case .goAways: return binary(thousand(.goAway(lastStreamID: id, detail: "")))
        case .rapidReset:
            return binary(
                (0..<1000 as Range<UInt32>).flatMap { number in
                    let id = round * 1000 + number + 2
                    return [FakeGateway.request(id), .reset(StreamID(id), .cancelled, detail: "")]
                })
        case .beyondTheLimit:
            return binary(
                (0..<1000 as Range<UInt32>).map { FakeGateway.request(round * 1000 + $0 + 2, "POST", end: false) })
        case .emptyMessages: return Array(repeating: (WebSocketOpcode.binary, ByteBuffer()), count: 300)
        case .emptyFragments:
            // One message that never ends.
            return (0..<300).map { number in
                let opcode = round == 0 && number == 0 ? WebSocketOpcode.text : WebSocketOpcode.continuation
                return (opcode | WebSocketOpcode.unfinished, ByteBuffer())
            }
        case .pings: return Array(repeating: (WebSocketOpcode.ping, ByteBuffer(string: "x")), count: 300)
        case .pongs: return Array(repeating: (WebSocketOpcode.pong, ByteBuffer(string: "x")), count: 300)
        case .unknownFrames:
            return [
                (
                    WebSocketOpcode.binary,
                    ByteBuffer(bytes: (0..<1000).flatMap { _ in [0, 0, 0, 99, 0, 0, 0, 0, 0] as [UInt8] })
                )
            ]
        }
    }
}

@Suite("A peer that floods a tunnel with nothing loses that tunnel and no other", .timeLimit(.minutes(1)))
struct FloodTests {
    @Test(
        "an agent that floods the gateway",
        arguments: Flood.allCases.filter { $0 != .rapidReset && $0 != .beyondTheLimit })
    func hostileAgent(flood: Flood) async throws {
        var options = StackOptions()
        options.hasAgent = false
        try await withStack(options) { _ in
        } _: { stack in
            let bystander = try await FakeAgent.connect(stack, cluster: "b", host: "b.test")
            let agent = try await FakeAgent.connect(stack)
            let client = try await stack.connect()
            try await client.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\n")
            _ = try await agent.request()
            let isBeforeHead = [Flood.informational, .resets, .deadStreams].contains(flood)
            let head: Frame =
                isBeforeHead
                ? .window(StreamID(1), increment: 1)
                : .headers(StreamID(1), .response(.init(status: 200, fields: [:])), endStream: false)
            for round in 0..<flood.rounds {
                for message in flood.messages(round: round, head: head) {
                    agent.message(message.opcode, message.payload)
                }
            }
            try await eventually("the agent is told") { agent.errors.map(\.code) == ["flood"] }
            try await eventually("the gateway logs it") {
                stack.gatewayLog.lines("Tunnel closed").contains {
                    $0.fields["reason"]?.contains("flood") == true && $0.fields["cluster_uuid"] == "cluster-a"
                }
            }
            try await eventually("it is counted") {
                stack.metrics.exposition().contains("gateway_tunnel_violations_total{reason=\"flood\"} 1\n")
            }
            client.close()

            let other = try await stack.connect()
            try await other.send("GET /b HTTP/1.1\r\nHost: b.test\r\n\r\n")
            _ = try await bystander.request()
            bystander.send(.headers(StreamID(1), .response(.init(status: 204, fields: [:])), endStream: true))
            #expect(try await other.response().status == 204)
            other.close()
        }
    }

    @Test("an agent whose control messages change nothing, however slowly they come, and few lines of the log tell it")
    func uselessControl() async throws {
        var options = StackOptions()
        options.hasAgent = false
        try await withStack(options) { _ in
        } _: { stack in
            let agent = try await FakeAgent.connect(stack)
            var sent = 0
            while agent.closed == nil, sent < 2000 {
                // No more at once than may wait.
                for _ in 0..<50 { agent.sendText(#"{"type": "nonsense", "payload": {}}"#) }
                sent += 50
                try await eventually("they are answered") { agent.errors.count >= sent || agent.closed != nil }
            }
            try await eventually("the agent is told") { agent.errors.last?.code == "flood" }
            #expect(stack.gatewayLog.lines("Control message refused").count <= 11)
        }
    }

    @Test("a gateway that reports errors without end")
    func uselessReports() async throws {
        try await withAgent { backend in
            try await backend.waitForEnd()
        } _: { gateway, _ in
            let report = ByteBuffer(string: #"{"type": "error", "payload": {"code": "odd", "message": "odd"}}"#)
            // Fewer than may wait, and more than change nothing with an honest peer.
            gateway.messages(Array(repeating: (WebSocketOpcode.text, report), count: 240))
            try await eventually("the gateway is told") { gateway.errors.first == "flood" }
            try await eventually("the agent comes again") { gateway.tunnelCount >= 2 }
        }
    }

    @Test("clients that open requests and give them up, however fast, end no tunnel, and others are served")
    func impatientClients() async throws {
        var options = StackOptions()
        options.tunnel.maxStreams = 50
        try await withStack(options, within: .seconds(50)) { backend in
            while try await backend.head().target == "/served" {
                try await backend.send("HTTP/1.1 204 No Content\r\n\r\n")
            }
            try await backend.waitForEnd()
        } _: { stack in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        for _ in 0..<100 {
                            let client = try await stack.connect()
                            try await client.send("GET /given-up HTTP/1.1\r\nHost: app.test\r\n\r\n")
                            client.close()
                        }
                    }
                }
                try await group.waitForAll()
            }
            try await eventually("all are over") {
                stack.gatewayLog.lines("Gateway proxy request").count >= 2000
            }
            try await eventually("another is served") {
                let response = try await stack.request("GET", "/served")
                return response.status == 204
            }
            try await eventually("the backends' work has ended") {
                stack.tunnels.all.first?.tunnel.vitals.openStreams == 0
            }
            #expect(stack.gatewayLog.lines("Tunnel closed").isEmpty)
            #expect(stack.agentLog.lines("Tunnel lost").isEmpty)
        }
    }

    @Test("a gateway that floods the agent", arguments: Flood.allCases.filter { $0 != .informational })
    func hostileGateway(flood: Flood) async throws {
        var options = StackOptions()
        options.tunnel.maxStreams = 10
        try await withAgent(options) { backend in
            // Answers nobody.
            try await backend.waitForEnd()
        } _: { gateway, _ in
            let head = FakeGateway.request(1, "POST", end: false)
            gateway.messages((0..<flood.rounds).flatMap { flood.messages(round: $0, head: head) })
            try await eventually("the gateway is told") { gateway.errors.first == "flood" }
            try await eventually("the agent comes again") { gateway.tunnelCount >= 2 }
        }
    }
}
