import Foundation

/// When to speak of certificates that end: once a day from thirty days before, and at the end itself.
struct CertificateExpiry {
    enum Notice: Hashable {
        /// - Parameter days: whole ones that are left.
        case soon(certificate: String, days: Int)
        case over(certificate: String)
    }

    private struct Told {
        var expires: Date
        var at: Date
        var wasOver: Bool
    }

    private static let day: TimeInterval = 86_400
    private static let warning = 30 * day

    private var told: [String: Told] = [:]

    /// What is to be said now. A certificate that is renewed is a new one; one that is gone is forgotten.
    mutating func notices(at now: Date, of certificates: [(name: String, expires: Date)]) -> [Notice] {
        var notices: [Notice] = []
        var telling: [String: Told] = [:]
        for (name, expires) in certificates where expires.timeIntervalSince(now) <= Self.warning {
            let isOver = expires <= now
            if let last = told[name], last.expires == expires, last.wasOver == isOver,
                now.timeIntervalSince(last.at) < Self.day
            {
                telling[name] = last
                continue
            }
            telling[name] = Told(expires: expires, at: now, wasOver: isOver)
            notices.append(
                isOver
                    ? .over(certificate: name)
                    : .soon(certificate: name, days: Int(expires.timeIntervalSince(now) / Self.day)))
        }
        told = telling
        return notices
    }
}
