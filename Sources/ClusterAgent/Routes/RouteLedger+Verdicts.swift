package import KubernetesAPI
package import Routing

/// What the gateways say of the routes. Those that share a registry speak with one voice.
extension RouteLedger {
    /// The gateway's answer to one route of one message.
    package struct Outcome: Hashable, Sendable {
        /// As it was sent.
        package var route: Route
        package var verdict: Verdict

        package init(route: Route, verdict: Verdict) {
            self.route = route
            self.verdict = verdict
        }
    }

    /// The verdict of all registries: refused where one of them refuses, accepted once all of them have.
    func verdict(of entry: Entry) -> Verdict? {
        let verdicts = entry.verdicts.sorted { $0.key < $1.key }.map(\.value)
        let rejection = verdicts.first { if case .rejected = $0 { true } else { false } }
        if let rejection { return rejection }
        return registries.allSatisfy { entry.verdicts[$0] != nil } ? verdicts.first : nil
    }

    /// Takes a registry's answers in. One about a route that has changed in the meantime is out of date and ignored.
    ///
    /// - Returns: the Ingresses whose status this changes. A route that goes on being served is no change.
    package mutating func settle(_ outcomes: [Outcome], by registry: String = "") -> Set<ObjectKey> {
        var affected: Set<ObjectKey> = []
        for outcome in outcomes {
            let key = outcome.route.key
            guard var entry = entries[key], let winner = entry.claims.first, winner.extracted.route == outcome.route
            else { continue }
            if case .accepted = entry.verdicts[registry], case .accepted = outcome.verdict { continue }
            let before = verdict(of: entry)
            // Served since the revision that another registry accepted first.
            if case .accepted = outcome.verdict, case .accepted = before {
                entry.verdicts[registry] = before
            } else {
                entry.verdicts[registry] = outcome.verdict
            }
            entries[key] = entry
            if verdict(of: entry) != before { affected.insert(winner.ingress) }
        }
        return affected
    }

    /// A registry has acknowledged the whole set: from now on a route is accepted only if it accepts it too.
    ///
    /// - Returns: the Ingresses whose status this changes.
    package mutating func connected(_ registry: String) -> Set<ObjectKey> {
        let affected = setTunnel(.up)
        guard !registries.contains(registry) else { return affected }
        return affected.union(changing { $0.registries.insert(registry) })
    }

    /// A registry has been out of reach for a while: what it said does not count any more.
    ///
    /// - Returns: the Ingresses whose status this changes.
    package mutating func disconnected(_ registry: String) -> Set<ObjectKey> {
        changing { ledger in
            ledger.registries.remove(registry)
            for key in ledger.entries.keys { ledger.entries[key]?.verdicts[registry] = nil }
        }
    }

    /// - Returns: the Ingresses whose status this changes.
    package mutating func setTunnel(_ state: TunnelState) -> Set<ObjectKey> {
        guard state != tunnel else { return [] }
        tunnel = state
        // The acknowledgement that brings a tunnel up has its own list of what it changes.
        guard state == .down else { return [] }
        forgetVerdicts()
        return ingresses
    }

    /// The Ingresses whose routes have another verdict after a change of the registries.
    private mutating func changing(_ change: (inout RouteLedger) -> Void) -> Set<ObjectKey> {
        let before = entries.mapValues(verdict(of:))
        change(&self)
        return Set(
            entries.compactMap { key, entry in
                verdict(of: entry) == before[key] ? nil : entry.claims.first?.ingress
            })
    }
}
