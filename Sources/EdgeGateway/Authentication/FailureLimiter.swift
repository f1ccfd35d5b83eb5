import NIOCore
import Settings

/// Counts failed attempts to authenticate by address, a token bucket for each, in a table of bounded size.
///
/// An IPv4 address counts alone; IPv6 addresses count by their /64, which is what one subscriber is given (RFC 6177).
struct FailureLimiter {
    /// Addresses remembered. Beyond it those are forgotten whose buckets are fullest.
    static let mostAddresses = 16_384

    private let interval: TimeAmount
    private let burst: Int
    /// When the bucket of an address will be full again; those that are full are not in the table.
    private var fullAt: [IPAddress: NIODeadline] = [:]

    /// - Parameter perMinute: failures that refill in a minute, positive; as many may come at once.
    init(perMinute: Int) {
        interval = .nanoseconds(60_000_000_000 / Int64(perMinute))
        burst = perMinute
    }

    var count: Int { fullAt.count }

    /// The whole seconds until another failure of the address would be within the limit; nil if one is now.
    ///
    /// - Parameter address: nil where it is not known, which is never limited.
    func wait(_ address: IPAddress?, now: NIODeadline) -> Int? {
        guard let address, let fullAt = fullAt[Self.subscriber(address)] else { return nil }
        let excess = (fullAt + interval - now) - interval * Int64(burst)
        return excess > .zero ? Int((excess.nanoseconds + 999_999_999) / 1_000_000_000) : nil
    }

    /// An attempt has failed. One beyond the limit costs nothing more.
    mutating func failed(_ address: IPAddress?, now: NIODeadline) {
        guard let address, wait(address, now: now) == nil else { return }
        let subscriber = Self.subscriber(address)
        if fullAt[subscriber] == nil, fullAt.count >= Self.mostAddresses { makeRoom(now: now) }
        fullAt[subscriber] = max(fullAt[subscriber] ?? now, now) + interval
    }

    private static func subscriber(_ address: IPAddress) -> IPAddress { address.masked(toIPv6Prefix: 64) }

    /// Forgets who is within the limit anyway; then, if need be, the half that is nearest to it. So a flood of addresses
    /// costs little for each of them.
    private mutating func makeRoom(now: NIODeadline) {
        fullAt = fullAt.filter { $0.value > now }
        guard fullAt.count > Self.mostAddresses / 2 else { return }
        let worst = fullAt.sorted { $0.value > $1.value }.prefix(Self.mostAddresses / 2)
        fullAt = Dictionary(uniqueKeysWithValues: worst.map { ($0.key, $0.value) })
    }
}
