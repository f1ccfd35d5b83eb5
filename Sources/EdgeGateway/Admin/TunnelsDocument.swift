import NIOCore
import Telemetry
import TunnelTransport

/// `/-/tunnels`: the clusters that have a tunnel here, and their tunnels.
struct TunnelsDocument: Encodable, Hashable, Sendable {
    struct Cluster: Encodable, Hashable, Sendable {
        var clusterUUID: String
        /// Tunnels closed because their data path hung, since the gateway began.
        var canaryFailures: Int
        var rateLimit: String
        var tunnels: [Item]
    }

    struct Item: Encodable, Hashable, Sendable {
        var id: String
        /// The agent's process, and which of its tunnels this is.
        var agent: String
        var agentVersion: String
        var number: Int
        var remoteAddress: String
        var ageSeconds: Double
        /// Absent before the first answer to a ping.
        var roundTripMs: Double?
        var streams: Int
        var streamsLimit: Int
        var streamsTotal: Int
        var receivedBytes: Int
        var sentBytes: Int
        var stalls: Int
        var stalledSeconds: Double
        /// It takes no more streams; those under way go on.
        var draining: Bool

        init(_ tunnel: OpenTunnel, now: NIODeadline) {
            let counts = tunnel.vitals.latest
            id = tunnel.id
            agent = tunnel.agentID
            agentVersion = tunnel.agentVersion
            number = tunnel.number
            remoteAddress = tunnel.address
            ageSeconds = Double((now - tunnel.since).nanoseconds / 1_000_000) / 1e3
            roundTripMs = counts.roundTrip.map { Double($0.nanoseconds / 1000) / 1e3 }
            streams = tunnel.vitals.openStreams
            streamsLimit = tunnel.vitals.maxStreams
            streamsTotal = counts.streamsOpened
            receivedBytes = counts.bytesIn
            sentBytes = counts.bytesOut
            stalls = counts.stalls
            stalledSeconds = Double(counts.stalledTime.nanoseconds / 1_000_000) / 1e3
            draining = !tunnel.vitals.takesStreams
        }
    }

    var instance: String
    var clusters: [Cluster]

    init(_ query: OperationsQuery, tunnels: TunnelRegistry, instance: String, now: NIODeadline = .now()) throws {
        try AdminProblem.check(query, allows: ["cluster"])
        self.instance = instance
        let open = tunnels.open.all.filter { query["cluster"] == nil || $0.cluster == query["cluster"] }
        clusters = Dictionary(grouping: open, by: \.cluster).sorted { $0.key < $1.key }.map { cluster, all in
            Cluster(
                clusterUUID: cluster, canaryFailures: tunnels.open.canaryFailures(of: cluster),
                rateLimit: "\(tunnels.limit(of: cluster))", tunnels: all.map { Item($0, now: now) })
        }
    }
}
