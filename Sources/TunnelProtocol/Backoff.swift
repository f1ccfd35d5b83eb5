package import NIOCore

/// How long to wait before dialling again: exponential with full jitter, reset by stability.
package struct Backoff: Hashable, Sendable {
    package struct Limits: Hashable, Sendable {
        package var first: TimeAmount
        package var longest: TimeAmount
        /// A tunnel that lived this long starts the sequence anew.
        package var stableAfter: TimeAmount
        /// The wait after a refusal that only a person can mend (401, 403).
        package var refused: TimeAmount

        package init(
            first: TimeAmount = .milliseconds(500), longest: TimeAmount = .seconds(30),
            stableAfter: TimeAmount = .seconds(60), refused: TimeAmount = .seconds(30)
        ) {
            self.first = first
            self.longest = longest
            self.stableAfter = stableAfter
            self.refused = refused
        }
    }

    /// Why the last attempt, or the last tunnel, ended.
    package enum Cause: Hashable, Sendable {
        /// The tunnel was up for this long.
        case lost(after: TimeAmount)
        /// It did not come up.
        case failed
        /// The gateway refused the credentials.
        case unauthorized
        /// The gateway said when to come again; taken as no less than the first wait and no more than an hour.
        case retryAfter(TimeAmount)
    }

    let limits: Limits
    private var failures = 0

    package init(limits: Limits = Limits()) { self.limits = limits }

    /// A tunnel has been up for this long and is about to be replaced: the dials for it start the sequence anew if it
    /// was stable.
    package mutating func lived(_ lifetime: TimeAmount) {
        if lifetime >= limits.stableAfter { failures = 0 }
    }

    /// - Parameter random: uniform in 0..<1.
    package mutating func delay(after cause: Cause, random: Double) -> TimeAmount {
        switch cause {
        case .retryAfter(let wait):
            // Neither a busy loop nor a goodbye for ever, whatever the gateway asked for.
            let wait = min(max(wait, limits.first), .hours(1))
            // Spread over a fifth of the wait, so that a crowd told the same does not come back as one.
            return wait + .nanoseconds(Int64(Double(wait.nanoseconds) / 5 * random))
        case .unauthorized:
            failures = 0
            return .nanoseconds(Int64(Double(limits.refused.nanoseconds) * (0.5 + random / 2)))
        case .lost(let lifetime):
            lived(lifetime)
        case .failed:
            break
        }
        let ceiling = min(
            Double(limits.longest.nanoseconds), Double(limits.first.nanoseconds) * Double(1 << min(failures, 20)))
        failures += 1
        return .nanoseconds(Int64(ceiling * random))
    }
}
