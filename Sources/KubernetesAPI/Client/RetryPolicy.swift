/// How often, and after what wait, a request is repeated within one call.
package struct RetryPolicy: Hashable, Sendable {
    /// Attempts in all, at least one.
    package var attempts: Int
    /// The upper bound of the wait after the first failure; doubles with each further one.
    package var initialDelay: Duration
    package var maximumDelay: Duration
    /// A server that asks for a longer wait than this is not waited for within the call.
    package var longestServerWait: Duration

    package init(
        attempts: Int = 4, initialDelay: Duration = .milliseconds(100), maximumDelay: Duration = .seconds(5),
        longestServerWait: Duration = .seconds(30)
    ) {
        self.attempts = max(1, attempts)
        self.initialDelay = initialDelay
        self.maximumDelay = maximumDelay
        self.longestServerWait = longestServerWait
    }

    /// No repetition.
    package static let never = RetryPolicy(attempts: 1)

    package enum Decision: Hashable {
        case retry(after: Duration)
        case giveUp
    }

    /// What to do after attempt number `attempt` (from 1) failed with `error`.
    ///
    /// | request | certainly not processed | perhaps processed |
    /// |---|---|---|
    /// | idempotent | retry | retry |
    /// | not idempotent | retry | give up |
    ///
    /// `random` in 0..<1 spreads the waits: half of the backoff is fixed, half is random, so that many clients do not
    /// come back together and none comes back at once.
    package func decide(attempt: Int, error: KubernetesError, isIdempotent: Bool, random: Double) -> Decision {
        guard attempt < attempts, error.isRetryable, isIdempotent || !error.mayHaveBeenProcessed else { return .giveUp }
        var delay = initialDelay
        for _ in 1..<max(attempt, 1) where delay < maximumDelay { delay *= 2 }
        delay = min(delay, maximumDelay)
        delay = delay / 2 + delay / 2 * random
        if let wait = error.retryAfter {
            guard wait <= longestServerWait else { return .giveUp }
            delay = max(delay, wait)
        }
        return .retry(after: delay)
    }
}
