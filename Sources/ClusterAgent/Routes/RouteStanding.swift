package import KubernetesAPI
package import Routing

package import struct Foundation.Date

/// How one Ingress's routes fare: won or lost within the cluster, accepted or refused by the gateway.
package struct RouteStanding: Hashable, Sendable {
    /// A route that another Ingress of this cluster has.
    package struct Conflict: Hashable, Sendable {
        package var key: RouteKey
        package var winner: ObjectKey

        package init(key: RouteKey, winner: ObjectKey) {
            self.key = key
            self.winner = winner
        }
    }

    /// A route the gateway refused.
    package struct Rejection: Hashable, Sendable {
        package var key: RouteKey
        package var reason: String
        package var message: String

        package init(key: RouteKey, reason: String, message: String) {
            self.key = key
            self.reason = reason
            self.message = message
        }
    }

    package var routeCount = 0
    package var conflicts: [Conflict] = []
    package var rejections: [Rejection] = []
    /// Routes the gateway has not answered.
    package var pending = 0
    /// The latest revision that carried one of the routes; `nil` where none is accepted.
    package var revision: Int64?
    package var publication = RouteLedger.Publication.silent
    package var tunnel = TunnelState.starting

    package init() {}
}

extension RouteLedger {
    /// How routes would fare if an Ingress submitted them now.
    ///
    /// It is asked both before they are submitted, because the status must exist before the route is sent, and
    /// afterwards; the answer is the same until the gateway or another Ingress changes it.
    package func standing(of ingress: ObjectKey, createdAt: Date, routes: [ExtractedRoute]) -> RouteStanding {
        var standing = RouteStanding()
        standing.routeCount = routes.count
        standing.publication = publication
        standing.tunnel = tunnel
        for extracted in routes {
            let claim = Claim(ingress: ingress, createdAt: createdAt, extracted: extracted)
            let entry = entries[extracted.key]
            if let rival = entry?.claims.first(where: { $0.ingress != ingress }), rival.precedes(claim) {
                standing.conflicts.append(.init(key: extracted.key, winner: rival.ingress))
                continue
            }
            guard let entry, let winner = entry.claims.first, winner.ingress == ingress,
                winner.extracted.route == extracted.route, let verdict = verdict(of: entry)
            else {
                standing.pending += 1
                continue
            }
            switch verdict {
            case .accepted(let revision): standing.revision = max(standing.revision ?? 0, revision)
            case .rejected(let reason, let message):
                standing.rejections.append(.init(key: extracted.key, reason: reason, message: message))
            }
        }
        return standing
    }
}
