import NIOCore
package import Routing
import Synchronization
package import TunnelProtocol

/// Where the routes of all clusters are kept: in memory, or shared by several gateways.
package protocol RouteStore: Sendable {
    /// Takes one message of a cluster in, with its verdicts. Throws `HostnameClaims.NotPublisher`.
    func apply(
        _ change: GatewaySession.RouteChange, from cluster: String, tunnel: String, allowed: AllowedHostnames
    ) async throws -> HostnameClaims.Change
    /// Fewer names than before are allowed to a tunnel.
    func restrict(_ cluster: String, tunnel: String, to allowed: AllowedHostnames) async throws -> HostnameClaims.Change
    /// A tunnel is gone.
    func ended(tunnel: String, of cluster: String) async throws
    /// Keeps the cluster's routes for another time to live. Returns the digest of what it advertises here.
    func refresh(_ cluster: String) async throws -> String
    /// Drops the routes of clusters whose time to live is over.
    func expire() async throws -> (clusters: [String], change: HostnameClaims.Change)
    /// The clusters that have routes, served or not.
    func clusters() async throws -> Set<String>
    /// Routes of a cluster that are served now.
    func activeRouteCount(of cluster: String) async throws -> Int
    /// The routes served now, a page of them.
    func routes(_ query: RouteQuery) async throws -> RoutePage
    /// The host names served now, in no order.
    func hostNames() async throws -> [Hostname]
}

/// The routes of one gateway that shares them with no other; they are gone when it ends, and every agent sends its own
/// again when it reconnects.
package final class InMemoryRouteStore: RouteStore {
    private let claims: Mutex<HostnameClaims>

    /// - Parameter timeToLive: how long routes live without a heartbeat.
    package init(gatewayDomain: Hostname, timeToLive: Duration) {
        claims = Mutex(HostnameClaims(gatewayDomain: gatewayDomain, timeToLive: TimeAmount(timeToLive)))
    }

    package func apply(
        _ change: GatewaySession.RouteChange, from cluster: String, tunnel: String, allowed: AllowedHostnames
    ) throws -> HostnameClaims.Change {
        try claims.withLock { try $0.apply(change, from: cluster, tunnel: tunnel, allowed: allowed, now: .now()) }
    }

    package func restrict(_ cluster: String, tunnel: String, to allowed: AllowedHostnames) -> HostnameClaims.Change {
        claims.withLock { $0.restrict(cluster, tunnel: tunnel, to: allowed) }
    }

    package func ended(tunnel: String, of cluster: String) {
        claims.withLock { $0.ended(tunnel: tunnel, of: cluster) }
    }

    package func refresh(_ cluster: String) -> String {
        claims.withLock { $0.refresh(cluster, now: .now()) }
    }

    package func expire() -> (clusters: [String], change: HostnameClaims.Change) {
        claims.withLock { $0.expire(now: .now()) }
    }

    package func clusters() -> Set<String> { claims.withLock { Set($0.clusterNames) } }

    package func activeRouteCount(of cluster: String) -> Int {
        claims.withLock { $0.activeRouteCount(of: cluster) }
    }

    package func routes(_ query: RouteQuery) -> RoutePage {
        // Only what takes one look at each name holds up those who change them.
        let hosts = query.hosts(among: claims.withLock { $0.ownedNames })
        return claims.withLock { claims in query.page(of: hosts) { claims.entries(of: $0) } }
    }

    /// The names that are owned, each with its cluster, in no order.
    func ownedNames() -> [(host: Hostname, cluster: String)] { claims.withLock { $0.ownedNames } }

    package func hostNames() -> [Hostname] { claims.withLock { $0.ownedNames.map(\.host) } }
}
