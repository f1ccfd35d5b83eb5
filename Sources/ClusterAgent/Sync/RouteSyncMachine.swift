package import KubernetesAPI
package import Routing
package import TunnelProtocol

/// Keeps one registry's copy of the cluster's routes true: the whole set on a fresh session, differences after that.
///
/// ```
/// disconnected ──sessionEstablished──► settled ◄──last acknowledgement── awaiting
///                                         └────────changes, resync───────────►┘
/// ```
/// One batch of messages is in flight at a time; what changes meanwhile becomes the next one, however often it changed.
/// A batch of differences holds deletions, then updates, then additions, so that a name that moves is free before it is
/// claimed. A batch that three heartbeats pass without an answer once it is sent, or that the gateway answers with
/// `resync`, is given up for the whole set. A machine serves one session and is thrown away with it.
package struct RouteSyncMachine: Sendable {
    /// What follows from an event.
    package struct Step: Hashable, Sendable {
        /// To send, in this order.
        package var messages: [ControlMessage] = []
        /// Ingresses whose status the event changes.
        package var affected: Set<ObjectKey> = []
        /// The gateway's answer was taken in, and is worth a line in the log.
        package var acknowledged: Acknowledged?

        package init(
            messages: [ControlMessage] = [], affected: Set<ObjectKey> = [], acknowledged: Acknowledged? = nil
        ) {
            self.messages = messages
            self.affected = affected
            self.acknowledged = acknowledged
        }
    }

    package struct Acknowledged: Hashable, Sendable {
        package var revision: Int64
        package var accepted: Int
        package var rejected: Int

        package init(revision: Int64, accepted: Int, rejected: Int) {
            self.revision = revision
            self.accepted = accepted
            self.rejected = rejected
        }
    }

    private struct Batch: Sendable {
        var isSync: Bool
        /// By the revision of the message, the routes whose fate its acknowledgement tells.
        var outstanding: [Int64: [Route]]
        /// The set and its revision once all of it is acknowledged.
        var revision: Int64
        var digest: RouteDigest
        var heartbeats = 0
    }

    private enum State: Sendable {
        case disconnected
        case settled
        case awaiting(Batch)
    }

    private struct Published: Hashable, Sendable {
        var publication: RouteLedger.Publication
        var term: Int
    }

    private let clusterUUID: String
    /// The store of routes that the session's gateway writes to.
    private let registry: String
    /// Keys that changed since the last batch was cut, as far as they were handed over.
    private var changedKeys: Set<RouteKey> = []
    private var state = State.disconnected
    /// What this session was told last, and in which term; `nil` before its first sync.
    private var published: Published?
    private var advertised: [RouteKey: Route] = [:]
    private var digest = RouteDigest()
    private var settledRevision = unsettled
    private var settledDigest = RouteDigest()

    /// The revision in heartbeats of a session that has acknowledged nothing; no gateway has it.
    static let unsettled: Int64 = -1
    private static let patience = 3

    package init(clusterUUID: String, registry: String = "") {
        self.clusterUUID = clusterUUID
        self.registry = registry
    }

    /// Routes have changed. Where several machines follow one ledger, each is told before any of them takes its next
    /// step: the ledger itself tells only once.
    package mutating func noteChanges(_ keys: Set<RouteKey>) { changedKeys.formUnion(keys) }

    // MARK: Events

    /// A session with a gateway is ready for routes.
    package mutating func sessionEstablished(_ ledger: inout RouteLedger) -> Step {
        state = .settled
        published = nil
        advertised = [:]
        digest = RouteDigest()
        settledRevision = Self.unsettled
        settledDigest = RouteDigest()
        return Step(messages: cut(&ledger, wholeSet: true))
    }

    /// The ledger has changed, or what is to be published.
    package mutating func ledgerChanged(_ ledger: inout RouteLedger) -> Step {
        guard case .settled = state else { return Step() }
        return Step(messages: cut(&ledger, wholeSet: false))
    }

    /// The gateway asks for the whole set. What is in flight may be what it refused, so no answer to it is awaited.
    ///
    /// - Parameter isSending: whether the last batch is not with the socket yet. A whole set that the gateway has not got
    ///   yet is what it asks for.
    package mutating func resyncRequested(isSending: Bool, _ ledger: inout RouteLedger) -> Step {
        switch state {
        case .disconnected: return Step()
        case .awaiting(let batch) where batch.isSync && isSending: return Step()
        case .settled, .awaiting: break
        }
        state = .settled
        return Step(messages: cut(&ledger, wholeSet: true))
    }

    /// The gateway has answered a message. An answer to one that is no longer awaited is a harmless race: a batch was
    /// given up, or a session ended.
    package mutating func acknowledged(
        _ ack: ControlMessage.IngressRoutesAck, _ ledger: inout RouteLedger
    ) -> Step {
        guard case .awaiting(var batch) = state,
            let routes = batch.outstanding.removeValue(forKey: ack.revision)
        else { return Step() }
        state = .awaiting(batch)
        var step = Step(
            affected: ledger.settle(Self.outcomes(of: routes, ack), by: registry),
            acknowledged: Acknowledged(
                revision: ack.revision, accepted: ack.accepted, rejected: ack.rejected.count))
        guard batch.outstanding.isEmpty else { return step }
        state = .settled
        settledRevision = batch.revision
        settledDigest = batch.digest
        if batch.isSync { step.affected.formUnion(ledger.connected(registry)) }
        step.messages = cut(&ledger, wholeSet: false)
        return step
    }

    /// It is time for a heartbeat.
    ///
    /// - Parameter isSending: whether the last batch is not with the socket yet; until it is nobody can answer it.
    package mutating func heartbeatDue(isPrivate: Bool, isSending: Bool, _ ledger: inout RouteLedger) -> Step {
        var messages: [ControlMessage] = []
        switch state {
        case .disconnected: return Step()
        case .settled: break
        case .awaiting where isSending: break
        case .awaiting(var batch):
            batch.heartbeats += 1
            state = .awaiting(batch)
            if batch.heartbeats > Self.patience {
                state = .settled
                messages = cut(&ledger, wholeSet: true)
            }
        }
        messages.append(heartbeat(isPrivate: isPrivate, ledger))
        return Step(messages: messages)
    }

    /// Only who publishes can tell what the gateway should have; a standby says that the cluster is alive.
    private func heartbeat(isPrivate: Bool, _ ledger: RouteLedger) -> ControlMessage {
        let isPublishing = ledger.isComplete && published?.term == ledger.term
        let routes = isPublishing ? advertised.count : ledger.publication == .published ? ledger.routeCount : 0
        return .heartbeat(
            .init(
                metadata: .init(isPrivate: isPrivate, gatewayRoutes: routes),
                revision: isPublishing ? settledRevision : Self.unsettled, digest: settledDigest.description))
    }

    // MARK: Batches

    /// Takes what is to be sent from the ledger and awaits the answers. Only while settled.
    private mutating func cut(_ ledger: inout RouteLedger, wholeSet: Bool) -> [ControlMessage] {
        guard ledger.isComplete else {
            // The set that follows is a whole one.
            _ = takeChanges(&ledger)
            return []
        }
        let wholeSet = wholeSet || published != Published(publication: ledger.publication, term: ledger.term)
        switch ledger.publication {
        case .silent: return []
        case .withdrawn: return wholeSet ? cutSync([], &ledger) : []
        case .published: return wholeSet ? cutSync(ledger.routesInOrder, &ledger) : cutDelta(&ledger)
        }
    }

    private mutating func cutSync(_ routes: [Route], _ ledger: inout RouteLedger) -> [ControlMessage] {
        _ = takeChanges(&ledger)
        published = Published(publication: ledger.publication, term: ledger.term)
        advertised = Dictionary(routes.map { ($0.key, $0) }, uniquingKeysWith: { _, last in last })
        digest = RouteDigest(routes)
        let revision = ledger.nextRevision()
        let pages = RoutePaging.pages(of: routes.map(AdvertisedRoute.init))
        state = .awaiting(
            Batch(isSync: true, outstanding: [revision: routes], revision: revision, digest: digest))
        return pages.enumerated().map { index, page in
            .ingressRoutes(
                .init(
                    action: .sync, clusterUUID: clusterUUID, routes: page, revision: revision,
                    page: .init(index: index, last: index == pages.count - 1)))
        }
    }

    private mutating func cutDelta(_ ledger: inout RouteLedger) -> [ControlMessage] {
        var before: [RouteKey: Route] = [:]
        var after: [RouteKey: Route] = [:]
        for key in takeChanges(&ledger) {
            before[key] = advertised[key]
            after[key] = ledger.route(key)
        }
        let delta = RouteDelta(from: before, to: after)
        guard !delta.isEmpty else { return [] }
        for route in before.values { digest.remove(route) }
        for route in after.values { digest.insert(route) }
        for key in before.keys { advertised[key] = nil }
        advertised.merge(after) { _, last in last }

        var messages: [ControlMessage] = []
        var batch = Batch(isSync: false, outstanding: [:], revision: 0, digest: digest)
        for (action, routes) in delta.byAction where !routes.isEmpty {
            var rest = routes[...]
            for page in RoutePaging.pages(of: routes.map(AdvertisedRoute.init)) {
                batch.revision = ledger.nextRevision()
                // Of a deletion there is nothing to learn but that it arrived.
                batch.outstanding[batch.revision] = action == .delete ? [] : Array(rest.prefix(page.count))
                rest = rest.dropFirst(page.count)
                messages.append(
                    .ingressRoutes(
                        .init(action: action, clusterUUID: clusterUUID, routes: page, revision: batch.revision)))
            }
        }
        state = .awaiting(batch)
        return messages
    }

    private mutating func takeChanges(_ ledger: inout RouteLedger) -> Set<RouteKey> {
        defer { changedKeys = [] }
        return changedKeys.union(ledger.takeChangedKeys())
    }

    private static func outcomes(
        of routes: [Route], _ ack: ControlMessage.IngressRoutesAck
    ) -> [RouteLedger.Outcome] {
        let rejected = Dictionary(
            ack.rejected.map { (Spelling($0), RouteLedger.Verdict.rejected(reason: $0.reason, message: $0.message)) },
            uniquingKeysWith: { first, _ in first })
        return routes.map { route in
            .init(route: route, verdict: rejected[Spelling(route)] ?? .accepted(revision: ack.revision))
        }
    }

    /// What a route and its rejection have in common.
    private struct Spelling: Hashable {
        var host: String
        var path: String
        var pathType: String

        init(_ rejection: ControlMessage.IngressRoutesAck.Rejection) {
            host = rejection.host
            path = rejection.path
            pathType = rejection.pathType
        }

        init(_ route: Route) {
            host = route.host.text
            path = route.path
            pathType = route.pathType.rawValue
        }
    }
}

extension RouteDelta {
    /// In the order in which they are sent: what is freed first, what is claimed last.
    fileprivate var byAction: [(ControlMessage.IngressRoutes.Action, [Route])] {
        [(.delete, deleted), (.update, updated), (.add, added)]
    }
}
