package import NIOCore

/// Counts what a peer sends that does nothing, and says when it is too much.
///
/// Every kind has a token bucket: so many per second, so many at once. What an honest peer may owe to the load is not
/// measured against the clock alone but earned by that load: DATA that was sent earns WINDOWs, streams that were opened
/// earn RESETs, and a peer at its limits is never taken for a hostile one. See `docs/tunnel-protocol.md`, "Violations
/// and limits".
package struct FloodGuard: Hashable, Sendable {
    package enum Kind: Int, Hashable, Sendable, CaseIterable {
        /// DATA without bytes and without END_STREAM.
        case emptyData
        /// WINDOW, beyond one for each DATA frame that was sent and two for each stream.
        case window
        /// RESET of a stream that had done nothing, or of none at all; at an agent also requests it has to refuse.
        case reset
        /// Frames for streams that are gone, beyond what may have crossed a RESET on the wire; a second GOAWAY.
        case stray
        /// Informational heads.
        case informational
        /// WebSocket binary messages without a frame.
        case emptyMessage
        /// WebSocket frames that bring a message neither bytes nor its end.
        case emptyFragment
        /// WebSocket pings and pongs.
        case ping
        /// Frames of unknown types.
        case unknownFrame
        /// Control messages.
        case control
        /// Control messages that change nothing: errors, those of unknown types, and those that had to be refused.
        case uselessControl

        /// As the detail of the violation names it.
        var name: String {
            switch self {
            case .emptyData: "empty DATA"
            case .window: "WINDOW"
            case .reset: "RESET"
            case .stray: "frames of streams that are gone"
            case .informational: "informational heads"
            case .emptyMessage: "empty messages"
            case .emptyFragment: "empty fragments"
            case .ping: "pings"
            case .unknownFrame: "frames of unknown types"
            case .control: "control messages"
            case .uselessControl: "control messages that change nothing"
            }
        }
    }

    /// How many DATA frames may be on their way to a stream when it is reset: the largest window in turns of 16 KiB.
    private static let strayFramesPerReset = 512

    struct Bucket: Hashable, Sendable {
        private let perSecond: Double
        let most: Double
        var tokens: Double
        private var filledAt: NIODeadline?

        init(perSecond: Double, burst: Int) {
            self.perSecond = perSecond
            most = Double(burst)
            tokens = most
        }

        mutating func spend(at now: NIODeadline) -> Bool {
            // What was earned beyond the burst stays.
            if let filledAt, now > filledAt, tokens < most {
                tokens = min(most, tokens + perSecond * Double((now - filledAt).nanoseconds) / 1e9)
            }
            filledAt = now
            guard tokens >= 1 else { return false }
            tokens -= 1
            return true
        }
    }

    private var buckets: [Bucket]

    /// - Parameter maxStreams: streams that may be open at once. A gateway whose clients all go away within a second
    ///   after their requests resets so many a second; twice that is let pass.
    package init(role: Multiplexer.Role, maxStreams: Int) {
        buckets = Kind.allCases.map { kind in
            switch kind {
            case .emptyData, .emptyMessage, .emptyFragment, .ping, .uselessControl: Bucket(perSecond: 10, burst: 200)
            case .window, .informational, .unknownFrame: Bucket(perSecond: 100, burst: 1000)
            case .stray, .control: Bucket(perSecond: 1000, burst: 10_000)
            case .reset where role == .agent:
                Bucket(perSecond: Double(max(100, 2 * maxStreams)), burst: max(1000, 4 * maxStreams))
            case .reset: Bucket(perSecond: 100, burst: 1000)
            }
        }
    }

    /// The peer sent something of this kind. Returns the violation if that is too much.
    ///
    /// - Parameter now: on the caller's monotonic clock; the last one again where it was not looked at since.
    package mutating func spend(_ kind: Kind, at now: NIODeadline) -> ProtocolViolation? {
        if buckets[kind.rawValue].spend(at: now) { return nil }
        return ProtocolViolation(.flood, "too many \(kind.name)")
    }

    /// Legitimate traffic makes so many more of this kind legitimate. Credit of this sort does not pile up beyond ten
    /// times the burst.
    mutating func earn(_ kind: Kind, _ count: Int = 1) {
        let most = buckets[kind.rawValue].most * 10
        guard buckets[kind.rawValue].tokens < most else { return }
        buckets[kind.rawValue].tokens += Double(count)
    }

    /// A stream was opened (gateway) or accepted (agent).
    mutating func opened(by role: Multiplexer.Role) {
        earn(.window, 2)
        // As many as are passed on.
        earn(.informational, 16)
        // The agent may reset each stream once, for reasons of its own.
        if role == .gateway { earn(.reset) }
    }

    /// This side reset a stream: frames of it may still be on their way.
    mutating func reset() { earn(.stray, Self.strayFramesPerReset) }
}
