package import Logging
package import NIOCore
import ServiceLifecycle
package import Settings
import TunnelProtocol
package import TunnelTransport

/// Accepts agents' tunnels and serves each one's control channel.
package struct TunnelServer: Service {
    package struct Configuration: Sendable {
        package var listen: HostAndPort
        /// For new connections; `nil` for plain text.
        package var tls: AgentTLS?
        package var instanceID: String
        package var gatewayDomain: String
        package var heartbeatInterval: Duration
        /// Names the store of routes, for agents whose tunnels reach several gateways; nil: all gateways share one.
        package var registry: String?
        package var tunnel: TunnelConfiguration
        /// Whether another process may listen on the same port, too (`SO_REUSEPORT`).
        package var reusePort: Bool

        package init(
            listen: HostAndPort, tls: AgentTLS?, instanceID: String, gatewayDomain: String,
            heartbeatInterval: Duration, registry: String? = nil, tunnel: TunnelConfiguration, reusePort: Bool = false
        ) {
            self.listen = listen
            self.tls = tls
            self.instanceID = instanceID
            self.gatewayDomain = gatewayDomain
            self.heartbeatInterval = heartbeatInterval
            self.registry = registry
            self.tunnel = tunnel
            self.reusePort = reusePort
        }
    }

    /// Tunnels of one cluster in the rotation: enough for several replicas with several tunnels each, and each costs
    /// memory.
    private static let mostTunnels = 64
    /// Open tunnels of one cluster, whatever their agents have said: each in the rotation may be about to be replaced.
    private static let mostOpenTunnels = 2 * mostTunnels

    private let configuration: Configuration
    private let authenticator: TunnelAuthenticator
    private let authenticated: AuthenticatedTunnels
    private let registry: RouteRegistry
    private let tunnels: TunnelRegistry
    private let unfinished = UnfinishedSyncs()
    private let drain: GatewayDrain
    private let warmUp: WarmUp
    private let metrics: GatewayTunnelMetrics
    private let group: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable (SocketAddress) -> Void

    package init(
        configuration: Configuration, authenticator: TunnelAuthenticator, authenticated: AuthenticatedTunnels,
        registry: RouteRegistry, tunnels: TunnelRegistry, drain: GatewayDrain, warmUp: WarmUp,
        metrics: GatewayTunnelMetrics, group: any EventLoopGroup, logger: Logger,
        onListening: @escaping @Sendable (SocketAddress) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.authenticator = authenticator
        self.authenticated = authenticated
        self.registry = registry
        self.tunnels = tunnels
        self.drain = drain
        self.warmUp = warmUp
        self.metrics = metrics
        self.group = group
        self.logger = logger
        self.onListening = onListening
    }

    /// Serves until graceful shutdown: then no tunnel is accepted any more, and open ones tell their agents, carry
    /// requests until the front door is done, are drained, and closed within the grace time.
    package func run() async throws {
        let (accepted, admission) = AsyncStream.makeStream(of: TunnelSession.self)
        let tls = configuration.tls
        let listener = try await TunnelAcceptor.bind(
            host: configuration.listen.host, port: configuration.listen.port, tls: { tls?.context },
            reusePort: configuration.reusePort, admission: Admission(server: self, sessions: admission), group: group)
        logger.info(
            "Listening",
            metadata: ["listener": "agent", "address": "\(listener.localAddress.map(\.shown) ?? "")"])
        if let address = listener.localAddress { onListening(address) }
        await withGracefulShutdownHandler {
            await withTaskCancellationHandler {
                await withDiscardingTaskGroup { sessions in
                    for await session in accepted { sessions.addTask { await session.run() } }
                    let schedule = drain.begin()
                    try? await listener.close().get()
                    for tunnel in authenticated.all { tunnel.announceDrain(detail: "shutting down") }
                    await drain.waitForFrontDoor(schedule)
                    // All, not only those in the rotation: one that its agent drains, or that never said hello, must
                    // not outlast the grace time either.
                    for tunnel in authenticated.all { tunnel.drainAndClose(within: schedule.streams - .now()) }
                }
            } onCancel: {
                admission.finish()
            }
        } onGracefulShutdown: {
            admission.finish()
        }
    }

    fileprivate func session(for proved: TunnelIdentity) -> TunnelSession {
        let id = String(UInt64.random(in: .min ... .max), radix: 16)
        let identity = GatewaySession.Identity(
            clusterUUID: proved.cluster, instanceID: configuration.instanceID, tunnelID: id,
            gatewayDomain: configuration.gatewayDomain,
            heartbeatIntervalMilliseconds: Int(configuration.heartbeatInterval / .milliseconds(1)),
            canaryIntervalMilliseconds: configuration.tunnel.canaryInterval.map { Int($0.nanoseconds / 1_000_000) },
            registry: configuration.registry)
        return TunnelSession(
            identity: identity, proved: proved, authenticator: authenticator, registry: registry, tunnels: tunnels,
            unfinished: unfinished, metrics: metrics, warmUp: warmUp, canaryTimeout: configuration.tunnel.canaryTimeout,
            logger: logger)
    }

    /// Lets agents in by their token or certificate.
    private struct Admission: TunnelAdmission {
        let server: TunnelServer
        let sessions: AsyncStream<TunnelSession>.Continuation

        func admit(_ request: TunnelRequest) -> EventLoopFuture<TunnelSession> {
            server.authenticator.authenticate(request).flatMapThrowing { proved in
                guard server.tunnels.count(of: proved.cluster) < TunnelServer.mostTunnels,
                    server.authenticated.count(of: proved.cluster) < TunnelServer.mostOpenTunnels
                else {
                    throw TunnelRefusal(.overloaded, "the cluster has as many tunnels as allowed", retryAfter: 30)
                }
                return server.session(for: proved)
            }
        }

        func refused(_ refusal: TunnelRefusal, from remote: SocketAddress?) {
            server.authenticator.metrics.refused(refusal)
            // Those that a limit refuses come in crowds.
            let isLimited = refusal.kind == .tooManyAttempts || refusal.kind == .tooManyAtOnce
            server.logger.log(
                level: isLimited ? .debug : .warning, "Tunnel refused",
                metadata: ["reason": "\(refusal)", "remote": "\(remote.map(\.shown) ?? "")"])
        }

        func observer(for session: TunnelSession) -> any TunnelObserver { session }

        func configuration(for session: TunnelSession) -> TunnelConfiguration { server.configuration.tunnel }

        func accepted(
            _ tunnel: Tunnel, identity session: TunnelSession, observer: any TunnelObserver,
            from remote: SocketAddress?
        ) {
            server.authenticator.metrics.accepted()
            session.started(tunnel)
            // Those that were let in at the same moment did not count each other.
            let count = server.authenticated.add(tunnel, session.proved, id: session.id)
            guard count <= TunnelServer.mostOpenTunnels else {
                tunnel.close(.goingAway)
                return
            }
            guard case .enqueued = sessions.yield(session) else {
                tunnel.close(.goingAway)
                return
            }
            server.logger.info(
                "Tunnel accepted",
                metadata: [
                    "cluster_uuid": "\(session.cluster)", "tunnel": "\(session.id)",
                    "remote": "\(remote.map(\.shown) ?? "")",
                ])
        }
    }
}
