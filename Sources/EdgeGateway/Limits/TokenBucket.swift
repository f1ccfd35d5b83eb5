import HTTPExchange
import NIOCore
import Synchronization

/// Requests as tokens: `burst` of them at first, and `rate` a second flow back.
///
/// Kept as the one moment at which the bucket would be full again, so that nothing has to be counted up in between.
struct TokenBucket: Hashable, Sendable {
    private let rate: Int
    private let burst: Int
    private var fullAt: NIODeadline

    /// `nil` where nothing is limited.
    ///
    /// - Parameter older: whose debt goes on, as far as this bucket can have one.
    init?(_ limit: RateLimit, following older: TokenBucket? = nil, now: NIODeadline) {
        guard case .requests(let rate, let burst) = limit else { return nil }
        self.rate = rate
        self.burst = burst
        fullAt = now
        if let older { fullAt = min(older.fullAt, now + .nanoseconds(interval * Int64(burst))) }
    }

    /// Nanoseconds in which one token flows back.
    private var interval: Int64 { 1_000_000_000 / Int64(rate) }

    /// Takes a token; `nil` where there was one, else how long there will be none.
    mutating func take(now: NIODeadline) -> TimeAmount? {
        let full = max(fullAt, now)
        let missing = (full - now).nanoseconds + interval - interval * Int64(burst)
        guard missing <= 0 else { return .nanoseconds(missing) }
        fullAt = full + .nanoseconds(interval)
        return nil
    }

    /// What somebody is told who has to wait.
    func quota(of policy: String, after wait: TimeAmount) -> ExceededQuota {
        ExceededQuota(
            policy: policy, burst: burst, window: (burst + rate - 1) / rate,
            retryAfter: max(1, Int((wait.nanoseconds + 999_999_999) / 1_000_000_000)))
    }
}

/// The bucket of one route, for all event loops.
package final class RouteLimiter: Sendable {
    private let bucket: Mutex<TokenBucket>

    /// `nil` where nothing is limited.
    init?(_ limit: RateLimit, now: NIODeadline = .now()) {
        guard let bucket = TokenBucket(limit, now: now) else { return nil }
        self.bucket = Mutex(bucket)
    }

    /// Counts a request; `nil` where it may pass.
    func refusal(now: NIODeadline) -> ExceededQuota? {
        bucket.withLock { bucket in bucket.take(now: now).map { bucket.quota(of: "route", after: $0) } }
    }
}
