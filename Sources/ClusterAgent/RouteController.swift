import KubernetesAPI
import KubernetesRuntime
import Logging
import ServiceLifecycle
import Synchronization

import struct Foundation.Date

/// Reconciles Ingresses in the role that this replica has at the moment.
///
/// | role | ledger | GatewayRoutes, Events | gateway |
/// |---|---|---|---|
/// | standby | follows the Ingresses, so that requests can come through this replica's tunnel | reads | hears that it lives |
/// | leader | follows the Ingresses | writes | is told the routes |
///
/// Each turn has a queue and a reconciler of its own, filled with everything there is or that the ledger still knows, so
/// that nothing of an earlier turn is left over. With no elector the replica leads from the start. As a cache it has
/// synced once the ledger knows every Ingress: a tunnel that is up before would refuse requests that another replica has
/// advertised.
final class RouteController: ServiceLifecycle.Service, CacheSync {
    /// What a turn needs of the pipeline.
    struct Parts: Sendable {
        var world: IngressReconciler.World
        var caches: [any CacheSync]
        var intake: WorkIntake
        var syncer: RouteSyncer
        var settings: RoutePipeline.Settings
        var logger: Logger
    }

    private let parts: Parts
    private let elector: LeaderElector?
    private let standby: StandbyReconciler
    private let filled = Latch()

    init(_ parts: Parts, elector: LeaderElector?) {
        self.parts = parts
        self.elector = elector
        standby = StandbyReconciler(
            world: parts.world, selection: parts.settings.selection, extraction: parts.settings.extraction)
    }

    var hasSynced: Bool { filled.isOpen }

    func waitUntilSynced() async throws { try await filled.wait() }

    /// Works until graceful shutdown, which ends a term of leadership at once; throws `CancellationError` on cancellation.
    func run() async throws {
        guard try await synced() else { return }
        for ingress in parts.world.ingresses.all() { standby.follow(ingress.key) }
        filled.open()
        guard let elector else { return try await lead() }
        try await elector.run(standingBy: { try? await self.standBy() }) { try await self.lead() }
    }

    private func standBy() async throws {
        try await work(as: .standby) { queue, _ in .init(queue: queue, reconciler: standby) }
    }

    private func lead() async throws {
        let ledger = parts.world.ledger
        defer { ledger.endTerm() }
        try await work(as: .leader) { queue, known in
            ledger.beginTerm(revision: parts.settings.revision())
            parts.syncer.termBegan()
            let firstPass = FirstPass(known, onComplete: ledger.setComplete)
            let reconciler = IngressReconciler(
                world: parts.world, settings: parts.settings, logger: parts.logger,
                requeue: { for key in $0 { queue.add(key) } }, attempted: firstPass.attempted)
            return .init(queue: queue, reconciler: reconciler, isForeignChange: reconciler.gatewayRouteChanged)
        }
    }

    private func work(
        as role: WorkIntake.Role,
        _ begin: @Sendable (WorkQueue<ObjectKey>, _ known: Set<ObjectKey>) -> WorkIntake.Turn
    ) async throws {
        let queue = WorkQueue<ObjectKey>(name: "ingress")
        let known = ingressesKnown()
        let turn = begin(queue, known)
        parts.intake.begin(turn, as: role)
        defer { parts.intake.end() }
        // Again, now that changes are heard: one that came in between was told to nobody.
        for key in known.union(ingressesKnown()) { queue.add(key) }
        // GatewayRoutes too: one may be left of an Ingress that went while nobody looked.
        if role == .leader {
            for route in parts.world.gatewayRoutes.all() { queue.add(route.key) }
        }
        try await Controller(
            name: "ingress", workers: parts.settings.workers, queue: queue, reconciler: turn.reconciler,
            logger: parts.logger
        ).run()
    }

    /// The Ingresses there are, and those that are in the ledger only, because they went between two turns.
    private func ingressesKnown() -> Set<ObjectKey> {
        parts.world.ledger.read { $0.ingresses }.union(parts.world.ingresses.all().map(\.key))
    }

    /// - Returns: false if a graceful shutdown begins before.
    private func synced() async throws -> Bool {
        let isSynced = await cancelWhenGracefulShutdown {
            for cache in self.parts.caches {
                guard (try? await cache.waitUntilSynced()) != nil else { return false }
            }
            return true
        }
        try Task.checkCancellation()
        return isSynced
    }
}

/// Where changes of the world go: into the queue of the turn that is on.
///
/// Between two turns they go nowhere, because the next one begins with everything there is and was.
final class WorkIntake: Sendable {
    enum Role: Sendable {
        case standby
        case leader
    }

    struct Turn: Sendable {
        var queue: WorkQueue<ObjectKey>
        var reconciler: any Reconciler<ObjectKey>
        /// Whether a change of a GatewayRoute is news, and not the echo of a write of this turn.
        var isForeignChange: @Sendable (ObjectChange<GatewayRoute>) -> Bool = { _ in true }
    }

    private let current = Mutex<(turn: Turn, role: Role)?>(nil)

    var isLeading: Bool { current.withLock { $0?.role == .leader } }

    func begin(_ turn: Turn, as role: Role) { current.withLock { $0 = (turn, role) } }
    func end() { current.withLock { $0 = nil } }

    func add(_ keys: some Sequence<ObjectKey>) {
        guard let queue = current.withLock({ $0?.turn.queue }) else { return }
        for key in keys { queue.add(key) }
    }

    /// A GatewayRoute has changed.
    func add(_ change: ObjectChange<GatewayRoute>) {
        guard let turn = current.withLock({ $0?.turn }), turn.isForeignChange(change) else { return }
        turn.queue.add(change.key)
    }
}

/// Keeps the ledger, and with it the table of what may be forwarded, in line with the Ingresses, and writes nothing.
struct StandbyReconciler: Reconciler {
    let world: IngressReconciler.World
    let selection: IngressSelection
    let extraction: ExtractionSettings

    func reconcile(_ key: ObjectKey) async throws -> ReconcileResult {
        follow(key)
        return .done
    }

    func follow(_ key: ObjectKey) {
        guard let ingress = world.ingresses.get(key), selection.includes(ingress),
            world.gatewayRoutes.get(key)?.isOurs != false
        else {
            _ = world.ledger.remove(ingress: key)
            return
        }
        let extracted = IngressExtraction(
            ingress, settings: extraction, configMap: world.configMaps?.get, service: world.services.get)
        _ = world.ledger.replace(
            ingress: key, createdAt: ingress.metadata.creationTimestamp ?? .distantFuture, with: extracted.routes)
    }
}
