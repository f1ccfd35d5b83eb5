package import KubernetesAPI
package import Logging
import Routing
import ServiceLifecycle
import Synchronization
package import TunnelProtocol

/// Carries out what `RouteSyncMachine` decides: feeds it with the ledger's changes and a session's answers, and hands
/// its messages to the session in the order of the decisions. There is one session, with a machine of its own, for each
/// registry that the agent's tunnels lead to.
package final class RouteSyncer: ServiceLifecycle.Service, RouteSyncing {
    private struct Session {
        var id: Int
        var machine: RouteSyncMachine
        var outbox = RouteOutbox()
        /// Told when the outbox gets something; ends with the session.
        var wake: AsyncStream<Void>.Continuation
        /// Takes the reason why the gateway asks for the whole set; of several that wait the last.
        var ask: AsyncStream<String>.Continuation

        func finish() {
            wake.finish()
            ask.finish()
        }
    }

    private struct State {
        /// By registry.
        var sessions: [String: Session] = [:]
        var lastSessionID = 0
        var losses = 0
    }

    /// The end of a registry's session, or of none: that the wait for the first session began.
    private struct Loss {
        var registry: String?
        /// Its place among all losses.
        var number: Int
    }

    /// However often a gateway asks for the whole set, this is between one and the next.
    static let resyncSpacing = Duration.seconds(1)

    private let state = Mutex(State())
    private let clusterUUID: String
    private let ledger: LiveRouteLedger
    private let isPrivate: @Sendable () -> Bool
    private let onAffected: @Sendable (Set<ObjectKey>) -> Void
    private let isLeading: @Sendable () -> Bool
    private let downAfter: Duration
    private let clock: any Clock<Duration>
    private let logger: Logger
    private let losses: AsyncStream<Loss>
    private let loss: AsyncStream<Loss>.Continuation

    /// - Parameters:
    ///   - isPrivate: for heartbeats.
    ///   - onAffected: told which Ingresses' status an answer of the gateway changes.
    ///   - isLeading: whether this replica may publish at this moment, whatever the ledger says.
    ///   - downAfter: how long there may be no session before every status says so. A reconnection that is quicker
    ///     writes nothing.
    package init(
        clusterUUID: String, ledger: LiveRouteLedger, isPrivate: @escaping @Sendable () -> Bool,
        onAffected: @escaping @Sendable (Set<ObjectKey>) -> Void,
        isLeading: @escaping @Sendable () -> Bool = { true }, downAfter: Duration = .seconds(5),
        clock: any Clock<Duration> = ContinuousClock(), logger: Logger
    ) {
        self.clusterUUID = clusterUUID
        self.ledger = ledger
        self.isPrivate = isPrivate
        self.onAffected = onAffected
        self.isLeading = isLeading
        self.downAfter = downAfter
        self.clock = clock
        self.logger = logger
        (losses, loss) = AsyncStream.makeStream()
        // There is no session yet: the wait for the first one begins.
        loss.yield(Loss(number: 0))
    }

    /// Follows the ledger. Returns on graceful shutdown, throws `CancellationError` on cancellation.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await _ in self.ledger.changes {
                        for registry in self.registries { self.decide(registry) { $0.machine.ledgerChanged(&$1) } }
                    }
                }
                group.addTask {
                    await withDiscardingTaskGroup { waits in
                        for await loss in self.losses {
                            waits.addTask {
                                guard (try? await self.clock.sleep(for: self.downAfter)) != nil else { return }
                                self.declareDown(loss)
                            }
                        }
                    }
                }
            }
        }
        try Task.checkCancellation()
    }

    // MARK: Sessions

    package func runSession(
        registry: String = "", heartbeatInterval: Duration,
        send: @escaping @Sendable (ControlMessage) async throws -> Void
    ) async throws {
        let (filled, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let (asked, ask) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .bufferingNewest(1))
        let id = begin(registry, wake, ask)
        defer { end(registry, id) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await _ in filled {
                    while let message = self.next(registry, id) {
                        try await send(message)
                        self.note(message)
                    }
                }
            }
            group.addTask {
                while true {
                    try await self.clock.sleep(for: heartbeatInterval)
                    // Asked before anything is locked.
                    let isPrivate = self.isPrivate()
                    self.decide(registry, session: id) { session, ledger in
                        session.machine.heartbeatDue(
                            isPrivate: isPrivate, isSending: session.outbox.isSending, &ledger)
                    }
                }
            }
            group.addTask {
                for await reason in asked {
                    self.logger.info("Resync requested", metadata: ["reason": "\(reason)"])
                    self.decide(registry, session: id) { session, ledger in
                        session.machine.resyncRequested(isSending: session.outbox.isSending, &ledger)
                    }
                    // What is asked for meanwhile is one more set, however often.
                    try await self.clock.sleep(for: Self.resyncSpacing)
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private var registries: [String] { state.withLock { $0.sessions.keys.sorted() } }

    private func next(_ registry: String, _ id: Int) -> ControlMessage? {
        state.withLock { state in
            guard state.sessions[registry]?.id == id else { return nil }
            return state.sessions[registry]?.outbox.next()
        }
    }

    private func begin(
        _ registry: String, _ wake: AsyncStream<Void>.Continuation, _ ask: AsyncStream<String>.Continuation
    ) -> Int {
        let isPrivate = isPrivate()
        // Taking over and beginning are one step: nothing of the session before may get into this one.
        let (id, superseded) = state.withLock { state in
            state.lastSessionID += 1
            let superseded = state.sessions[registry]
            state.sessions[registry] = Session(
                id: state.lastSessionID, machine: RouteSyncMachine(clusterUUID: clusterUUID, registry: registry),
                wake: wake, ask: ask)
            _ = take(&state, registry) { $0.machine.sessionEstablished(&$1) }
            // At once, so that the gateway knows the cluster's type from the beginning.
            _ = take(&state, registry) {
                $0.machine.heartbeatDue(isPrivate: isPrivate, isSending: $0.outbox.isSending, &$1)
            }
            return (state.lastSessionID, superseded)
        }
        superseded?.finish()
        return id
    }

    private func end(_ registry: String, _ id: Int) {
        let ended = state.withLock { state -> Loss? in
            guard let session = state.sessions[registry], session.id == id else { return nil }
            session.finish()
            state.sessions[registry] = nil
            state.losses += 1
            return Loss(registry: registry, number: state.losses)
        }
        if let ended { loss.yield(ended) }
    }

    /// This replica leads from now on: where it has no session, the wait for one begins anew.
    package func termBegan() {
        let number = state.withLock { state -> Int? in
            guard state.sessions.isEmpty else { return nil }
            state.losses += 1
            return state.losses
        }
        if let number { loss.yield(Loss(number: number)) }
    }

    private func declareDown(_ loss: Loss) {
        // Deciding and telling the ledger are one step, so that a session that begins now is not declared down.
        let affected = state.withLock { state -> Set<ObjectKey> in
            var affected: Set<ObjectKey> = []
            if let registry = loss.registry, state.sessions[registry] == nil {
                affected.formUnion(ledger.disconnected(registry))
            }
            if state.sessions.isEmpty, state.losses == loss.number { affected.formUnion(ledger.setTunnel(.down)) }
            return affected
        }
        if !affected.isEmpty { onAffected(affected) }
    }

    package func received(_ ack: ControlMessage.IngressRoutesAck, from registry: String = "") {
        decide(registry) { session, ledger in
            // What was not sent yet cannot be answered.
            session.outbox.holds(ack.revision)
                ? RouteSyncMachine.Step() : session.machine.acknowledged(ack, &ledger)
        }
    }

    package func resyncRequested(reason: String, by registry: String = "") {
        _ = state.withLock { $0.sessions[registry]?.ask.yield(reason) }
    }

    package var standbyHeartbeat: ControlMessage.Heartbeat {
        let isPrivate = isPrivate()
        let routes = ledger.read { $0.publication == .published ? $0.routeCount : 0 }
        return .init(
            metadata: .init(isPrivate: isPrivate, gatewayRoutes: routes), revision: RouteSyncMachine.unsettled,
            digest: RouteDigest().description)
    }

    /// Decides under the lock, which also keeps messages in the order of the decisions; calls out after it. Where there
    /// is no such session any more nothing happens: what was heard came too late.
    private func decide(
        _ registry: String, session id: Int? = nil,
        _ event: (inout Session, inout RouteLedger) -> RouteSyncMachine.Step
    ) {
        let step = state.withLock { state in
            guard let session = state.sessions[registry], id == nil || session.id == id else {
                return RouteSyncMachine.Step()
            }
            return take(&state, registry, event)
        }
        if let acknowledged = step.acknowledged {
            logger.info(
                "Ingress routes acknowledged",
                metadata: [
                    "revision": .stringConvertible(acknowledged.revision),
                    "accepted": .stringConvertible(acknowledged.accepted),
                    "rejected": .stringConvertible(acknowledged.rejected),
                ])
        }
        if !step.affected.isEmpty { onAffected(step.affected) }
    }

    private func take(
        _ state: inout State, _ registry: String,
        _ event: (inout Session, inout RouteLedger) -> RouteSyncMachine.Step
    ) -> RouteSyncMachine.Step {
        // Taken out for the while, so that nothing it holds is copied.
        guard var session = state.sessions.removeValue(forKey: registry) else { return RouteSyncMachine.Step() }
        let (step, changes) = ledger.edit { ledger in
            // As the reconciler asks before it writes.
            if !isLeading() { ledger.endTerm() }
            let changes = ledger.takeChangedKeys()
            session.machine.noteChanges(changes)
            return (event(&session, &ledger), changes)
        }
        for other in state.sessions.keys { state.sessions[other]?.machine.noteChanges(changes) }
        session.outbox.add(step.messages)
        if !step.messages.isEmpty { session.wake.yield() }
        state.sessions[registry] = session
        return step
    }

    private func note(_ message: ControlMessage) {
        switch message {
        case .ingressRoutes(let routes):
            logger.info(
                "Ingress routes sent",
                metadata: [
                    "action": "\(routes.action.rawValue)", "revision": .stringConvertible(routes.revision),
                    "routes": .stringConvertible(routes.routes.count),
                ])
        case .heartbeat(let heartbeat):
            logger.debug(
                "Heartbeat sent",
                metadata: [
                    "is_private": .stringConvertible(heartbeat.metadata.isPrivate),
                    "gateway_routes": .stringConvertible(heartbeat.metadata.gatewayRoutes),
                ])
        default: break
        }
    }
}
