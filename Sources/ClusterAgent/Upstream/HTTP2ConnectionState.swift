import NIOCore

/// What one HTTP/2 connection to a backend may be used for, by what its peer has said and when.
///
/// Streams have odd numbers that count up (RFC 9113 §5.1.1); the peer says how many at a time.
struct HTTP2ConnectionState {
    /// What a wish for a stream, or the end of one, leads to.
    enum Action: Hashable {
        case none
        /// Nothing more will happen on it.
        case close
    }

    /// What the passing of time leads to.
    enum Check: Hashable {
        case none
        /// The peer is silent although streams wait for it.
        case dead
        /// It is not needed any more.
        case close
        /// It is old: other connections, perhaps to other Pods, take what comes.
        case retire
    }

    struct Limits: Hashable {
        /// Streams at a time, whatever the peer allows.
        var streams = 100
        /// How long an unused connection is kept.
        var idle = TimeAmount.seconds(60)
        /// After which no new stream begins: a Service spreads connections over its Pods, not requests.
        var age = TimeAmount.minutes(2)
        /// A new stream on a connection that has been silent for so long asks whether anybody is there…
        var silence = TimeAmount.seconds(5)
        /// …and the answer has this long.
        var answer = TimeAmount.seconds(10)
        /// The highest stream number that is used.
        var lastStreamID: Int32 = 1 << 30
    }

    private let limits: Limits
    private let born: NIODeadline
    /// `nil` until its first SETTINGS.
    private var peerStreams: Int?
    private(set) var maxFrameSize = 16_384
    /// Streams that are open, or promised to somebody.
    private(set) var streams = 0
    private(set) var isDraining = false
    private var nextID: Int32 = 1
    private var lastReceived: NIODeadline
    private var idleSince: NIODeadline
    /// When the answer to a PING is due.
    private var answerDue: NIODeadline?

    init(now: NIODeadline, limits: Limits = Limits()) {
        self.limits = limits
        born = now
        lastReceived = now
        idleSince = now
    }

    /// Whether the peer has begun to speak HTTP/2.
    var isReady: Bool { peerStreams != nil }

    /// Whether it takes another stream now.
    var hasRoom: Bool { !isDraining && streams < min(peerStreams ?? 0, limits.streams) }

    /// Whether streams were open before the one that was opened last.
    var hasBeenUsed: Bool { nextID > 3 }

    /// SETTINGS came (RFC 9113 §6.5.2); `nil` for what it does not name.
    mutating func settings(maxConcurrentStreams: Int?, maxFrameSize: Int?) {
        peerStreams = maxConcurrentStreams ?? peerStreams ?? .max
        if let maxFrameSize { self.maxFrameSize = maxFrameSize }
    }

    /// Room for a stream is promised.
    mutating func reserve() { streams += 1 }

    /// The number of a stream that was promised; asks for a PING where the peer has been silent for long.
    mutating func open(now: NIODeadline) -> (id: Int32, ping: Bool) {
        defer { nextID += 2 }
        if nextID >= limits.lastStreamID { isDraining = true }
        guard answerDue == nil, now - lastReceived >= limits.silence else { return (nextID, false) }
        answerDue = now + limits.answer
        return (nextID, true)
    }

    /// A stream has ended, or what was promised is not wanted.
    mutating func release(now: NIODeadline) -> Action {
        streams -= 1
        if streams == 0 { idleSince = now }
        return streams == 0 && isDraining ? .close : .none
    }

    /// GOAWAY came (RFC 9113 §6.8), or the connection is let go for another reason.
    mutating func drain() -> Action {
        isDraining = true
        return streams == 0 ? .close : .none
    }

    /// Something came from the peer.
    mutating func received(now: NIODeadline) {
        lastReceived = now
        answerDue = nil
    }

    mutating func check(now: NIODeadline) -> Check {
        if let answerDue, now >= answerDue { return .dead }
        if streams == 0, now - idleSince >= limits.idle { return .close }
        if !isDraining, now - born >= limits.age { return .retire }
        return .none
    }
}
