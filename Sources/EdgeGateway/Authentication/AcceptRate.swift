import NIOCore

/// How many handshakes a gateway takes on, so that the agents of a gateway that was restarted do not overrun it: a token
/// bucket, and a queue that nobody has to hold.
///
/// Who is refused is told when to come again, by the number of those refused before: that number is a debt that
/// is paid at the bucket's rate. So 2,000 agents that come at once come back as a flat line.
struct AcceptRate {
    enum Verdict: Hashable {
        case accepted
        /// Seconds.
        case comeAgain(after: Int)
    }

    /// The longest wait that anybody is told, in seconds.
    static let longestWait = 60
    /// How many may come at once after a quiet time, as a part of the rate: what is taken on in any one second exceeds
    /// the rate by so much.
    private static let burst = 0.25

    private let rate: Double
    private let capacity: Double
    private var tokens: Double
    private var debt = 0.0
    private var last: NIODeadline?

    /// - Parameter rate: handshakes per second, positive.
    init(rate: Int) {
        self.rate = Double(rate)
        capacity = max(1, self.rate * Self.burst)
        tokens = capacity
    }

    /// One handshake asks to be taken on.
    mutating func take(now: NIODeadline) -> Verdict {
        let seconds = last.map { max(0, Double((now - $0).nanoseconds) / 1e9) } ?? 0
        last = now
        tokens = min(capacity, tokens + seconds * rate)
        debt = max(0, debt - seconds * rate)
        if tokens >= 1 {
            tokens -= 1
            return .accepted
        }
        let wait = min(1 + Int(debt / rate), Self.longestWait)
        // Nobody waits longer than that: whoever comes beyond adds nothing to the queue.
        debt = min(debt + 1, rate * Double(Self.longestWait))
        return .comeAgain(after: wait)
    }
}
