import KubernetesAPI
package import Logging
import ServiceLifecycle
import Settings
package import Telemetry
import UnixSignals

/// The agent's main path.
package enum ClusterAgentProgram {
    /// Runs until SIGTERM or SIGINT.
    ///
    /// Throws `SettingsError` where a setting turns out to be unusable.
    package static func run(settings: AgentSettings, logger: Logger, metrics: PrometheusRegistry) async throws {
        let client = try kubernetesClient(settings, logger)
        try await client.shutdown { try await run(settings, client, logger, metrics) }
    }

    private static func run(
        _ settings: AgentSettings, _ client: KubernetesClient, _ logger: Logger, _ metrics: PrometheusRegistry
    ) async throws {
        let readiness = AgentReadiness(needsTunnel: settings.sync != .never)
        let operations = OperationsListener(
            host: settings.adminListen.host, port: settings.adminListen.port, metrics: metrics,
            readiness: { readiness.reasons }, logger: logger)
        // The listener first: probes are answered while the core still waits for the API server.
        var configuration = ServiceGroupConfiguration(
            services: [
                .init(service: operations),
                .init(service: AgentCore(settings: settings, client: client, readiness: readiness, logger: logger)),
            ],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        // The drain itself ends within the grace time; this is for what hangs.
        configuration.maximumGracefulShutdownDuration = settings.shutdownGrace + .seconds(5)
        try await ServiceGroup(configuration: configuration).run()
        logger.info("Stopped pipeops-agent")
    }

    private static func kubernetesClient(_ settings: AgentSettings, _ logger: Logger) throws -> KubernetesClient {
        do {
            return try KubernetesClient(
                kubeconfig: settings.kubeconfig, context: settings.context, logger: logger,
                userAgent: "pipeops-agent/\(ProgramVersion.current)")
        } catch let error as KubernetesConfigurationError {
            throw SettingsError(setting: AgentSettings.Name.kubeconfig.rawValue, problem: "\(error)")
        }
    }
}
