import ArgumentParser
import ClusterAgent
import Foundation
import Logging
import Settings
import Telemetry

@main
struct AgentCommand: AsyncParsableCommand {
    private static let name = "pipeops-agent"

    static let configuration = CommandConfiguration(
        commandName: name,
        abstract: "Makes the applications of a private Kubernetes cluster reachable through a PipeOps gateway.",
        discussion: """
            Watches the cluster's Ingresses, tells the gateway which hosts and paths they serve, and carries the \
            gateway's requests to them through a tunnel that the agent itself dials. Nothing in the cluster is opened \
            to the outside.

            Each setting can be given as a flag, as the environment variable in brackets, or under the flag's name in \
            the file that --config names; a flag counts before the environment, the environment before the file. \
            Durations are written as 500ms, 30s, 2m or 1h, sizes as 512KiB, 64MiB or 1GiB.
            """,
        version: ProgramVersion.current)

    @OptionGroup(title: "Gateway") var gateway: GatewayOptions
    @OptionGroup(title: "Cluster") var cluster: ClusterOptions
    @OptionGroup(title: "Times and limits") var limits: LimitOptions
    @OptionGroup(title: "Operation") var operation: OperationOptions

    static func main() async {
        do {
            let command = try parse()
            try await command.run()
        } catch let error as SettingsError {
            ProgramExit.fail(program: name, error.description, code: SettingsError.exitCode)
        } catch  where exitCode(for: error) == .validationFailure {
            ProgramExit.fail(program: name, message(for: error), code: SettingsError.exitCode)
        } catch {
            // --help and --version too arrive here.
            exit(withError: error)
        }
    }

    func run() async throws {
        let reader = try SettingsReader<AgentSettings.Name>(
            flags: flags, environment: ProcessInfo.processInfo.environment, prefix: AgentSettings.environmentPrefix)
        let settings = try AgentSettings(reader)

        LoggingSystem.bootstrap(format: settings.logFormat, level: settings.logLevel)
        let logger = Logger(label: Self.name)
        let metrics = PrometheusRegistry()
        metrics.bootstrap()
        logger.info(
            "Starting pipeops-agent",
            metadata: [
                "version": "\(ProgramVersion.current)", "gateway_url": "\(settings.gatewayURL)",
                "sync": "\(settings.sync)",
            ])
        do {
            try await ClusterAgentProgram.run(settings: settings, logger: logger, metrics: metrics)
        } catch let error as SettingsError {
            throw error
        } catch {
            logger.critical("Stopped by an error", metadata: ["error": "\(error)"])
            throw ExitCode.failure
        }
    }
}
