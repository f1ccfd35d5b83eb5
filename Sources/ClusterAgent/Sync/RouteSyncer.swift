package import KubernetesAPI
package import Logging
import ServiceLifecycle
import Synchronization
package import TunnelProtocol

/// Carries out what `RouteSyncMachine` decides: feeds it with the ledger's changes and a session's answers, and hands
/// its messages to the session in the order of the decisions.
package final class RouteSyncer: ServiceLifecycle.Service, RouteSyncing {
    private struct Session {
        var id: Int
        var outgoing: AsyncStream<ControlMessage>.Continuation
    }

    private struct State {
        var machine: RouteSyncMachine
        var session: Session?
        var lastSessionID = 0
    }

    private let state: Mutex<State>
    private let ledger: LiveRouteLedger
    private let isPrivate: @Sendable () -> Bool
    private let onAffected: @Sendable (Set<ObjectKey>) -> Void
    private let isLeading: @Sendable () -> Bool
    private let downAfter: Duration
    private let clock: any Clock<Duration>
    private let logger: Logger
    /// Yields the id of each session that was lost.
    private let losses: AsyncStream<Int>
    private let loss: AsyncStream<Int>.Continuation

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
        state = Mutex(State(machine: RouteSyncMachine(clusterUUID: clusterUUID)))
        self.ledger = ledger
        self.isPrivate = isPrivate
        self.onAffected = onAffected
        self.isLeading = isLeading
        self.downAfter = downAfter
        self.clock = clock
        self.logger = logger
        (losses, loss) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        // There is no session yet: the wait for the first one begins.
        loss.yield(0)
    }

    /// Follows the ledger. Returns on graceful shutdown, throws `CancellationError` on cancellation.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await _ in self.ledger.changes { self.decide { $0.ledgerChanged(&$1) } }
                }
                group.addTask {
                    for await id in self.losses {
                        guard (try? await self.clock.sleep(for: self.downAfter)) != nil else { return }
                        self.declareDown(lost: id)
                    }
                }
            }
        }
        try Task.checkCancellation()
    }

    // MARK: Sessions

    package func runSession(
        heartbeatInterval: Duration, send: @escaping @Sendable (ControlMessage) async throws -> Void
    ) async throws {
        let (outgoing, continuation) = AsyncStream<ControlMessage>.makeStream()
        let id = begin(continuation)
        defer { end(id) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await message in outgoing {
                    try await send(message)
                    self.note(message)
                }
            }
            group.addTask {
                while true {
                    try await self.clock.sleep(for: heartbeatInterval)
                    // Asked before anything is locked.
                    let isPrivate = self.isPrivate()
                    self.decide { $0.heartbeatDue(isPrivate: isPrivate, &$1) }
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func begin(_ outgoing: AsyncStream<ControlMessage>.Continuation) -> Int {
        let isPrivate = isPrivate()
        // Taking over and beginning are one step: nothing of the session before may get into this one.
        let (id, superseded) = state.withLock { state in
            state.lastSessionID += 1
            let superseded = state.session
            state.session = Session(id: state.lastSessionID, outgoing: outgoing)
            _ = take(&state) { $0.sessionEstablished(&$1) }
            // At once, so that the gateway knows the cluster's type from the beginning.
            _ = take(&state) { $0.heartbeatDue(isPrivate: isPrivate, &$1) }
            return (state.lastSessionID, superseded)
        }
        superseded?.outgoing.finish()
        return id
    }

    private func end(_ id: Int) {
        let ended = state.withLock { state in
            guard state.session?.id == id else { return false }
            state.session?.outgoing.finish()
            state.session = nil
            state.machine.sessionLost()
            return true
        }
        if ended { loss.yield(id) }
    }

    /// This replica leads from now on: where it has no session, the wait for one begins anew.
    package func termBegan() {
        if let id = state.withLock({ $0.session == nil ? $0.lastSessionID : nil }) { loss.yield(id) }
    }

    private func declareDown(lost id: Int) {
        // Deciding and telling the ledger are one step, so that a session that begins now is not declared down.
        let affected = state.withLock { state -> Set<ObjectKey> in
            guard state.session == nil, state.lastSessionID == id else { return [] }
            return ledger.setTunnel(.down)
        }
        if !affected.isEmpty { onAffected(affected) }
    }

    package func received(_ ack: ControlMessage.IngressRoutesAck) { decide { $0.acknowledged(ack, &$1) } }

    package func resyncRequested(reason: String) {
        logger.info("Resync requested", metadata: ["reason": "\(reason)"])
        decide { $0.resyncRequested(&$1) }
    }

    /// Decides under the lock, which also keeps messages in the order of the decisions; calls out after it.
    private func decide(_ event: (inout RouteSyncMachine, inout RouteLedger) -> RouteSyncMachine.Step) {
        let step = state.withLock { take(&$0, event) }
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
        _ state: inout State, _ event: (inout RouteSyncMachine, inout RouteLedger) -> RouteSyncMachine.Step
    ) -> RouteSyncMachine.Step {
        let step = ledger.edit { ledger in
            // As the reconciler asks before it writes.
            if !isLeading() { ledger.endTerm() }
            return event(&state.machine, &ledger)
        }
        for message in step.messages { state.session?.outgoing.yield(message) }
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
