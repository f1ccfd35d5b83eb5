package import HTTPExchange
import Metrics
package import NIOCore
import Synchronization
package import Telemetry
package import TunnelTransport

/// A tunnel that is ready for streams.
package struct ConnectedTunnel: Sendable {
    package var id: String
    package var tunnel: Tunnel
    /// The agent's process, as its hello names it.
    package var agentID: String
    /// Which of the agent's tunnels this is, as its hello says.
    package var number: Int

    package init(id: String, tunnel: Tunnel, agentID: String, number: Int = 0) {
        self.id = id
        self.tunnel = tunnel
        self.agentID = agentID
        self.number = number
    }

    /// Whether this is the same tunnel of the same agent, dialled anew.
    func takesThePlace(of older: ConnectedTunnel) -> Bool { agentID == older.agentID && number == older.number }
}

/// The tunnels of this instance by cluster, read synchronously by the data path.
package final class TunnelRegistry: Sendable {
    private struct Cluster {
        /// At least one.
        var tunnels: [ConnectedTunnel]
        /// `nil` where its requests are not limited.
        var bucket: TokenBucket?
    }

    /// A cluster without tunnels.
    private struct Gone {
        /// When the last one went.
        var since: LogTimestamp
        /// So that a cluster does not get a full one by dialling anew.
        var bucket: TokenBucket?
    }

    private struct State {
        var clusters: [String: Cluster] = [:]
        var gone = RecentlyGone<Gone>(least: TunnelRegistry.leastGone)
        var limits = RateLimits()
        /// Moves on with every choice, so that equal tunnels share the load.
        var turn = 0
    }

    /// How many clusters without a tunnel are remembered, at least.
    private static let leastGone = 5000

    private let state = Mutex(State())
    /// Those that are not in the rotation, too.
    package let open = OpenTunnels()

    package init() {}

    /// What `choose` found.
    package enum Chosen {
        /// A stream is expected on it from now on.
        case tunnel(ConnectedTunnel)
        /// There are tunnels, and each has as many streams as it may.
        case full
        /// The cluster has had as many requests as it may.
        case limited(ExceededQuota)
        case none
    }

    /// The tunnel of the cluster that is to carry the next request of a connection on the given event loop, as
    /// `TunnelChoice` decides; of equally busy ones each in its turn.
    ///
    /// - Parameters:
    ///   - avoiding: a tunnel that has just refused, or failed; then the request counts no second time.
    ///   - now: when the request came.
    package func choose(
        for cluster: String, on loop: any EventLoop, avoiding: String? = nil, now: NIODeadline = .now()
    ) -> Chosen {
        state.withLock { state in
            guard let place = state.clusters.index(forKey: cluster) else { return .none }
            if avoiding == nil, let wait = state.clusters.values[place].bucket?.take(now: now),
                let bucket = state.clusters.values[place].bucket
            {
                return .limited(bucket.quota(of: "cluster", after: wait))
            }
            let all = state.clusters.values[place].tunnels
            state.turn &+= 1
            let start = Int(UInt(bitPattern: state.turn) % UInt(all.count))
            var choice = TunnelChoice()
            for offset in 0..<all.count {
                let index = (start + offset) % all.count
                guard all[index].id != avoiding else { continue }
                let tunnel = all[index].tunnel
                let vitals = tunnel.vitals
                choice.consider(
                    index,
                    .init(
                        openStreams: vitals.openStreams, maxStreams: vitals.maxStreams,
                        takesStreams: vitals.takesStreams, isNear: tunnel.eventLoop === loop))
            }
            guard let chosen = choice.chosen else { return choice.sawFull ? .full : .none }
            // Counted at once: the tunnel may live on another event loop, and others choose meanwhile.
            all[chosen].tunnel.vitals.expectStream()
            return .tunnel(all[chosen])
        }
    }

    /// How `choose` sees the cluster's tunnels now, seen from none of their event loops; takes nothing, counts nothing.
    func candidates(for cluster: String) -> [(id: String, candidate: TunnelChoice.Candidate)] {
        state.withLock { state in
            (state.clusters[cluster]?.tunnels ?? []).map { connected in
                let vitals = connected.tunnel.vitals
                return (
                    connected.id,
                    .init(
                        openStreams: vitals.openStreams, maxStreams: vitals.maxStreams,
                        takesStreams: vitals.takesStreams, isNear: false)
                )
            }
        }
    }

    /// How many requests the cluster may have.
    func limit(of cluster: String) -> RateLimit { state.withLock { $0.limits[cluster] } }

    /// Any tunnel of the cluster.
    package func first(of cluster: String) -> ConnectedTunnel? {
        state.withLock { $0.clusters[cluster]?.tunnels.first }
    }

    /// Puts a tunnel into the rotation, in place of an older one of the same agent and number: an agent dials that
    /// number anew only when it has lost its tunnel, which may look alive from here for a while, or gives it up.
    ///
    /// - Returns: the tunnels that left the rotation.
    @discardableResult
    package func add(_ tunnel: ConnectedTunnel, of cluster: String) -> [ConnectedTunnel] {
        state.withLock { state in
            var all = state.clusters[cluster]?.tunnels ?? []
            let superseded = all.filter { tunnel.takesThePlace(of: $0) }
            all.removeAll { tunnel.takesThePlace(of: $0) }
            all.append(tunnel)
            if state.clusters[cluster] == nil {
                let bucket = TokenBucket(
                    state.limits[cluster], following: state.gone.take(cluster)?.bucket, now: .now())
                state.clusters[cluster] = Cluster(tunnels: all, bucket: bucket)
            } else {
                state.clusters[cluster]?.tunnels = all
            }
            report(cluster, all.count)
            return superseded
        }
    }

    /// How many requests the clusters may have from here on; what they have had counts on.
    package func limit(by limits: RateLimits, now: NIODeadline = .now()) {
        state.withLock { state in
            guard state.limits != limits else { return }
            state.limits = limits
            for (cluster, known) in state.clusters {
                state.clusters[cluster]?.bucket = TokenBucket(limits[cluster], following: known.bucket, now: now)
            }
        }
    }

    /// Takes a tunnel out of the rotation; one that is not there is ignored.
    ///
    /// - Parameter now: the wall clock's time, since when the cluster counts as offline if that was its last tunnel.
    package func remove(_ id: String, of cluster: String, now: LogTimestamp = .now()) {
        state.withLock { state in
            guard state.clusters[cluster]?.tunnels.contains(where: { $0.id == id }) == true else { return }
            state.clusters[cluster]?.tunnels.removeAll { $0.id == id }
            let left = state.clusters[cluster]?.tunnels.count ?? 0
            if left == 0 {
                let bucket = state.clusters.removeValue(forKey: cluster)?.bucket
                state.gone.remember(Gone(since: now, bucket: bucket), of: cluster)
            }
            report(cluster, left)
        }
    }

    /// When the last tunnel of a cluster went that has none now; `nil` for one that has some, or was never here, or so
    /// long ago that it is forgotten.
    package func offlineSince(_ cluster: String) -> LogTimestamp? { state.withLock { $0.gone[cluster]?.since } }

    package func count(of cluster: String) -> Int { state.withLock { $0.clusters[cluster]?.tunnels.count ?? 0 } }

    /// Those that have a tunnel.
    package var clusters: Set<String> { state.withLock { Set($0.clusters.keys) } }

    package var all: [ConnectedTunnel] { state.withLock { $0.clusters.values.flatMap(\.tunnels) } }

    /// Under the lock, so that of two changes the later one is told last.
    private func report(_ cluster: String, _ count: Int) {
        Gauge(label: "gateway_tunnel_health", dimensions: [("cluster_uuid", cluster)]).record(count > 0 ? 1 : 0)
    }
}
