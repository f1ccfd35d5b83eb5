import Foundation
import HTTPExchange
import KubernetesAPI
import KubernetesRuntime
package import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Routing
import ServiceLifecycle
import Settings
package import Telemetry
import TunnelProtocol
import TunnelTransport
import UnixSignals

/// The agent's main path.
package enum ClusterAgentProgram {
    /// Runs until SIGTERM or SIGINT.
    ///
    /// Throws `SettingsError` where a setting turns out to be unusable.
    package static func run(settings: AgentSettings, logger: Logger, metrics: PrometheusRegistry) async throws {
        let client = try kubernetesClient(settings, logger)
        do {
            try await run(settings, client, logger, metrics)
        } catch {
            try? await client.shutdown()
            throw error
        }
        try await client.shutdown()
    }

    private static func run(
        _ settings: AgentSettings, _ client: KubernetesClient, _ logger: Logger, _ metrics: PrometheusRegistry
    ) async throws {
        let clusterUUID = try await clusterUUID(settings, client, logger)
        let events = EventRecorder(
            client: client, controller: "gateway.pipeops.io/pipeops-agent",
            instance: ProcessInfo.processInfo.hostName, logger: logger)
        let pipeline = RoutePipeline(
            client: client, settings: try pipelineSettings(settings, client, clusterUUID: clusterUUID), events: events,
            logger: logger)
        let tunnels = TunnelStatus()
        let connector = try connector(settings, pipeline, tunnels, clusterUUID: clusterUUID, logger)
        let operations = OperationsListener(
            host: settings.adminListen.host, port: settings.adminListen.port, metrics: metrics,
            readiness: {
                (pipeline.hasSynced ? [] : ["caches have not synced"])
                    + (tunnels.isConnected || settings.sync == .never ? [] : ["no tunnel is connected"])
            }, logger: logger)

        var services: [ServiceGroupConfiguration.ServiceConfiguration] = [
            .init(service: operations), .init(service: events),
        ]
        services += pipeline.services
        services.append(.init(service: connector))
        var configuration = ServiceGroupConfiguration(
            services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        // The drain itself ends within the grace time; this is for what hangs.
        configuration.maximumGracefulShutdownDuration = settings.shutdownGrace + .seconds(5)
        try await ServiceGroup(configuration: configuration).run()
        logger.info("Stopped pipeops-agent")
    }

    private static func connector(
        _ settings: AgentSettings, _ pipeline: RoutePipeline, _ tunnels: TunnelStatus, clusterUUID: String,
        _ logger: Logger
    ) throws -> GatewayConnector {
        let group = MultiThreadedEventLoopGroup.singleton
        let upstream = UpstreamPools(
            group: group,
            settings: UpstreamSettings(
                connectTimeout: TimeAmount(settings.connectTimeout),
                timeouts: .init(
                    response: TimeAmount(settings.responseTimeout), idle: TimeAmount(settings.idleTimeout))),
            forwarding: pipeline.forwarding)
        var flow = FlowLimits()
        flow.budget = settings.tunnelMemory
        return GatewayConnector(
            configuration: .init(
                dialer: TunnelDialer(
                    host: settings.gatewayURL.host, port: settings.gatewayURL.port, tls: try tls(settings),
                    group: group),
                tunnel: TunnelConfiguration(role: .agent, maxStreams: settings.maxStreams, flow: flow),
                hello: .init(
                    versions: [1], clusterUUID: clusterUUID, agentID: UUID().uuidString.lowercased(),
                    agentVersion: ProgramVersion.current, maxStreams: settings.maxStreams),
                tokenFile: settings.tokenFile,
                backoff: .init(
                    first: TimeAmount(settings.reconnectMin), longest: TimeAmount(settings.reconnectMax)),
                shutdownGrace: settings.shutdownGrace),
            upstream: upstream, syncer: pipeline.syncer, status: tunnels, logger: logger)
    }

    private static func tls(_ settings: AgentSettings) throws -> NIOSSLContext? {
        guard settings.gatewayURL.usesTLS else { return nil }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        if let file = settings.gatewayCAFile { configuration.trustRoots = .file(file) }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw SettingsError(
                setting: AgentSettings.Name.gatewayCAFile.rawValue, value: settings.gatewayCAFile,
                problem: "cannot be used: \(error)")
        }
    }

    private static func kubernetesClient(_ settings: AgentSettings, _ logger: Logger) throws -> KubernetesClient {
        do {
            let configuration = try KubernetesConfiguration.load(
                kubeconfig: settings.kubeconfig, context: settings.context,
                environment: ProcessInfo.processInfo.environment)
            return try KubernetesClient(
                configuration: configuration, logger: logger, userAgent: "pipeops-agent/\(ProgramVersion.current)")
        } catch let error as KubernetesConfigurationError {
            throw SettingsError(setting: AgentSettings.Name.kubeconfig.rawValue, problem: "\(error)")
        }
    }

    private static func pipelineSettings(
        _ settings: AgentSettings, _ client: KubernetesClient, clusterUUID: String
    ) throws -> RoutePipeline.Settings {
        let clusterHost: Hostname
        do {
            clusterHost = try Hostname("\(clusterUUID).\(settings.gatewayDomain)")
        } catch {
            throw SettingsError(setting: AgentSettings.Name.clusterUUID.rawValue, problem: error.description)
        }
        return RoutePipeline.Settings(
            clusterUUID: clusterUUID, syncMode: settings.sync,
            extraction: ExtractionSettings(clusterHost: clusterHost, clusterDomain: settings.clusterDomain.text),
            ingressController: settings.ingressController, loadBalancerGrace: settings.loadBalancerGrace,
            targetPolicy: TargetPolicy(
                allowLoopback: settings.allowLoopbackTargets, apiServer: client.serverAddress),
            // Milliseconds grow faster than routes change, so that a later run never goes back.
            firstRevision: Int64(Date().timeIntervalSince1970 * 1000))
    }

    /// The UID of the namespace `kube-system` stands for the cluster where no identity is set. Waits for an API server
    /// that is not there yet.
    private static func clusterUUID(
        _ settings: AgentSettings, _ client: KubernetesClient, _ logger: Logger
    ) async throws -> String {
        if let uuid = settings.clusterUUID { return uuid }
        while true {
            do {
                let namespace = try await client.get(Namespace.self, ObjectKey(name: "kube-system"))
                if let uid = namespace.metadata.uid { return uid }
                throw SettingsError(
                    setting: AgentSettings.Name.clusterUUID.rawValue,
                    problem: "is not set, and the namespace kube-system has no uid to take its place")
            } catch let error as KubernetesError {
                guard error.isRetryable else {
                    throw SettingsError(
                        setting: AgentSettings.Name.clusterUUID.rawValue,
                        problem: "is not set, and the namespace kube-system cannot be read in its place: \(error)")
                }
                logger.warning("Cluster identity not read yet", metadata: ["error": "\(error)"])
                try await Task.sleep(for: .seconds(2))
            }
        }
    }
}
