import ArgumentParser
import ClusterAgent
import Foundation
import Logging
import ProgramShell
import Settings
import Telemetry

@main
struct AgentCommand: SettingsCommand {
    static let name = "pipeops-agent"
    static let environmentPrefix = AgentSettings.environmentPrefix

    static let configuration = CommandConfiguration(
        commandName: name,
        abstract: "Makes the applications of a private Kubernetes cluster reachable through a PipeOps gateway.",
        discussion: """
            Watches the cluster's Ingresses, tells the gateway which hosts and paths they serve, and carries the \
            gateway's requests to them through a tunnel that the agent itself dials. Nothing in the cluster is opened \
            to the outside.

            \(settingsHelp)
            """,
        version: ProgramVersion.current)

    @OptionGroup(title: "Gateway") var gateway: GatewayOptions
    @OptionGroup(title: "Cluster") var cluster: ClusterOptions
    @OptionGroup(title: "Ingresses") var ingresses: IngressOptions
    @OptionGroup(title: "Replicas") var leaderElection: LeaderElectionOptions
    @OptionGroup(title: "Times and limits") var limits: LimitOptions
    @OptionGroup(title: "Operation") var operation: OperationOptions

    // By name: `@main` would take ArgumentParser's own, whose exit code for wrong input is another.
    static func main() async { await start() }

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        let settings = try AgentSettings(
            reader(), podNamespace: AgentSettings.podNamespace(environment: environment), environment: environment)
        try await serve(format: settings.logFormat, level: settings.logLevel) { logger, metrics in
            logger.info(
                "Starting pipeops-agent",
                metadata: [
                    "version": "\(ProgramVersion.current)", "gateway_url": "\(settings.gatewayURL)",
                    "sync": "\(settings.sync)", "tunnels": .stringConvertible(settings.tunnels),
                    "proxy": "\(settings.gatewayProxy.map(\.description) ?? "none")",
                ])
            try await ClusterAgentProgram.run(settings: settings, logger: logger, metrics: metrics)
        }
    }
}
