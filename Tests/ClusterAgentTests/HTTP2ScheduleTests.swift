import HTTPExchange
import NIOCore
import NIOEmbedded
import NIOHTTP2
import TestSupport
import Testing
import TunnelProtocol

@testable import ClusterAgent

/// Whatever a backend sends, and whatever exchanges want meanwhile: each hears its end once, nothing after it, and nothing
/// is left over.
@Suite("A connection of HTTP/2 under a random schedule", .timeLimit(.minutes(2)))
struct HTTP2ScheduleTests {
    @Test("Every exchange ends once, and the connection lets go of everything", arguments: 0..<60)
    func schedule(seed: UInt64) throws {
        for round in 0..<5 {
            var schedule = try Schedule(seed: seed &* 1000 &+ UInt64(round))
            schedule.run()
            schedule.end()
        }
    }
}

private final class User: UpstreamUser {
    var link: HTTP2UpstreamStream
    var hasEnded = false
    var wasCancelled = false
    var heardAfterwards = false
    var peerHasAnswered = false
    var peerHasEnded = false
    var owed = 0
    var returned = 0

    init(_ link: HTTP2UpstreamStream) { self.link = link }

    private func hear(ends: Bool) {
        if hasEnded || wasCancelled { heardAfterwards = true }
        if ends { hasEnded = true }
    }

    func received(_ part: HTTP1ResponseReader.Part) {
        switch part {
        case .head(let head): hear(ends: head.status >= 200 && !link.responseHasBody)
        case .end: hear(ends: true)
        case .body, .opaque: hear(ends: false)
        }
    }
    func receivedBurst() {}
    func takeOwedCredit() -> Int {
        defer { owed = 0 }
        return owed
    }
    func sent(_ bytes: Int) { returned += bytes }
    func backendEnded() { hear(ends: true) }
    func connectionClosed(_ error: (any Error)?) { hear(ends: true) }
    func neverProcessed(_ detail: String) { hear(ends: true) }
}

private struct Schedule {
    private let channel = EmbeddedChannel()
    private let connection: HTTP2UpstreamConnection
    private var users: [User] = []
    private var random: SeededGenerator
    private let seed: UInt64

    init(seed: UInt64) throws {
        self.seed = seed
        random = SeededGenerator(seed: seed)
        let group = HTTP2ConnectionGroup(eventLoop: channel.embeddedEventLoop) { _, _ in }
        connection = HTTP2UpstreamConnection(scheme: "http", group: group, limits: .init()) { _ in }
        try connection.install(in: channel)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        // Most peers are honest in the beginning.
        if chance(0.9) {
            feed(frame(4, 0, 0, chance(0.5) ? [] : [0, 3, 0, 0, 0, UInt8.random(in: 0...5, using: &random)]))
        }
    }

    mutating func run() {
        for _ in 0..<Int.random(in: 5...80, using: &random) {
            if chance(0.5) { wish() } else { feed(frames()) }
            while (try? channel.readOutbound(as: IOData.self)) != nil {}
        }
    }

    mutating func end() {
        channel.close(promise: nil)
        channel.embeddedEventLoop.run()
        for user in users {
            #expect(user.hasEnded || user.wasCancelled, "seed \(seed)")
            #expect(!user.heardAfterwards, "seed \(seed)")
        }
        #expect(connection.state.streams == 0, "seed \(seed)")
        _ = try? channel.finish(acceptAlreadyClosed: true)
    }

    private mutating func chance(_ probability: Double) -> Bool {
        Double.random(in: 0..<1, using: &random) < probability
    }

    // MARK: What exchanges want

    private mutating func wish() {
        let open = users.filter { !$0.hasEnded && !$0.wasCancelled }
        guard let user = open.randomElement(using: &random), chance(0.7) else {
            guard connection.hasRoom else { return }
            let user = User(connection.makeStream())
            users.append(user)
            if chance(0.1) {
                user.wasCancelled = true
                return user.link.giveBack()
            }
            let head = RequestHead(
                method: chance(0.2) ? "HEAD" : "POST", authority: "a.test", target: "/",
                fields: chance(0.1) ? ["x": String(repeating: "{", count: 20_000)] : ["x": "y"])
            user.link.begin(head, body: chance(0.7), upgrades: false, for: user)
            return
        }
        switch Int.random(in: 0..<6, using: &random) {
        case 0: user.link.hold(true)
        case 1: user.link.hold(false)
        case 2:
            user.owed += 5
            user.link.send(ByteBuffer(string: "hello"))
        case 3: user.link.endRequest(trailers: chance(0.5) ? ["a": "b"] : nil)
        case 4: user.link.flush()
        default:
            user.wasCancelled = true
            user.link.cancel()
        }
    }

    // MARK: What the peer sends

    private mutating func feed(_ bytes: [UInt8]) {
        guard channel.isActive else { return }
        channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes))
        channel.pipeline.fireChannelReadComplete()
        channel.embeddedEventLoop.run()
    }

    private mutating func frames() -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 1...4, using: &random) { bytes += frame() }
        // A bit that turned over on its way, now and then.
        if chance(0.01), let index = bytes.indices.randomElement(using: &random) {
            bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        }
        return bytes
    }

    private mutating func frame() -> [UInt8] {
        let answered = users.filter { $0.link.id != nil && !$0.peerHasEnded }
        guard !chance(0.02), let user = answered.randomElement(using: &random), let id = user.link.id else {
            return chance(0.9) ? harmlessFrame() : wrongFrame()
        }
        let stream = UInt32(Int(id))
        let ends: UInt8 = chance(0.2) ? 1 : 0
        if chance(0.05) {
            user.peerHasEnded = true
            return frame(3, 0, stream, [0, 0, 0, UInt8.random(in: 0...14, using: &random)])
        }
        guard user.peerHasAnswered else {
            if chance(0.2) { return frame(1, 4, stream, field(":status", "103")) }
            user.peerHasAnswered = true
            user.peerHasEnded = ends == 1
            return frame(1, 4 | ends, stream, [0x88])
        }
        user.peerHasEnded = ends == 1
        guard ends == 0 || chance(0.5) else { return frame(1, 5, stream, field("grpc-status", "0")) }
        return frame(0, ends, stream, [UInt8](repeating: 0, count: Int.random(in: 1...4000, using: &random)))
    }

    private mutating func harmlessFrame() -> [UInt8] {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return frame(8, 0, 0, [0, 0, UInt8.random(in: 0...255, using: &random), 1])
        case 1: return frame(4, 0, 0, [0, 4, 0, 0, UInt8.random(in: 0...255, using: &random), 0])
        case 2: return frame(6, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0])
        default: return frame(4, 0, 0, [0, 3, 0, 0, 0, UInt8.random(in: 0...9, using: &random)])
        }
    }

    private mutating func wrongFrame() -> [UInt8] {
        let stream = UInt32(Int.random(in: 0...20, using: &random))
        switch Int.random(in: 0..<5, using: &random) {
        case 0: return frame(1, 5, stream, chance(0.5) ? [0x88] : field("a b", "c"))
        case 1: return frame(0, 1, stream, [UInt8](repeating: 0, count: 10))
        case 2: return frame(8, 0, stream, [0x7F, 0xFF, 0xFF, 0xFF])
        case 3: return frame(UInt8.random(in: 0...10, using: &random), 0xFF, stream, [1, 2, 3, 4, 5])
        default: return frame(7, 0, 0, [0, 0, 0, UInt8(stream), 0, 0, 0, 0])
        }
    }

    private func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        [UInt8(payload.count >> 16), UInt8(payload.count >> 8 & 0xFF), UInt8(payload.count & 0xFF), type, flags]
            + (0..<4).map { UInt8(truncatingIfNeeded: stream >> (24 - 8 * UInt32($0))) } + payload
    }

    private func field(_ name: String, _ value: String) -> [UInt8] {
        [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
    }
}
