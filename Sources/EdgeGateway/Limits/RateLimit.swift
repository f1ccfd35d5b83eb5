/// How many requests may come, on the average and at once.
package enum RateLimit: Hashable, Sendable {
    case off
    /// - Parameters:
    ///   - rate: requests per second, on the average.
    ///   - burst: requests at once, after a quiet time.
    case requests(rate: Int, burst: Int)

    /// What a cluster has unless a setting says otherwise.
    package static let standard = RateLimit.requests(rate: 100, burst: 1000)
    /// What `init(_:)` understands, as the rest of a sentence that begins with "must be".
    package static let expected =
        "off, or requests per second, or those and the burst, such as 100:1000; up to 1000000 and 10000000"

    /// Reads `off`, `50` or `50:500`; the burst is ten times the rate where none is given.
    package init?(_ text: String) {
        guard text != "off" else {
            self = .off
            return
        }
        let numbers = text.split(separator: ":", omittingEmptySubsequences: false).map { digits in
            digits.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(digits) : nil
        }
        guard numbers.count <= 2, let rate = numbers[0], (1...1_000_000).contains(rate),
            let burst = numbers.count == 2 ? numbers[1] : rate * 10, (1...10_000_000).contains(burst)
        else { return nil }
        self = .requests(rate: rate, burst: burst)
    }
}

extension RateLimit: CustomStringConvertible {
    /// As settings spell it.
    package var description: String {
        switch self {
        case .off: "off"
        case .requests(let rate, let burst): "\(rate):\(burst)"
        }
    }
}

/// The limits of all clusters.
package struct RateLimits: Hashable, Sendable {
    package var standard: RateLimit
    /// Those that have one of their own.
    package var clusters: [String: RateLimit]

    package init(standard: RateLimit = .off, clusters: [String: RateLimit] = [:]) {
        self.standard = standard
        self.clusters = clusters
    }

    subscript(cluster: String) -> RateLimit { clusters[cluster] ?? standard }
}
