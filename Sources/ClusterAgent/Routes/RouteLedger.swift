package import KubernetesAPI
package import Routing

package import struct Foundation.Date

/// The cluster's route set, assembled from what each Ingress yields.
///
/// No two routes share a key. Where several Ingresses ask for one, the oldest has it, then the first by namespace and
/// name; the others are told, and the next one in line gets the route when the winner goes.
package struct RouteLedger: Sendable {
    /// What the gateway is to be told.
    package enum Publication: Hashable, Sendable {
        /// Nothing at all: observe-only mode, or the cluster's type is not decided yet.
        case silent
        /// That there are no routes: the cluster is public.
        case withdrawn
        /// The routes.
        case published

        package init(mode: AgentSettings.SyncMode, clusterType: ClusterType) {
            switch (mode, clusterType) {
            case (.never, _): self = .silent
            case (.always, _): self = .published
            case (.auto, .private): self = .published
            case (.auto, .public): self = .withdrawn
            case (.auto, .unknown): self = .silent
            }
        }
    }

    /// What the gateway said about a route.
    package enum Verdict: Hashable, Sendable {
        /// Served since this revision.
        case accepted(revision: Int64)
        case rejected(reason: String, message: String)
    }

    /// What a change means for others than the Ingress that was changed.
    package struct Change: Hashable, Sendable {
        /// The gateway must be told.
        package var routesChanged = false
        /// Hosts whose forwarding targets changed.
        package var hosts: Set<Hostname> = []
        /// Other Ingresses that won or lost a route, or lose it to another one than before.
        package var affected: Set<ObjectKey> = []

        package init() {}
    }

    struct Claim: Hashable, Sendable {
        var ingress: ObjectKey
        var createdAt: Date
        var extracted: ExtractedRoute

        func precedes(_ other: Claim) -> Bool {
            createdAt == other.createdAt ? ingress < other.ingress : createdAt < other.createdAt
        }
    }

    struct Entry: Sendable {
        /// In order of precedence, never empty; the first one is served.
        var claims: [Claim]
        /// What each registry said of the route that is served.
        var verdicts: [String: Verdict] = [:]
    }

    /// Grows with every change and with every message that is cut from the ledger.
    package private(set) var revision: Int64
    package internal(set) var publication = Publication.silent
    package internal(set) var tunnel = TunnelState.starting
    /// Whether this replica leads and has looked at every Ingress since. Until then nothing is published: the gateway
    /// would take what is missing for deleted.
    package internal(set) var isComplete = false
    /// Counts the terms of leadership of this replica. What it published in an earlier one tells nothing about what the
    /// gateway has now.
    package private(set) var term = 0
    /// The registries that have acknowledged the whole set and are within reach.
    var registries: Set<String> = []
    var entries: [RouteKey: Entry] = [:]
    /// The keys each Ingress asks for.
    private var submissions: [ObjectKey: [RouteKey]] = [:]
    private var keysByHost: [Hostname: Set<RouteKey>] = [:]
    /// Keys whose route changed since the syncer last took them.
    private var changedKeys: Set<RouteKey> = []

    /// - Parameter revision: where to count from. A value above any that an earlier run used keeps revisions growing
    ///   across restarts.
    package init(revision: Int64 = 0) { self.revision = revision }

    /// The routes that won, whether they are published or not.
    package var routeCount: Int { entries.count }

    /// The Ingresses that submitted anything.
    package var ingresses: Set<ObjectKey> { Set(submissions.keys) }

    /// The route that is served under a key.
    package func route(_ key: RouteKey) -> Route? { entries[key]?.claims.first?.extracted.route }

    /// The routes to publish, in a stable order.
    package var routesInOrder: [Route] {
        entries.values.compactMap(\.claims.first?.extracted.route).sorted(by: Route.inOrder)
    }

    /// What is forwarded for a host.
    package func targets(of host: Hostname) -> [(PathMatch, ForwardTarget)] {
        (keysByHost[host] ?? []).compactMap { key in
            entries[key]?.claims.first.map { (key.match, $0.extracted.target) }
        }
    }

    // MARK: Leadership

    /// This replica leads from now on. Nothing is published before `isComplete`.
    ///
    /// - Parameter floor: a revision above any that an earlier leader used.
    package mutating func beginTerm(revision floor: Int64) {
        term += 1
        isComplete = false
        revision = max(revision, floor)
        tunnel = .starting
        forgetVerdicts()
    }

    /// Every Ingress there was at the start of the term has been looked at.
    package mutating func setComplete() { isComplete = true }

    /// Another replica leads, or will: nothing is published any more.
    package mutating func endTerm() { isComplete = false }

    // MARK: Submissions

    /// Puts an Ingress's routes in place of those it had. Its own keys must be unique.
    package mutating func replace(ingress: ObjectKey, createdAt: Date, with routes: [ExtractedRoute]) -> Change {
        var change = Change()
        let wanted = Dictionary(routes.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
        for key in submissions[ingress] ?? [] where wanted[key] == nil {
            edit(key, by: ingress, claim: nil, &change)
        }
        for (key, extracted) in wanted {
            edit(key, by: ingress, claim: Claim(ingress: ingress, createdAt: createdAt, extracted: extracted), &change)
        }
        submissions[ingress] = wanted.isEmpty ? nil : Array(wanted.keys)
        if change.routesChanged { revision += 1 }
        return change
    }

    /// Removes the routes that an Ingress no longer asks for, and adds or changes none.
    package mutating func retain(ingress: ObjectKey, keys: Set<RouteKey>) -> Change {
        var change = Change()
        guard let submitted = submissions[ingress] else { return change }
        for key in submitted where !keys.contains(key) { edit(key, by: ingress, claim: nil, &change) }
        let kept = submitted.filter(keys.contains)
        submissions[ingress] = kept.isEmpty ? nil : kept
        if change.routesChanged { revision += 1 }
        return change
    }

    /// Removes an Ingress's routes and no others.
    package mutating func remove(ingress: ObjectKey) -> Change {
        replace(ingress: ingress, createdAt: .distantFuture, with: [])
    }

    private mutating func edit(_ key: RouteKey, by ingress: ObjectKey, claim: Claim?, _ change: inout Change) {
        var claims = entries[key]?.claims ?? []
        let winner = claims.first
        claims.removeAll { $0.ingress == ingress }
        if let claim {
            let index = claims.firstIndex { claim.precedes($0) } ?? claims.endIndex
            claims.insert(claim, at: index)
        }
        if claims.first != winner {
            if claims.first?.extracted.target != winner?.extracted.target { change.hosts.insert(key.host) }
            if claims.first?.extracted.route != winner?.extracted.route {
                change.routesChanged = true
                changedKeys.insert(key)
                entries[key]?.verdicts = [:]
            }
            if claims.first?.ingress != winner?.ingress {
                change.affected.formUnion(claims.map(\.ingress))
                if let winner { change.affected.insert(winner.ingress) }
                change.affected.remove(ingress)
            }
        }
        if claims.isEmpty {
            entries[key] = nil
            keysByHost[key.host]?.remove(key)
            if keysByHost[key.host]?.isEmpty == true { keysByHost[key.host] = nil }
        } else {
            entries[key, default: Entry(claims: [])].claims = claims
            keysByHost[key.host, default: []].insert(key)
        }
    }

    // MARK: The syncer's view

    /// The keys whose route changed since the last call.
    package mutating func takeChangedKeys() -> Set<RouteKey> {
        defer { changedKeys = [] }
        return changedKeys
    }

    /// A revision for a message: higher than that of every change and message before it.
    package mutating func nextRevision() -> Int64 {
        revision += 1
        return revision
    }

    /// - Returns: whether anything changed; then every Ingress's status has to be looked at.
    package mutating func setPublication(_ publication: Publication) -> Bool {
        guard publication != self.publication else { return false }
        self.publication = publication
        revision += 1
        if publication != .published { forgetVerdicts() }
        return true
    }

    mutating func forgetVerdicts() {
        for key in entries.keys { entries[key]?.verdicts = [:] }
    }
}

/// What is known of the gateway's side.
package enum TunnelState: Hashable, Sendable {
    /// The program has just started: a gateway may go on serving what an earlier run told it.
    case starting
    /// The gateway has acknowledged the whole set, and may be reached or is about to be reached again.
    case up
    /// There has been no session for a while.
    case down
}
