import Foundation
package import KubernetesAPI
package import KubernetesRuntime
package import Logging
import Synchronization

/// Brings the GatewayRoute of one Ingress and the ledger in line with the Ingress.
///
/// The order is what makes the record trustworthy: it exists before the gateway is told of a route. What an existing
/// status already lists is handed over first, so that a restart does not depend on writes; and what is to go, goes
/// first, whatever becomes of the writes. Only while a whole cluster is taken in for the first time does a new GatewayRoute
/// wait for the gateway's answer before it has a status (`FirstStatus`).
package struct IngressReconciler: Reconciler {
    /// What the reconciler reads and writes.
    package struct World: Sendable {
        package var client: KubernetesClient
        package var ingresses: Store<Ingress>
        package var services: Store<KubernetesAPI.Service>
        /// The labelled ones; `nil` where none is read.
        package var configMaps: Store<ConfigMap>?
        package var gatewayRoutes: Store<GatewayRoute>
        package var ledger: LiveRouteLedger
        package var observation: @Sendable () -> ClusterTypeMonitor.Observation
        package var events: EventRecorder?
        package var authorities: AuthorityCheck
        /// `nil` leaves the status of Ingresses to others.
        package var ingressStatus: IngressStatusWriter?
        /// Whether this replica may write at this moment.
        package var isLeading: @Sendable () -> Bool

        package init(
            client: KubernetesClient, ingresses: Store<Ingress>, services: Store<KubernetesAPI.Service>,
            configMaps: Store<ConfigMap>? = nil,
            gatewayRoutes: Store<GatewayRoute>, ledger: LiveRouteLedger,
            observation: @escaping @Sendable () -> ClusterTypeMonitor.Observation, events: EventRecorder?,
            authorities: AuthorityCheck? = nil, ingressStatus: IngressStatusWriter? = nil,
            isLeading: @escaping @Sendable () -> Bool = { true }
        ) {
            self.client = client
            self.ingresses = ingresses
            self.services = services
            self.configMaps = configMaps
            self.gatewayRoutes = gatewayRoutes
            self.ledger = ledger
            self.observation = observation
            self.events = events
            self.authorities = authorities ?? AuthorityCheck(client: client)
            self.ingressStatus = ingressStatus
            self.isLeading = isLeading
        }
    }

    private let world: World
    private let settings: RoutePipeline.Settings
    private let requeue: @Sendable (Set<ObjectKey>) -> Void
    private let attempted: @Sendable (ObjectKey) -> Void
    private let ownWrites = OwnWrites()
    private let firstStatus: FirstStatus
    /// GatewayRoutes that somebody else has deleted.
    private let vanished = Vanished()
    private let time = MonotonicTime(ContinuousClock())
    private let logger: Logger

    /// - Parameters:
    ///   - requeue: told which other Ingresses a change affects.
    ///   - attempted: told of every attempt, also a failed one.
    package init(
        world: World, settings: RoutePipeline.Settings, logger: Logger,
        requeue: @escaping @Sendable (Set<ObjectKey>) -> Void, attempted: @escaping @Sendable (ObjectKey) -> Void
    ) {
        self.world = world
        self.settings = settings
        self.logger = logger
        self.requeue = requeue
        self.attempted = attempted
        firstStatus = FirstStatus(patience: settings.tunnelDownAfter)
    }

    package func reconcile(_ key: ObjectKey) async throws -> ReconcileResult {
        // A process that was stopped for longer than the Lease lasts has not been told yet that another one leads.
        guard world.isLeading() else { return .requeue(after: .seconds(1)) }
        do {
            return try await bringInLine(key)
        } catch is LeadershipLost {
            return .requeue(after: .seconds(1))
        }
    }

    private func bringInLine(_ key: ObjectKey) async throws -> ReconcileResult {
        defer { attempted(key) }
        let found = world.ingresses.get(key)
        guard let ingress = found, settings.selection.includes(ingress) else {
            try await withdraw(key)
            if let found { try await world.ingressStatus?.reconcile(found, programmed: false) }
            return .done
        }
        let existing = ownWrites.newest(key, cached: world.gatewayRoutes.get(key))
        if let existing, !existing.isOurs {
            let error = refuse(ingress, because: existing)
            try await world.ingressStatus?.reconcile(ingress, programmed: false)
            throw error
        }
        if existing == nil, vanished.contains(key) {
            guard try await isThere(ingress) else {
                note(world.ledger.remove(ingress: key))
                return .done
            }
            vanished.remove(key)
        }
        var extracted = IngressExtraction(
            ingress, settings: settings.extraction, configMap: world.configMaps?.get, service: world.services.get)
        let lookAgain = await checkAuthority(&extracted)
        let createdAt = ingress.metadata.creationTimestamp ?? .distantFuture
        let observation = world.observation()
        let plan = GatewayRoutePlan(
            ingress: ingress, extraction: extracted,
            standing: world.ledger.read { $0.standing(of: key, createdAt: createdAt, routes: extracted.routes) },
            finding: observation.finding, controller: observation.controller,
            targetReason: observation.targetReason, syncMode: settings.syncMode, clusterUUID: settings.clusterUUID,
            now: Date())

        let isAnnounced = plan.isAnnounced(by: existing)
        if isAnnounced {
            submit(extracted, of: key, createdAt: createdAt, expecting: plan.standing)
        } else {
            note(world.ledger.retain(ingress: key, keys: Set(extracted.routes.map(\.key))))
        }
        let written: Written
        do {
            written = try await write(plan, existing: existing)
        } catch let error as KubernetesError where error.kind == .notFound {
            // Somebody removed it this moment; the next attempt makes it anew.
            ownWrites.forget(key)
            throw error
        }
        if !isAnnounced { submit(extracted, of: key, createdAt: createdAt, expecting: plan.standing) }
        guard let programmed = written.status?.condition(.programmed) else { return .requeue(after: written.lookAgain) }
        try await list(ingress, programmed)
        return lookAgain.map { .requeue(after: $0) } ?? .done
    }

    /// A GatewayRoute goes with its Ingress, and the watches of the two may tell of that in either order. Before it is made
    /// again the API server is asked; otherwise agent and garbage collector would take turns until the cache knows.
    private func isThere(_ ingress: Ingress) async throws -> Bool {
        do {
            return try await world.client.get(Ingress.self, ingress.key).metadata.uid == ingress.metadata.uid
        } catch let error as KubernetesError where error.kind == .notFound {
            return false
        }
    }

    /// - Returns: when the Secret that the Ingress names, if it does, has to be looked at again.
    private func checkAuthority(_ extracted: inout IngressExtraction) async -> Duration? {
        guard let secret = extracted.authoritySecret else { return nil }
        let finding = await world.authorities.finding(secret)
        if let problem = finding.problem { extracted.note(authorityProblem: problem) }
        return finding.lookAgain
    }

    private func list(_ ingress: Ingress, _ programmed: Condition) async throws {
        guard let reason = ProgrammedReason(rawValue: programmed.reason), let wanted = IngressStatusPlan.wanted(reason)
        else { return }
        try await world.ingressStatus?.reconcile(ingress, programmed: wanted)
    }

    /// Somebody else's GatewayRoute has the name. It stays as it is, so the Ingress has no status and is not served; the
    /// deletion or the label of that object brings the key back.
    private func refuse(_ ingress: Ingress, because existing: GatewayRoute) -> TerminalError {
        note(world.ledger.remove(ingress: ingress.key))
        let error = ForeignGatewayRoute(key: existing.key)
        world.events?.record(
            ObjectReference(to: ingress), type: .warning, reason: "NotOurs", action: "Accept", note: error.description)
        return TerminalError(error)
    }

    /// Until an Ingress's routes are in the ledger, no change there counts it among the affected: another Ingress may have
    /// won a route since the status was planned, or the tunnel may have gone. Then the status is looked at again.
    private func submit(
        _ extracted: IngressExtraction, of key: ObjectKey, createdAt: Date, expecting planned: RouteStanding
    ) {
        note(world.ledger.replace(ingress: key, createdAt: createdAt, with: extracted.routes))
        let standing = world.ledger.read { $0.standing(of: key, createdAt: createdAt, routes: extracted.routes) }
        if standing != planned { requeue([key]) }
    }

    private func note(_ change: RouteLedger.Change) {
        if !change.affected.isEmpty { requeue(change.affected) }
    }

    // MARK: Writing

    /// Before each request that changes something: the process may have been stopped, or have waited, since the last one.
    private func mayWrite() throws(LeadershipLost) {
        guard world.isLeading() else { throw LeadershipLost() }
    }

    private struct Written {
        /// The status there is now; `nil` where the first one waits for the gateway's answer.
        var status: GatewayRoute.Status?
        var lookAgain = Duration.zero
    }

    private func write(_ plan: GatewayRoutePlan, existing: GatewayRoute?) async throws -> Written {
        var current = existing
        if let existing, let references = plan.ownerReferences(replacing: existing) {
            // Only as long as nobody changes them again: a reference that came meanwhile must not be lost.
            let patch = OwnerReferencesPatch(
                metadata: .init(resourceVersion: existing.metadata.resourceVersion, ownerReferences: references))
            current = try await ownWrites.write(existing.key) {
                try mayWrite()
                return try await world.client.patch(
                    GatewayRoute.self, existing.key, merge: patch, fieldManager: GatewayRoute.manager)
            }
        }
        if let object = plan.object(existing: current) {
            current = try await ownWrites.write(object.key) {
                try mayWrite()
                // What is there is ours; what came to be there meanwhile may be somebody else's.
                return try await world.client.apply(object, fieldManager: GatewayRoute.manager, force: existing != nil)
            }
        }
        guard let current, let desired = plan.status(current: current) else {
            return Written(status: current?.status)
        }
        if current.status == nil, plan.awaitsAnswer,
            let delay = firstStatus.delay(
                current.key, isPublished: world.ledger.read { $0.isComplete }, now: time.now)
        {
            return Written(status: nil, lookAgain: delay)
        }
        firstStatus.settled(current.key)
        let written = try await ownWrites.write(desired.key) {
            try mayWrite()
            return try await world.client.applyStatus(desired, fieldManager: GatewayRoute.manager, force: true)
        }
        report(plan.ingress, written, previous: current.status, desired: desired.status ?? .init())
        return Written(status: desired.status)
    }

    private func report(
        _ ingress: Ingress, _ route: GatewayRoute, previous: GatewayRoute.Status?, desired: GatewayRoute.Status
    ) {
        let programmed = desired.condition(.programmed)
        logger.info(
            "GatewayRoute status written",
            metadata: [
                "namespace": "\(route.key.namespace)", "name": "\(route.key.name)",
                "programmed": "\(programmed?.status.rawValue ?? "")", "reason": "\(programmed?.reason ?? "")",
            ])
        for notice in GatewayRouteNotice.notices(from: previous, to: desired) {
            for object in [ObjectReference(to: ingress), ObjectReference(to: route)] {
                world.events?.record(
                    object, type: notice.type, reason: notice.reason, action: notice.action, note: notice.note)
            }
        }
    }

    // MARK: Removing

    /// The Ingress is gone, or opted out: its routes are withdrawn first, whatever becomes of the GatewayRoute.
    private func withdraw(_ key: ObjectKey) async throws {
        note(world.ledger.remove(ingress: key))
        firstStatus.settled(key)
        vanished.remove(key)
        guard let existing = ownWrites.newest(key, cached: world.gatewayRoutes.get(key)), existing.isOurs else {
            return
        }
        try mayWrite()
        // Noted first: the watch may show the deletion before the request returns.
        ownWrites.deleted(existing)
        do {
            try await world.client.delete(
                GatewayRoute.self, key, options: DeleteOptions(uid: existing.metadata.uid))
        } catch let error as KubernetesError where error.kind == .notFound {
            // The garbage collector, or a person, was quicker.
            return
        } catch {
            ownWrites.forget(key)
            throw error
        }
        logger.info("GatewayRoute deleted", metadata: ["namespace": "\(key.namespace)", "name": "\(key.name)"])
    }

    // MARK: Watching

    /// A change of a GatewayRoute that this agent did not make is looked into.
    ///
    /// - Returns: whether the key has to be reconciled.
    package func gatewayRouteChanged(_ change: ObjectChange<GatewayRoute>) -> Bool {
        switch change {
        case .added(let object), .updated(_, let object): return !ownWrites.observed(object)
        case .deleted(let object):
            ownWrites.observedDeletion(of: object)
            vanished.insert(object.key)
            return true
        }
    }
}

/// A merge patch, which replaces a list as a whole.
private struct OwnerReferencesPatch: Encodable {
    struct Metadata: Encodable {
        var resourceVersion: String?
        var ownerReferences: [OwnerReference]
    }
    var metadata: Metadata
}

/// Another replica leads by now, or may.
struct LeadershipLost: Error {}

/// A GatewayRoute that the agent did not make has the name of an Ingress.
struct ForeignGatewayRoute: Error, CustomStringConvertible {
    var key: ObjectKey

    var description: String {
        "GatewayRoute \(key) was not made by \(GatewayRoute.manager), so the Ingress is not served; delete it, "
            + "or label it \(GatewayRoute.managedByLabel)=\(GatewayRoute.manager) to hand it over"
    }
}

/// Keys of GatewayRoutes that are gone, until they are made again or their Ingresses are known to be gone, too.
private final class Vanished: Sendable {
    private let keys = Mutex<Set<ObjectKey>>([])

    func insert(_ key: ObjectKey) { keys.withLock { _ = $0.insert(key) } }
    func remove(_ key: ObjectKey) { keys.withLock { _ = $0.remove(key) } }
    func contains(_ key: ObjectKey) -> Bool { keys.withLock { $0.contains(key) } }
}
