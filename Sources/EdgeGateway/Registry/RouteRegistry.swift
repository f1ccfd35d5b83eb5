package import Logging
import Metrics
import ServiceLifecycle
import TunnelProtocol
import TunnelTransport

/// The gateway's store of routes: takes in what agents say, keeps the cache of the data path up to date, and lets the
/// routes of clusters that fell silent go.
package struct RouteRegistry: Service {
    private let store: any RouteStore
    private let cache: RouteCache
    private let tunnels: TunnelRegistry
    private let logger: Logger

    package init(store: any RouteStore, cache: RouteCache, tunnels: TunnelRegistry, logger: Logger) {
        self.store = store
        self.cache = cache
        self.tunnels = tunnels
        self.logger = logger
    }

    /// Takes one message in that came through a tunnel. When this returns, requests are routed by it. Throws
    /// `HostnameClaims.NotPublisher`.
    ///
    /// - Parameter allowed: the names that what let the tunnel in allows.
    func apply(
        _ change: GatewaySession.RouteChange, from cluster: String, tunnel: String, allowed: AllowedHostnames
    ) async throws -> HostnameClaims.Change {
        let result = try await store.apply(change, from: cluster, tunnel: tunnel, allowed: allowed)
        spread(result)
        try await report(cluster)
        return result
    }

    /// The names allowed to a tunnel have changed. What it may not serve any more ends at once; what it may serve now
    /// comes with the routes that its agent is asked for.
    func restrict(_ cluster: String, tunnel: String, to allowed: AllowedHostnames) async {
        do {
            spread(try await store.restrict(cluster, tunnel: tunnel, to: allowed))
            try await report(cluster)
        } catch {
            logger.error(
                "Routes could not be restricted", metadata: ["tunnel": "\(tunnel)", "error": "\(error)"])
        }
    }

    /// A tunnel is gone.
    func ended(tunnel: String, of cluster: String) async {
        do {
            try await store.ended(tunnel: tunnel, of: cluster)
        } catch {
            logger.error(
                "End of a tunnel could not be stored", metadata: ["tunnel": "\(tunnel)", "error": "\(error)"])
        }
    }

    /// Keeps a cluster's routes. Returns the digest of what it advertises here.
    func refresh(_ cluster: String) async throws -> String { try await store.refresh(cluster) }

    /// Expires routes until graceful shutdown.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await Task.sleep(for: .seconds(1))) != nil {
                do {
                    let (clusters, change) = try await store.expire()
                    spread(change)
                    for cluster in clusters {
                        logger.warning("Routes expired", metadata: ["cluster_uuid": "\(cluster)"])
                        Gauge(label: "gateway_active_routes", dimensions: [("cluster_uuid", cluster)]).destroy()
                    }
                } catch {
                    logger.error("Routes could not be expired", metadata: ["error": "\(error)"])
                }
            }
        }
    }

    private func spread(_ change: HostnameClaims.Change) {
        cache.replace(change.hosts, sequence: change.sequence)
        for cluster in change.contenders {
            tunnels.first(of: cluster)?.tunnel.send(.resync(.init(reason: "a host name this cluster asks for is free")))
        }
    }

    private func report(_ cluster: String) async throws {
        let count = try await store.activeRouteCount(of: cluster)
        Gauge(label: "gateway_active_routes", dimensions: [("cluster_uuid", cluster)]).record(count)
    }
}
