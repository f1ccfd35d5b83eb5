import NIOCore

/// How many WINDOW_UPDATE frames a client may send: a few for each DATA frame that it is sent, and some beside them. The
/// codec counts all others.
struct HTTP2WindowFlood: Hashable {
    private static let perSecond = 100.0
    private static let burst = 1000.0
    /// For each DATA frame: one for the stream and one for the connection, and as many again.
    private static let perFrame = 4.0
    /// What is earned does not pile up beyond this.
    private static let most = 100_000.0

    private var allowed = Self.burst
    private var filledAt = NIODeadline.distantPast

    /// A DATA frame was sent.
    mutating func sent() { allowed = min(allowed + Self.perFrame, Self.most) }

    /// A WINDOW_UPDATE came. Returns whether that may be.
    mutating func updated(now: NIODeadline) -> Bool {
        if filledAt == .distantPast {
            filledAt = now
        } else if allowed < Self.burst {
            let seconds = Double((now - filledAt).nanoseconds) / 1e9
            allowed = min(Self.burst, allowed + seconds * Self.perSecond)
            filledAt = now
        } else {
            filledAt = now
        }
        guard allowed >= 1 else { return false }
        allowed -= 1
        return true
    }
}
