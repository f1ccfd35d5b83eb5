/// A rate with a burst: `rate` tokens a second, at most `burst` at once. Pure; the caller says what time it is.
package struct TokenBucket: Sendable {
    private let rate: Double
    private let burst: Double
    private var tokens: Double
    private var updated: Duration?

    /// `rate` in tokens a second, above zero; `burst` in tokens, at least one. Starts full.
    package init(rate: Double, burst: Int) {
        self.rate = max(rate, .leastNonzeroMagnitude)
        self.burst = Double(max(burst, 1))
        tokens = self.burst
    }

    /// Takes one token, on credit if there is none, and says how long to wait until it is really there. `now` is the
    /// time since any fixed instant.
    package mutating func reserve(now: Duration) -> Duration {
        refill(now: now)
        tokens -= 1
        return tokens >= 0 ? .zero : .seconds(-tokens / rate)
    }

    /// Takes one token if there is one.
    package mutating func take(now: Duration) -> Bool {
        refill(now: now)
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }

    private mutating func refill(now: Duration) {
        if let updated, now > updated { tokens = min(burst, tokens + (now - updated) / .seconds(1) * rate) }
        updated = max(now, updated ?? now)
    }
}
