package import NIOCore
package import Routing
package import TunnelProtocol

/// What all clusters advertise and who owns which host name: the registry's truth, without storage or network.
///
/// Ownership (ruling 12): a name below `<cluster-uuid>.<gateway domain>` belongs to that cluster alone; any other name
/// belongs to the first cluster that claims it, until it has no route on it any more or has not been heard of for the
/// time to live. A cluster that comes second changes nothing, is told so, and is named in `Change.contenders` once the
/// name is free.
package struct HostnameClaims {
    /// One route and the cluster that serves it.
    package struct Entry: Hashable, Sendable {
        package var cluster: String
        package var route: Route

        package init(cluster: String, route: Route) {
            self.cluster = cluster
            self.route = route
        }
    }

    /// What a change did.
    package struct Change: Hashable, Sendable {
        /// Its place among all changes, from 1: of two that concern a host, the later one holds.
        package var sequence: UInt64
        package var accepted = 0
        package var rejected: [ControlMessage.IngressRoutesAck.Rejection] = []
        /// The routes that now serve each host that changed; empty where the host is not served any more.
        package var hosts: [Hostname: [Entry]] = [:]
        /// Clusters whose claim on a name just became possible: they should send their routes again.
        package var contenders: Set<String> = []
    }

    private struct Cluster {
        /// Everything it advertises, refused routes included: the digest covers them too.
        var advertised: [RouteKey: Route] = [:]
        var digest = RouteDigest()
        /// Of all it advertises, as `AdvertisedRoute.size` counts.
        var bytes = 0
        var lastSeen: NIODeadline
        /// The tunnel on which the set was replaced last. Deltas of other tunnels are differences from another set.
        var publisher: String?
    }

    /// A delta of a tunnel that did not send the set it changes. Nothing was changed.
    package struct NotPublisher: Error {}

    private var lastSequence: UInt64 = 0
    private let gatewayDomain: Hostname
    private let timeToLive: TimeAmount
    private let maxRouteBytes: Int
    private var clusters: [String: Cluster] = [:]
    private var owners: [Hostname: String] = [:]
    /// Clusters that advertise a name, owner included.
    private var claimants: [Hostname: Set<String>] = [:]
    /// Keys per cluster and host, so that a host's document costs only its own routes.
    private var keys: [String: [Hostname: Set<RouteKey>]] = [:]

    /// - Parameter maxRouteBytes: what one cluster may advertise, as `AdvertisedRoute.size` counts.
    package init(
        gatewayDomain: Hostname, timeToLive: TimeAmount, maxRouteBytes: Int = GatewaySession.maxRouteBytes
    ) {
        self.maxRouteBytes = maxRouteBytes
        self.gatewayDomain = gatewayDomain
        self.timeToLive = timeToLive
    }

    /// The clusters that have routes, served or not.
    package var clusterNames: some Collection<String> { clusters.keys }

    /// Routes that are served now, per cluster.
    package func activeRouteCount(of cluster: String) -> Int {
        (keys[cluster] ?? [:]).reduce(0) { owners[$1.key] == cluster ? $0 + $1.value.count : $0 }
    }

    /// Takes one `ingress_routes` message in that came through a tunnel.
    ///
    /// An agent has several replicas, one of which leads and publishes. A new leader begins with `sync`; what the old one
    /// still sends after it is refused. As long as a cluster has sent no `sync`, every tunnel may add routes.
    ///
    /// - Parameter allowed: the names that what let the tunnel in allows beside the cluster's own.
    package mutating func apply(
        _ change: GatewaySession.RouteChange, from cluster: String, tunnel: String,
        allowed: AllowedHostnames = .all, now: NIODeadline
    ) throws(NotPublisher) -> Change {
        var result = nextChange()
        var touched: Set<Hostname> = []
        clusters[cluster, default: Cluster(lastSeen: now)].lastSeen = now
        if change.kind == .replaceAll {
            clusters[cluster]?.publisher = tunnel
        } else if let publisher = clusters[cluster]?.publisher, publisher != tunnel {
            throw NotPublisher()
        }
        switch change.kind {
        case .delete:
            for route in change.routes { remove(route.key, of: cluster, &touched) }
            result.accepted = change.routes.count
        case .replaceAll:
            let wanted = Set(change.routes.map(\.key))
            for key in advertisedKeys(of: cluster) where !wanted.contains(key) {
                remove(key, of: cluster, &touched)
            }
            for route in change.routes { put(route, of: cluster, allowed, &result, &touched) }
        case .put:
            for route in change.routes { put(route, of: cluster, allowed, &result, &touched) }
        }
        settle(touched, &result)
        return result
    }

    /// Fewer names than before are allowed to the tunnel: if the cluster's routes came through it, those on other names
    /// are not served from here on, whatever the agent does.
    package mutating func restrict(_ cluster: String, tunnel: String, to allowed: AllowedHostnames) -> Change {
        var result = nextChange()
        if let publisher = clusters[cluster]?.publisher, publisher != tunnel { return result }
        for host in Array((keys[cluster] ?? [:]).keys) where !allowed.allows(host) && !isOwn(host, of: cluster) {
            withdraw(host, from: cluster, &result)
        }
        return result
    }

    /// A tunnel is gone: who comes after it may be the same agent.
    package mutating func ended(tunnel: String, of cluster: String) {
        if clusters[cluster]?.publisher == tunnel { clusters[cluster]?.publisher = nil }
    }

    /// The cluster is alive. Returns the digest of what it advertises here.
    package mutating func refresh(_ cluster: String, now: NIODeadline) -> String {
        clusters[cluster]?.lastSeen = now
        return (clusters[cluster]?.digest ?? RouteDigest()).description
    }

    /// Drops clusters that have not been heard of for the time to live.
    package mutating func expire(now: NIODeadline) -> (clusters: [String], change: Change) {
        var result = nextChange()
        var touched: Set<Hostname> = []
        let gone = clusters.filter { now - $0.value.lastSeen >= timeToLive }.map(\.key).sorted()
        for cluster in gone {
            for key in advertisedKeys(of: cluster) { remove(key, of: cluster, &touched) }
            clusters[cluster] = nil
        }
        settle(touched, &result)
        return (gone, result)
    }

    /// The names that are served, each with its owner.
    var ownedNames: [(host: Hostname, cluster: String)] { owners.map { (host: $0.key, cluster: $0.value) } }

    /// The routes that serve a host, in their order; none where it is not served.
    func entries(of host: Hostname) -> [Entry] {
        guard let owner = owners[host] else { return [] }
        let routes = (keys[owner]?[host] ?? []).compactMap { clusters[owner]?.advertised[$0] }
        return routes.sorted(by: Route.inOrder).map { Entry(cluster: owner, route: $0) }
    }

    private mutating func nextChange() -> Change {
        lastSequence += 1
        return Change(sequence: lastSequence)
    }

    private func advertisedKeys(of cluster: String) -> [RouteKey] {
        clusters[cluster].map { Array($0.advertised.keys) } ?? []
    }

    private mutating func put(
        _ route: Route, of cluster: String, _ allowed: AllowedHostnames, _ result: inout Change,
        _ touched: inout Set<Hostname>
    ) {
        let host = route.host
        if let refusal = quotaRefusal(of: route, to: cluster) {
            result.rejected.append(.init(route, refusal))
            return
        }
        let previous = clusters[cluster]?.advertised.updateValue(route, forKey: route.key)
        if let previous {
            clusters[cluster]?.digest.remove(previous)
            clusters[cluster]?.bytes -= AdvertisedRoute(previous).size
        }
        clusters[cluster]?.digest.insert(route)
        clusters[cluster]?.bytes += AdvertisedRoute(route).size
        keys[cluster, default: [:]][host, default: []].insert(route.key)
        guard allowed.allows(host) || isOwn(host, of: cluster) else {
            withdraw(host, from: cluster, &result)
            result.rejected.append(
                .init(
                    route,
                    RouteRefusal(
                        reason: "HostnameNotAllowed",
                        message: "\(host) is not among the host names allowed to this cluster")))
            return
        }
        claimants[host, default: []].insert(cluster)

        if let refusal = refusal(of: host, to: cluster) {
            result.rejected.append(.init(route, refusal))
            return
        }
        owners[host] = cluster
        result.accepted += 1
        touched.insert(host)
    }

    /// Why the cluster may not have this route beside those it has, or in place of one of them.
    private func quotaRefusal(of route: Route, to cluster: String) -> RouteRefusal? {
        let known = clusters[cluster]
        let previous = known?.advertised[route.key]
        guard previous != nil || (known?.advertised.count ?? 0) < GatewaySession.maxRoutes else {
            return RouteRefusal(
                reason: "QuotaExceeded",
                message: "the cluster has \(GatewaySession.maxRoutes) routes, and may not have more")
        }
        let others = (known?.bytes ?? 0) - (previous.map { AdvertisedRoute($0).size } ?? 0)
        guard others + AdvertisedRoute(route).size <= maxRouteBytes else {
            return RouteRefusal(
                reason: "QuotaExceeded",
                message: "the cluster's routes have \(others) bytes, and may not have more than \(maxRouteBytes)")
        }
        return nil
    }

    private mutating func remove(_ key: RouteKey, of cluster: String, _ touched: inout Set<Hostname>) {
        guard let route = clusters[cluster]?.advertised.removeValue(forKey: key) else { return }
        clusters[cluster]?.digest.remove(route)
        clusters[cluster]?.bytes -= AdvertisedRoute(route).size
        keys[cluster]?[key.host]?.remove(key)
        if keys[cluster]?[key.host]?.isEmpty == true {
            keys[cluster]?[key.host] = nil
            claimants[key.host]?.remove(cluster)
            if claimants[key.host]?.isEmpty == true { claimants[key.host] = nil }
        }
        if owners[key.host] == cluster { touched.insert(key.host) }
    }

    /// The cluster may not serve the name, or not any more.
    private mutating func withdraw(_ host: Hostname, from cluster: String, _ result: inout Change) {
        claimants[host]?.remove(cluster)
        if claimants[host]?.isEmpty == true { claimants[host] = nil }
        guard owners[host] == cluster else { return }
        owners[host] = nil
        result.hosts[host] = []
        result.contenders.formUnion(claimants[host] ?? [])
    }

    /// Releases names without routes and builds the documents of the hosts that changed.
    private mutating func settle(_ touched: Set<Hostname>, _ result: inout Change) {
        for host in touched {
            guard owners[host] != nil else { continue }
            let entries = entries(of: host)
            result.hosts[host] = entries
            if entries.isEmpty {
                owners[host] = nil
                result.contenders.formUnion(claimants[host] ?? [])
            }
        }
    }

    /// Whether the name is `<cluster>.<gateway domain>` or below it.
    private func isOwn(_ host: Hostname, of cluster: String) -> Bool {
        let own = "\(cluster).\(gatewayDomain)"
        return host.text == own || host.text.hasSuffix("." + own)
    }

    private func refusal(of host: Hostname, to cluster: String) -> RouteRefusal? {
        if host == gatewayDomain || host.text.hasSuffix("." + gatewayDomain.text) {
            guard isOwn(host, of: cluster) else {
                return RouteRefusal(
                    reason: "HostnameConflict",
                    message: "names under \(gatewayDomain) belong to the cluster they are named after")
            }
            return nil
        }
        if host.isWildcard, gatewayDomain.text.drop(while: { $0 != "." }) == host.text.dropFirst() {
            return RouteRefusal(
                reason: "HostnameConflict", message: "\(host) covers \(gatewayDomain), which is the gateway's own")
        }
        guard let owner = owners[host], owner != cluster else { return nil }
        return RouteRefusal(reason: "HostnameConflict", message: "\(host) is claimed by another cluster")
    }
}
