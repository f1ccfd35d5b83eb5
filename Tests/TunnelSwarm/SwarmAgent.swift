import ClusterAgent
import Foundation
import KubernetesAPI
import Logging
import NIOCore
import Routing
import Settings
import TunnelProtocol
import TunnelTransport

/// An agent as `pipeops-agent` wires it, but for Kubernetes: it has one tunnel, and one route that leads nowhere.
struct SwarmAgent: Sendable {
    private let pool: TunnelPool
    private let syncer: RouteSyncer
    private let status = TunnelStatus()

    /// - Parameter cluster: a UUID.
    init(
        cluster: String, tokenFile: String, dialer: @escaping @Sendable () throws -> TunnelDialer,
        group: any EventLoopGroup
    ) throws {
        var logger = Logger(label: "agent")
        // That a crowd loses its tunnels, and is told to come again, is what is measured.
        logger.logLevel = .error
        logger[metadataKey: "cluster_uuid"] = "\(cluster)"
        let forwarding = ForwardingGuard(policy: TargetPolicy())
        let ledger = LiveRouteLedger(forwarding: forwarding)
        let service = ObjectKey(namespace: "default", name: "web")
        let route = Route(
            host: try Hostname("\(cluster).swarm.example.com"), path: "/", pathType: .prefix, service: service.name,
            namespace: service.namespace, port: 80)
        let target = ForwardTarget(endpoint: .address(ip: "192.0.2.1", port: 80), service: service)
        _ = ledger.replace(
            ingress: service, createdAt: Date(), with: [ExtractedRoute(route: route, target: target)])
        _ = ledger.setPublication(.published)
        ledger.setComplete()
        syncer = RouteSyncer(
            clusterUUID: cluster, ledger: ledger, isPrivate: { true }, onAffected: { _ in }, logger: logger)
        let tunnel = TunnelConfiguration(role: .agent)
        pool = TunnelPool(
            configuration: .init(
                tunnels: 1, dialer: dialer, tunnel: tunnel,
                hello: .init(
                    versions: [1], clusterUUID: cluster, agentID: UUID().uuidString.lowercased(),
                    agentVersion: ProgramVersion.current, maxStreams: tunnel.maxStreams),
                tokenFile: SecretFile(path: tokenFile, setting: "tokens"), backoff: .init(),
                shutdownGrace: .seconds(1)),
            upstream: UpstreamPools(group: group, settings: UpstreamSettings(), forwarding: forwarding),
            syncer: syncer, status: status, logger: logger)
    }

    /// Whether the gateway has welcomed it, and the tunnel is still there.
    var isConnected: Bool { status.isConnected }

    /// Runs until the task is cancelled.
    func run() async throws {
        try await withThrowingDiscardingTaskGroup { tasks in
            tasks.addTask { [syncer] in try await syncer.run() }
            tasks.addTask { [pool] in try await pool.run() }
        }
    }
}
