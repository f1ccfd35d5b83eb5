import Logging
import Metrics
import NIOCore
import Synchronization
import TunnelProtocol
import TunnelTransport

/// The control channel of one tunnel: carries out what `GatewaySession` decides.
///
/// Messages arrive on the event loop and are handled, in order, by `run()`.
final class TunnelSession: TunnelObserver {
    /// Messages that may wait; an agent that sends faster than the registry takes them is cut off.
    private static let inboxSize = 256
    private static let handshakeTimeout = Duration.seconds(10)
    /// How long the streams of a tunnel may last whose agent has dialled another.
    private static let supersededGrace = TimeAmount.seconds(30)

    private enum Event: Sendable {
        case received(String)
        case handshakeTimedOut
    }

    /// What the registry is asked for.
    private enum Errand: Hashable, Sendable {
        case apply(GatewaySession.RouteChange)
        case refresh(ControlMessage.Heartbeat)
    }

    private enum Outcome: Sendable {
        case applied(GatewaySession.RouteChange, HostnameClaims.Change)
        case refreshed(ControlMessage.Heartbeat, digest: String)
        case failed(Errand, any Error)
    }

    private let identity: GatewaySession.Identity
    /// What the handshake proved.
    let proved: TunnelIdentity
    private let authenticator: TunnelAuthenticator
    private let registry: RouteRegistry
    private let tunnels: TunnelRegistry
    private let unfinished: UnfinishedSyncs
    private let metrics: GatewayTunnelMetrics
    private let warmUp: WarmUp
    private let canaryTimeout: TimeAmount
    private let logger: Logger
    private let tunnel = Mutex<Tunnel?>(nil)
    private let inbox: AsyncStream<Event>
    private let post: AsyncStream<Event>.Continuation

    var cluster: String { identity.clusterUUID }
    var id: String { identity.tunnelID }

    init(
        identity: GatewaySession.Identity, proved: TunnelIdentity, authenticator: TunnelAuthenticator,
        registry: RouteRegistry, tunnels: TunnelRegistry, unfinished: UnfinishedSyncs,
        metrics: GatewayTunnelMetrics, warmUp: WarmUp, canaryTimeout: TimeAmount, logger: Logger
    ) {
        self.metrics = metrics
        self.warmUp = warmUp
        self.canaryTimeout = canaryTimeout
        self.identity = identity
        self.proved = proved
        self.authenticator = authenticator
        self.registry = registry
        self.tunnels = tunnels
        self.unfinished = unfinished
        var logger = logger
        logger[metadataKey: "cluster_uuid"] = "\(identity.clusterUUID)"
        logger[metadataKey: "tunnel"] = "\(identity.tunnelID)"
        self.logger = logger
        (inbox, post) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.inboxSize))
    }

    // MARK: On the event loop

    func started(_ tunnel: Tunnel) {
        self.tunnel.withLock { $0 = tunnel }
        let post = post
        tunnel.eventLoop.scheduleTask(in: TimeAmount(Self.handshakeTimeout)) { post.yield(.handshakeTimedOut) }
    }

    func tunnelReceived(_ text: String) -> Bool {
        if case .dropped = post.yield(.received(text)) { return false }
        return true
    }

    func streamOpened(_ head: RequestHead, endStream: Bool, on tunnel: Tunnel) -> (any AcceptedStreamReceiver)? { nil }

    func tunnelDraining(_ detail: String) {
        // Out of the rotation at once; its open streams go on.
        tunnels.remove(id, of: cluster)
        logger.info("Tunnel drained by the agent", metadata: ["reason": "\(detail)"])
    }

    func streamRefused(_ code: ResetCode, detail: String) {}

    func tunnelClosed(_ reason: TunnelCloseReason) {
        tunnels.remove(id, of: cluster)
        tunnels.open.remove(id, of: cluster, reason)
        metrics.ended(id, of: cluster, reason)
        if case .unresponsive = reason {
            logger.warning("Tunnel canary failed", metadata: ["reason": "\(reason)"])
        }
        logger.info("Tunnel closed", metadata: ["reason": "\(reason)"])
        post.finish()
    }

    // MARK: On the control path

    /// Handles control messages until the tunnel is closed.
    ///
    /// What a waiting task has on its stack stays in memory as long as the tunnel does, so only what must wait does:
    /// everything is decided, and carried out but for the registry's part, by functions that do not suspend.
    func run() async {
        guard let tunnel = tunnel.withLock({ $0 }) else { return }
        var session = GatewaySession(identity: identity)
        var refusals = LineLimit()
        for await event in inbox {
            guard let errand = handle(event, &session, &refusals, tunnel) else { continue }
            await settle(perform(errand), &session, tunnel)
        }
        _ = unfinished.change(of: cluster, by: -session.unfinishedBytes)
        await registry.ended(tunnel: id, of: cluster)
        self.tunnel.withLock { $0 = nil }
    }

    private func handle(
        _ event: Event, _ session: inout GatewaySession, _ refusals: inout LineLimit, _ tunnel: Tunnel
    ) -> Errand? {
        switch event {
        case .received(let text):
            logger.debug("Control message received", metadata: ["message": "\(text)"])
            let held = session.unfinishedBytes
            var action = session.received(ControlMessage.decode(text))
            if !unfinished.change(of: cluster, by: session.unfinishedBytes - held) {
                let overrun = session.unfinishedBytes
                action = session.overrun()
                _ = unfinished.change(of: cluster, by: -overrun)
            }
            if case .send(.error(let error)) = action {
                tunnel.receivedUselessControl()
                if let heldBack = refusals.pass(at: .now()) {
                    logger.warning(
                        "Control message refused",
                        metadata: [
                            "code": "\(error.code)", "detail": "\(error.message)",
                            "held_back": .stringConvertible(heldBack),
                        ])
                }
            }
            return carryOut(action, tunnel)
        case .handshakeTimedOut:
            return session.handshakeTimedOut().flatMap { carryOut($0, tunnel) }
        }
    }

    /// - Returns: what is left to do, which takes its time.
    private func carryOut(_ action: GatewaySession.Action, _ tunnel: Tunnel) -> Errand? {
        switch action {
        case .send(let message):
            send(message, tunnel)
        case .establish(let welcome, let hello):
            tunnel.limitStreams(to: hello.maxStreams)
            send(welcome, tunnel)
            let superseded = tunnels.add(
                ConnectedTunnel(id: id, tunnel: tunnel, agentID: hello.agentID, number: hello.tunnel), of: cluster)
            for old in superseded {
                logger.info("Tunnel superseded", metadata: ["superseded": "\(old.id)"])
                old.tunnel.drainAndClose(within: Self.supersededGrace)
            }
            metrics.established(id, of: cluster, tunnel.vitals)
            tunnels.open.add(
                OpenTunnel(
                    id: id, cluster: cluster, agentID: hello.agentID, agentVersion: hello.agentVersion,
                    number: hello.tunnel, address: tunnel.channel.remoteAddress.map(\.shown) ?? "", since: .now(),
                    vitals: tunnel.vitals))
            warmUp.connected(cluster)
            if let interval = identity.canaryIntervalMilliseconds {
                tunnel.startCanaries(every: .milliseconds(Int64(interval)), timeout: canaryTimeout)
            }
            logger.info(
                "Tunnel established",
                metadata: [
                    "agent": "\(hello.agentID)", "agent_version": "\(hello.agentVersion)",
                    "number": .stringConvertible(hello.tunnel),
                ])
            // It may have ended meanwhile: then nobody else takes it out of the rotation.
            if !tunnel.channel.isActive {
                tunnels.remove(id, of: cluster)
                tunnels.open.remove(id, of: cluster, .disconnected)
                metrics.ended(id, of: cluster, .disconnected)
            }
        case .apply(let change):
            logger.info(
                "Ingress routes received",
                metadata: [
                    "action": "\(change.action.rawValue)", "revision": .stringConvertible(change.revision),
                    "routes": .stringConvertible(change.routes.count + change.rejected.count),
                ])
            return .apply(change)
        case .refresh(let heartbeat):
            return .refresh(heartbeat)
        case .told(let error):
            tunnel.receivedUselessControl()
            logger.debug(
                "Agent reported an error", metadata: ["code": "\(error.code)", "detail": "\(error.message)"])
        case .note(let text):
            logger.debug("Control message noted", metadata: ["note": "\(text)"])
        case .close(let violation):
            logger.warning("Tunnel violated the protocol", metadata: ["reason": "\(violation)"])
            tunnel.close(.violated(violation))
        }
        return nil
    }

    private func perform(_ errand: Errand) async -> Outcome {
        do {
            switch errand {
            case .apply(let change):
                let result = try await registry.apply(
                    change, from: cluster, tunnel: id, allowed: authenticator.hostnames(of: proved))
                return .applied(change, result)
            case .refresh(let heartbeat):
                return .refreshed(heartbeat, digest: try await registry.refresh(cluster))
            }
        } catch {
            return .failed(errand, error)
        }
    }

    private func settle(_ outcome: Outcome, _ session: inout GatewaySession, _ tunnel: Tunnel) {
        switch outcome {
        case .applied(let change, let result):
            warmUp.synced(cluster)
            answer([session.applied(change, accepted: result.accepted, rejected: result.rejected)], tunnel)
        case .refreshed(let heartbeat, let digest):
            answer(session.refreshed(heartbeat, digest: digest), tunnel)
        case .failed(.apply, is HostnameClaims.NotPublisher):
            // Who leads answers with the whole set; who led before, with nothing.
            logger.warning("Ingress routes refused: another tunnel of the cluster has sent its set since")
            send(.resync(.init(reason: "another tunnel of this cluster has sent its set since")), tunnel)
        case .failed(.apply, let error):
            // Not acknowledged: the agent sends its routes again with the next session or resync.
            logger.error("Routes could not be stored", metadata: ["error": "\(error)"])
            send(.resync(.init(reason: "the routes could not be stored")), tunnel)
        case .failed(.refresh, let error):
            logger.error("Routes could not be refreshed", metadata: ["error": "\(error)"])
            // The answer says that what came before has been handled, too.
            answer(session.notRefreshed(), tunnel)
        }
    }

    private func answer(_ actions: [GatewaySession.Action], _ tunnel: Tunnel) {
        for action in actions {
            let errand = carryOut(action, tunnel)
            precondition(errand == nil, "the registry's answer asks the registry again")
        }
    }

    private func send(_ message: ControlMessage, _ tunnel: Tunnel) {
        logger.debug("Control message sent", metadata: ["message": "\(message.encoded())"])
        tunnel.send(message)
    }
}
