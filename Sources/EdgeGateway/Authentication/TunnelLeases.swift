import Foundation

/// Why the credential of a tunnel holds no more. The raw value is the code of the `error` message and the label of the
/// metric.
enum CredentialEnd: String, CaseIterable, Hashable, Sendable {
    /// Token, key or cluster was removed.
    case revoked
    case expired = "token_expired"
}

/// The tunnels by what they were let in by, compared with the credentials in force: level-triggered, so that it does not
/// matter which change was seen.
///
/// A tunnel whose credential expires announces its end some time before, so that its agent dials with a fresh token while
/// the old tunnel still carries requests. The moment is drawn from the last minute, or the last tenth of a short life: a
/// thousand tokens that end together end a thousand tunnels one by one.
struct TunnelLeases {
    enum Action: Hashable {
        case close(String, CredentialEnd)
        /// Ask the agent to dial anew: the credential ends in so many seconds.
        case renew(String, seconds: Double)
        /// The host names allowed to it are these from now on: end what it may not serve any more, and ask for its
        /// routes again.
        case restrict(String, cluster: String, AllowedHostnames)
    }

    /// The longest time before the end that an agent is asked to dial anew, in seconds.
    static let longestNotice = 60.0

    private struct Lease {
        var identity: TunnelIdentity
        var hostnames: AllowedHostnames
        var renewAt: Date?
    }

    private var leases: [String: Lease] = [:]

    var count: Int { leases.count }

    /// - Parameters:
    ///   - now: the wall clock's time.
    ///   - random: uniform in 0..<1.
    mutating func add(_ id: String, _ identity: TunnelIdentity, now: Date, random: Double) {
        let renewAt = identity.expires.map { expires in
            let notice = min(Self.longestNotice, max(0, expires.timeIntervalSince(now)) / 10)
            return expires - notice * (1 - random / 2)
        }
        leases[id] = Lease(identity: identity, hostnames: identity.hostnames, renewAt: renewAt)
    }

    mutating func remove(_ id: String) { leases[id] = nil }

    /// What is to be done about tunnels by now, each thing once.
    mutating func look(at credentials: Credentials, now: Date) -> [Action] {
        var actions: [Action] = []
        for (id, lease) in leases {
            switch credentials.standing(of: lease.identity, now: now) {
            case .revoked:
                actions.append(.close(id, .revoked))
                leases[id] = nil
            case .expired:
                actions.append(.close(id, .expired))
                leases[id] = nil
            case .valid(let hostnames):
                if hostnames != lease.hostnames {
                    actions.append(.restrict(id, cluster: lease.identity.cluster, hostnames))
                    leases[id]?.hostnames = hostnames
                }
                if let renewAt = lease.renewAt, renewAt <= now, let expires = lease.identity.expires {
                    actions.append(.renew(id, seconds: expires.timeIntervalSince(now)))
                    leases[id]?.renewAt = nil
                }
            }
        }
        return actions
    }
}
