package import KubernetesRuntime
package import Logging
package import NIOCore
import ServiceLifecycle
package import Settings
import Synchronization
package import TunnelProtocol
package import TunnelTransport

/// Keeps tunnels to the gateway, each with a dial loop of its own, for ever.
package struct TunnelPool: ServiceLifecycle.Service {
    package struct Configuration: Sendable {
        /// How many tunnels, at least 1.
        package var tunnels: Int
        /// Makes the dialler anew for every attempt, so that rotated certificates are used.
        package var dialer: @Sendable () throws -> TunnelDialer
        package var tunnel: TunnelConfiguration
        /// The number of the tunnel is filled in.
        package var hello: ControlMessage.Hello
        /// Read anew for every attempt, so that a rotated token is used.
        package var tokenFile: SecretFile
        package var backoff: Backoff.Limits
        /// How long streams may take to end once the agent is told to stop.
        package var shutdownGrace: Duration
        /// How far the slots' first dials are apart.
        package var startSpread = TimeAmount.milliseconds(300)
        /// Within which the replacement of a drained tunnel is dialled.
        package var drainSpread = TimeAmount.seconds(1)
        /// Between two looks for another gateway, by a tunnel that shares its own; give or take a half.
        package var lookAround = TimeAmount.seconds(60)
        /// All addresses of the gateway; tests put their own in place of the system's resolver.
        package var resolve: @Sendable (TunnelDialer) async throws -> [SocketAddress] = { dialer in
            try await AddressResolution.addresses(of: dialer.host, port: dialer.port, on: dialer.group.any())
        }
        /// Uniform in 0..<1.
        package var random: @Sendable () -> Double = { .random(in: 0..<1) }

        package init(
            tunnels: Int, dialer: @escaping @Sendable () throws -> TunnelDialer, tunnel: TunnelConfiguration,
            hello: ControlMessage.Hello, tokenFile: SecretFile, backoff: Backoff.Limits, shutdownGrace: Duration
        ) {
            self.tunnels = tunnels
            self.dialer = dialer
            self.tunnel = tunnel
            self.hello = hello
            self.tokenFile = tokenFile
            self.backoff = backoff
            self.shutdownGrace = shutdownGrace
        }
    }

    private let configuration: Configuration
    private let upstream: UpstreamPools
    private let routes: (any CacheSync)?
    private let syncer: any RouteSyncing
    private let status: TunnelStatus
    private let logger: Logger

    /// - Parameter routes: must have synced before the first tunnel is dialled, and with it requests come.
    package init(
        configuration: Configuration, upstream: UpstreamPools, waitFor routes: (any CacheSync)? = nil,
        syncer: any RouteSyncing, status: TunnelStatus, logger: Logger
    ) {
        self.configuration = configuration
        self.upstream = upstream
        self.routes = routes
        self.syncer = syncer
        self.status = status
        self.logger = logger
    }

    /// Runs until graceful shutdown, which drains all tunnels within the grace time.
    package func run() async throws {
        let members = TunnelMembers()
        let metrics = TunnelMetrics()
        await cancelWhenGracefulShutdown {
            if let routes, (try? await routes.waitUntilSynced()) == nil { return }
            await withDiscardingTaskGroup { slots in
                for number in 0..<configuration.tunnels {
                    let slot = TunnelSlot(
                        number: number, configuration: configuration, upstream: upstream, syncer: syncer,
                        status: status, members: members, metrics: metrics, logger: logger)
                    slots.addTask { await slot.run() }
                }
            }
        }
    }
}

/// What the slots know of one another, and the way to tell a tunnel its role.
final class TunnelMembers: Sendable {
    private struct State {
        var pool = TunnelPoolState()
        var sessions: [TunnelID: AgentTunnelSession] = [:]
    }

    private let state = Mutex(State())

    func occupancy(for slot: Int) -> GatewayOccupancy { state.withLock { $0.pool.occupancy(for: slot) } }
    func isSameInstance(_ id: TunnelID) -> Bool { state.withLock { $0.pool.isSameInstance(id) } }

    func dialling(_ id: TunnelID, _ address: String?, _ session: AgentTunnelSession) {
        state.withLock { state in
            state.pool.dialling(id, address)
            state.sessions[id] = session
        }
    }

    func established(_ id: TunnelID, _ welcome: ControlMessage.Welcome) {
        assign { $0.established(id, instance: welcome.instanceID, registry: welcome.registry ?? "") }
    }

    func draining(_ id: TunnelID) { assign { $0.draining(id) } }

    func failed(_ id: TunnelID) {
        state.withLock { state in
            state.pool.failed(id)
            state.sessions[id] = nil
        }
    }

    func ended(_ id: TunnelID) {
        assign { $0.ended(id) }
        state.withLock { $0.sessions[id] = nil }
    }

    private func assign(_ event: (inout TunnelPoolState) -> [TunnelID: TunnelRole]) {
        // Told under the lock, which keeps two changes of one tunnel in order; telling does not wait.
        state.withLock { state in
            for (id, role) in event(&state.pool) { state.sessions[id]?.take(role) }
        }
    }
}
