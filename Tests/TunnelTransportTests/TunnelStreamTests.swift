import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import TestSupport
import Testing
import TunnelProtocol

@testable import TunnelTransport

@Suite("Streams on a tunnel", .timeLimit(.minutes(1)))
struct TunnelStreamTests {
    private static let otherLoops = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    @Test(
        "a request and its answer pass, whether the user lives on the tunnel's event loop or on another",
        arguments: [true, false])
    func exchange(sameLoop: Bool) async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            let loop = sameLoop ? pair.gateway.eventLoop : Self.otherLoops.next()
            let (client, stream) = try await pair.gateway.openRecorded("/a?b", endStream: false, on: loop)
            try await stream.use(on: loop) { stream in
                stream.send(ByteBuffer(string: "ques"), endStream: false)
                stream.send(ByteBuffer(string: "tion"), endStream: true)
            }
            try await eventually("the agent has the request") { pair.agentObserver.streams.first?.events == ["end"] }
            let server = try #require(pair.agentObserver.streams.first)
            #expect(server.head?.target == "/a?b")
            #expect(server.body == "question")
            let answer = try #require(server.stream)
            try await answer.use(on: pair.agent.eventLoop) { stream in
                stream.respond(ResponseHead(status: 103, fields: ["Link": "</a>"]), endStream: false)
                stream.respond(ResponseHead(status: 200, fields: [:]), endStream: false)
                stream.send(ByteBuffer(string: "answer"), endStream: false)
                stream.send(trailers: ["X-Sum": "1"])
            }
            try await eventually("the answer is complete") { client.events.count == 3 }
            #expect(client.events == ["head 103", "head 200", "trailers [\"X-Sum=1\"]"])
            #expect(client.body == "answer")
            #expect(client.seen.withLock { $0.bursts } > 0)
        }
    }

    @Test("a stream that ended lets its user go, though the user holds the stream", arguments: [true, false])
    func release(sameLoop: Bool) async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            let loop = sameLoop ? pair.gateway.eventLoop : Self.otherLoops.next()
            let weakClients = WeakReceivers()
            for ending in ["answered", "reset by the agent", "reset by the gateway"] {
                let (client, stream) = try await pair.gateway.openRecorded("/\(ending.utf8.count)", on: loop)
                client.attached(to: stream)
                weakClients.add(client)
                let count = weakClients.count
                try await eventually("the agent has the request") { pair.agentObserver.streams.count == count }
                let server = try #require(pair.agentObserver.streams.last)
                let answer = try #require(server.stream)
                switch ending {
                case "answered":
                    try await answer.use(on: pair.agent.eventLoop) {
                        $0.respond(ResponseHead(status: 200, fields: [:]), endStream: false)
                        $0.send(ByteBuffer(string: "x"), endStream: true)
                    }
                    try await eventually("the answer is there") { client.events == ["head 200", "end"] }
                    // Until it is written onward its memory, and with it the stream, is kept.
                    try await stream.use(on: loop) { $0.consumed(1) }
                case "reset by the agent":
                    try await answer.use(on: pair.agent.eventLoop) { $0.reset(.backendClosed, detail: "gone") }
                    try await eventually("the reset is there") { client.events == ["reset backend_closed gone"] }
                default:
                    try await stream.use(on: loop) { $0.reset(.cancelled) }
                    try await eventually("the agent knows") { server.events.last == "reset cancelled " }
                }
            }
            pair.agentObserver.seen.withLock { $0.streams = [] }
            try await eventually("nothing holds the users any more") { weakClients.living == 0 }
        }
    }

    @Test("a stream that the agent does not take is reset as refused")
    func refusedByAgent() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect(observer: RecordingObserver(acceptsStreams: false))
            let (client, _) = try await pair.gateway.openRecorded()
            try await eventually("the refusal is there") { client.events == ["reset refused "] }
        }
    }

    @Test("a stream past the limit is refused at once, and the tunnel goes on")
    func streamLimit() async throws {
        let admission = TestAdmission(TunnelConfiguration(role: .gateway, maxStreams: 2))
        try await withLoopback(admission) { loopback in
            let pair = try await loopback.connect()
            let (_, first) = try await pair.gateway.openRecorded("/1")
            _ = try await pair.gateway.openRecorded("/2")
            let (third, _) = try await pair.gateway.openRecorded("/3")
            try await eventually("the third is refused") { third.events == ["refused streamLimit"] }
            try await first.use(on: pair.gateway.eventLoop) { $0.reset(.cancelled) }
            let (fourth, _) = try await pair.gateway.openRecorded("/4")
            try await eventually("the fourth arrives") { pair.agentObserver.streams.last?.head?.target == "/4" }
            #expect(fourth.events == [])
        }
    }

    @Test("a head that fits no frame is refused before it is sent")
    func headTooLarge() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            let (client, _) = try await pair.gateway.openRecorded(
                fields: ["X-Large": String(repeating: "x", count: 200_000)])
            try await eventually("it is refused") { client.events == ["refused headTooLarge"] }
            #expect(pair.agentObserver.streams.isEmpty)
        }
    }

    @Test("a sender beyond the peer's credit is told to hold back, and goes on once bytes are consumed")
    func credit() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            let loop = pair.gateway.eventLoop
            let (client, stream) = try await pair.gateway.openRecorded(endStream: false)
            try await eventually("the agent has the stream") { pair.agentObserver.streams.count == 1 }
            let server = try #require(pair.agentObserver.streams.first)
            let size = 8 << 20
            try await stream.use(on: loop) { stream in
                stream.send(ByteBuffer(repeating: 0x61, count: size), endStream: true)
            }
            try await eventually("the sender holds back") { client.events == ["holdBack"] }
            try await eventually("the first window arrives") { server.seen.withLock { $0.body.readableBytes } > 0 }
            // Consumes what arrived, again and again; never more than the window is there at once.
            let answer = try #require(server.stream)
            var consumed = 0
            var most = 0
            while consumed < size {
                let arrived = server.seen.withLock { seen in
                    defer { seen.body.clear() }
                    return seen.body.readableBytes
                }
                consumed += arrived
                most = max(most, arrived)
                if arrived > 0 {
                    try await answer.use(on: pair.agent.eventLoop) { $0.consumed(arrived) }
                } else {
                    try await Task.sleep(for: .milliseconds(1))
                }
            }
            #expect(consumed == size)
            #expect(most <= FlowLimits().largestWindow)
            try await eventually("the sender went on") { client.events.contains("resume") }
            try await eventually("the end arrived") { server.events == ["end"] }
        }
    }

    @Test("draining leaves open streams alone, tells the peer, and refuses new ones")
    func drain() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            let (open, _) = try await pair.gateway.openRecorded("/open")
            try await eventually("the agent has it") { pair.agentObserver.streams.count == 1 }
            pair.agent.drain(detail: "rolling update")
            try await eventually("the gateway knows") { pair.gatewayObserver.drains == ["rolling update"] }
            let (late, _) = try await pair.gateway.openRecorded("/late")
            try await eventually("the late one is refused") { late.events == ["refused draining"] }
            let answer = try #require(pair.agentObserver.streams.first?.stream)
            try await answer.use(on: pair.agent.eventLoop) {
                $0.respond(ResponseHead(status: 204, fields: [:]), endStream: true)
            }
            try await eventually("the open one is answered") { open.events == ["head 204 end"] }
        }
    }

    @Test("drainAndClose waits for the open stream and closes as going away")
    func drainAndClose() async throws {
        try await withLoopback { loopback in
            let pair = try await loopback.connect()
            let (open, _) = try await pair.gateway.openRecorded("/open")
            try await eventually("the agent has it") { pair.agentObserver.streams.count == 1 }
            pair.agent.drainAndClose(within: .seconds(20))
            try await eventually("the gateway knows") { pair.gatewayObserver.drains.count == 1 }
            #expect(pair.agent.channel.isActive)
            let answer = try #require(pair.agentObserver.streams.first?.stream)
            try await answer.use(on: pair.agent.eventLoop) {
                $0.respond(ResponseHead(status: 204, fields: [:]), endStream: true)
            }
            try await eventually("both ends are closed") {
                pair.agentObserver.closed == [.goingAway] && pair.gatewayObserver.closed.count == 1
            }
            #expect(open.events == ["head 204 end"])
            #expect(pair.gatewayObserver.closed == [.closedByPeer(code: 1001, reason: "going away")])
        }
    }
}

/// Receivers that only others keep alive.
private final class WeakReceivers {
    private struct Entry { weak var receiver: RecordingReceiver? }
    private var entries: [Entry] = []

    func add(_ receiver: RecordingReceiver) { entries.append(Entry(receiver: receiver)) }
    var count: Int { entries.count }
    var living: Int { entries.filter { $0.receiver != nil }.count }
}
