package import NIOCore

/// The time from a ping to its pong, smoothed as in RFC 6298 §2. A pong that answers no ping of ours counts for nothing:
/// its payload is the peer's word.
package struct RoundTrip: Hashable, Sendable {
    private var sequence: UInt64 = 0
    private var sentAt: NIODeadline?
    /// `nil` until the first pong.
    package private(set) var smoothed: TimeAmount?

    package init() {}

    /// A ping leaves now; its payload, to be sent as eight bytes.
    package mutating func ping(at now: NIODeadline) -> UInt64 {
        sequence &+= 1
        sentAt = now
        return sequence
    }

    /// A pong arrived.
    package mutating func pong(_ payload: UInt64?, at now: NIODeadline) {
        guard payload == sequence, let sentAt else { return }
        self.sentAt = nil
        let sample = now - sentAt
        guard let smoothed else { return self.smoothed = sample }
        self.smoothed = .nanoseconds((smoothed.nanoseconds * 7 + sample.nanoseconds) / 8)
    }
}
