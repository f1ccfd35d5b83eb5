import Foundation
import KubernetesAPI

/// What is to be done so that each domain has a certificate, and those that are gone have none.
///
/// Several gateways may make plans for the same objects, each knowing the domains of the clusters that are connected to it
/// alone, and one that has just started knows none. So none of them deletes what it does not know: each notes on the
/// Certificate, about once an hour, that it serves the domain, and who finds an old note may delete; but not before it has
/// been there for long enough that clusters could have come, for no gateway may have been there to write notes.
///
/// | served here | Certificate | its note | what is done |
/// |---|---|---|---|
/// | yes | none | | applied |
/// | yes | not as it has to be | | applied |
/// | yes | there | older than `noteInterval` | applied, with a new note |
/// | yes | there | newer | nothing |
/// | no | there | none | applied with a note, so that the time runs |
/// | no | there | older than `grace` | deleted, and its Secret with it |
/// | no | there | newer | nothing |
struct DomainCertificatePlan {
    struct Settings: Hashable, Sendable {
        var namespace: String
        var issuer: IssuerReference
        /// How long a certificate is kept for a domain that no gateway serves.
        var grace: TimeInterval = 24 * 3600
        var noteInterval: TimeInterval = 3600
        /// Domains of one cluster that get a certificate.
        var mostPerCluster = 100
    }

    /// A domain, and the cluster that owns it.
    struct Domain: Hashable, Comparable {
        var name: String
        var cluster: String

        static func < (one: Self, other: Self) -> Bool { one.name < other.name }
    }

    enum Change: Hashable {
        /// - Parameter isNew: whether there is none yet, so that another's is not overwritten.
        case apply(DomainCertificate, isNew: Bool)
        case delete(DomainCertificate)
    }

    private(set) var changes: [Change] = []
    /// How many domains of a cluster are beyond the limit, by cluster.
    private(set) var leftOut: [String: Int] = [:]

    /// - Parameter mayDelete: whether clusters have had the time to come.
    init(
        domains: [Domain], existing: [DomainCertificate], mayDelete: Bool = true, settings: Settings, now: Date
    ) {
        let byName = Dictionary(existing.map { ($0.key.name, $0) }, uniquingKeysWith: { first, _ in first })
        var counts: [String: Int] = [:]
        var served: Set<String> = []
        // Those that are gone count while they are kept: who changes names all the time must not use up what an authority
        // gives to all.
        let names = Set(domains.map { DomainCertificate.name(of: $0.name) })
        for current in existing where !names.contains(current.key.name) { counts[current.cluster, default: 0] += 1 }
        // Those that have one come first: a domain more must not cost another its certificate.
        let inOrder =
            domains.filter { byName[DomainCertificate.name(of: $0.name)] != nil }.sorted()
            + domains.filter { byName[DomainCertificate.name(of: $0.name)] == nil }.sorted()
        for domain in inOrder {
            let has = byName[DomainCertificate.name(of: domain.name)] != nil
            guard has || counts[domain.cluster, default: 0] < settings.mostPerCluster else {
                leftOut[domain.cluster, default: 0] += 1
                continue
            }
            counts[domain.cluster, default: 0] += 1
            let desired = DomainCertificate(
                domain: domain.name, cluster: domain.cluster, namespace: settings.namespace, issuer: settings.issuer,
                servedAt: now)
            served.insert(desired.key.name)
            let current = byName[desired.key.name]
            let noted = current?.servedAt.map { now.timeIntervalSince($0) < settings.noteInterval } ?? false
            guard current.map({ !$0.isAs(desired) }) ?? true || !noted else { continue }
            changes.append(.apply(desired, isNew: current == nil))
        }
        for current in existing where !served.contains(current.key.name) && current.metadata.deletionTimestamp == nil {
            guard let servedAt = current.servedAt else {
                guard let domain = current.spec?.dnsNames.first else { continue }
                let noted = DomainCertificate(
                    domain: domain, cluster: current.cluster, namespace: settings.namespace, issuer: settings.issuer,
                    servedAt: now)
                // One that has another name than its domain's is a person's.
                if noted.key == current.key { changes.append(.apply(noted, isNew: false)) }
                continue
            }
            if mayDelete, now.timeIntervalSince(servedAt) >= settings.grace { changes.append(.delete(current)) }
        }
    }
}
