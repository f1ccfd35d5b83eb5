import Foundation
import HTTPExchange
import KubernetesAPI
import KubernetesRuntime
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Routing
import ServiceLifecycle
import Settings
import TunnelProtocol
import TunnelTransport

/// What the agent is for: learns which cluster it is in, then keeps its routes and its tunnels.
struct AgentCore: ServiceLifecycle.Service {
    let settings: AgentSettings
    let client: KubernetesClient
    let readiness: AgentReadiness
    let logger: Logger

    func run() async throws {
        let identity = ClusterIdentity(client: client, logger: logger)
        guard
            let clusterUUID = try await cancelWhenGracefulShutdown({
                if let uuid = settings.clusterUUID { return uuid }
                return try await identity.read()
            })
        else { return }
        // Without an answer this would outlast the grace time.
        await cancelWhenGracefulShutdown { await reportMissingDefinition() }
        let events = EventRecorder(
            client: client, controller: "gateway.pipeops.io/pipeops-agent",
            instance: LocalHost.name ?? "pipeops-agent", logger: logger)
        let pipeline = RoutePipeline(
            client: client, settings: try pipelineSettings(clusterUUID: clusterUUID), events: events,
            elector: elector(), logger: logger)
        let tunnels = TunnelStatus()
        let authorities = BackendAuthorities(client: client, logger: logger)
        let pool = try pool(for: pipeline, clusterUUID: clusterUUID, tunnels: tunnels, authorities: authorities)
        readiness.follow(pipeline) { tunnels.isConnected }

        let services =
            [.init(service: events), .init(service: authorities)] + pipeline.services
            + [.init(service: Work(tunnels: pool, controller: pipeline.controller))]
        try await ServiceGroup(configuration: .init(services: services, logger: logger)).run()
    }

    private func elector() -> LeaderElector? {
        settings.leaderElection.map { election in
            LeaderElector(
                client: client, lease: election.lease,
                // As client-go's controllers name themselves: the Pod for people, the rest for restarts of it.
                identity: "\(LocalHost.name ?? "pipeops-agent")_\(UUID().uuidString.lowercased())",
                settings: .init(
                    leaseDuration: election.leaseDuration, renewDeadline: election.renewDeadline,
                    retryPeriod: election.retryPeriod),
                // A second of the grace time is for what comes after that.
                releaseTimeout: max(settings.shutdownGrace - .seconds(1), .seconds(1)), logger: logger)
        }
    }

    private func pool(
        for pipeline: RoutePipeline, clusterUUID: String, tunnels: TunnelStatus, authorities: BackendAuthorities
    ) throws -> TunnelPool {
        let group = MultiThreadedEventLoopGroup.singleton
        let upstream = UpstreamPools(
            group: group,
            settings: UpstreamSettings(
                connectTimeout: TimeAmount(settings.connectTimeout),
                timeouts: .init(
                    response: TimeAmount(settings.responseTimeout), idle: TimeAmount(settings.idleTimeout))),
            forwarding: pipeline.forwarding,
            contexts: BackendTLSContexts(
                authorityFile: settings.backendCAFile, secrets: { authorities.certificates(of: $0, on: $1) }))
        // The setting is for the agent as a whole.
        let flow = FlowLimits(memory: max(settings.tunnelMemory / settings.tunnels, 1 << 20))
        return TunnelPool(
            configuration: .init(
                tunnels: settings.tunnels, dialer: try dialer(group),
                tunnel: TunnelConfiguration(role: .agent, maxStreams: settings.maxStreams, flow: flow),
                hello: .init(
                    versions: [1], clusterUUID: clusterUUID, agentID: UUID().uuidString.lowercased(),
                    agentVersion: ProgramVersion.current, maxStreams: settings.maxStreams),
                tokenFile: settings.tokenFile,
                backoff: .init(
                    first: TimeAmount(settings.reconnectMin), longest: TimeAmount(settings.reconnectMax)),
                shutdownGrace: settings.shutdownGrace),
            upstream: upstream, waitFor: pipeline.controller, syncer: pipeline.syncer, status: tunnels, logger: logger)
    }

    /// Makes dialers, each with the certificates that the files hold at that moment.
    private func dialer(_ group: any EventLoopGroup) throws -> @Sendable () throws -> TunnelDialer {
        let url = settings.gatewayURL
        let serverName = settings.gatewayServerName
        let tls =
            url.usesTLS
            ? try GatewayTLS(authorityFile: settings.gatewayCAFile, client: settings.gatewayClientCertificate) : nil
        let proxy = try settings.gatewayProxy.map { proxy in
            TunnelProxy(
                host: proxy.host, port: proxy.port,
                tls: proxy.usesTLS ? try NIOSSLContext(configuration: .makeClientConfiguration()) : nil,
                authorization: proxy.authorization?.reveal())
        }
        return {
            TunnelDialer(
                host: url.host, port: url.port, tls: try tls?.context(), serverName: serverName, proxy: proxy,
                group: group)
        }
    }

    private func pipelineSettings(clusterUUID: String) throws -> RoutePipeline.Settings {
        let clusterHost: Hostname
        do {
            clusterHost = try Hostname("\(clusterUUID).\(settings.gatewayDomain)")
        } catch {
            throw SettingsError(setting: AgentSettings.Name.clusterUUID.rawValue, problem: error.description)
        }
        var pipeline = RoutePipeline.Settings(
            clusterUUID: clusterUUID, syncMode: settings.sync,
            extraction: ExtractionSettings(clusterHost: clusterHost, clusterDomain: settings.clusterDomain.text),
            ingressController: settings.ingressController, loadBalancerGrace: settings.loadBalancerGrace,
            targetPolicy: TargetPolicy(
                allowLoopback: settings.allowLoopbackTargets, apiServer: client.serverAddress),
            selection: IngressSelection(
                classes: settings.ingressClasses, selector: settings.ingressSelector, namespaces: settings.namespaces),
            updateIngressStatus: settings.updateIngressStatus, offlinePages: settings.offlinePages)
        pipeline.ingressControllerProtocol = settings.ingressControllerProtocol
        return pipeline
    }

    /// Without the custom resource the caches wait, silently but for a "not found" at each attempt.
    private func reportMissingDefinition() async {
        do {
            _ = try await client.list(GatewayRoute.self, options: ListOptions(limit: 1))
        } catch let error as KubernetesError where error.kind == .notFound {
            logger.error(
                """
                GatewayRoute is not a resource of this cluster: install it with kubectl apply -k crds; the agent waits \
                for it
                """)
        } catch {
            // The caches will say so.
        }
    }
}

/// Tunnels and controller as one service: told to end, both must hear of it at once. Services of their own would be shut
/// down one after the other, and with an API server that gives no answer the tunnels would drain only when the lease has
/// been given up for, and the agent would outlast its grace time.
private struct Work: ServiceLifecycle.Service {
    let tunnels: TunnelPool
    let controller: any ServiceLifecycle.Service

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await tunnels.run() }
            group.addTask { try await controller.run() }
            for try await _ in group {}
        }
    }
}
