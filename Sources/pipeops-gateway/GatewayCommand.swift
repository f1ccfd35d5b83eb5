import ArgumentParser
import EdgeGateway
import Foundation
import Logging
import Settings
import Telemetry

@main
struct GatewayCommand: AsyncParsableCommand {
    private static let name = "pipeops-gateway"

    static let configuration = CommandConfiguration(
        commandName: name,
        abstract: "The public front door to applications in private Kubernetes clusters.",
        discussion: """
            Accepts the tunnels that agents dial, learns from them which hosts and paths their clusters serve, and \
            carries each request through the tunnel of the cluster that owns its route.

            Each setting can be given as a flag, as the environment variable in brackets, or under the flag's name in \
            the file that --config names; a flag counts before the environment, the environment before the file. \
            Durations are written as 500ms, 30s, 2m or 1h, sizes as 512KiB, 64MiB or 1GiB.
            """,
        version: ProgramVersion.current)

    @OptionGroup(title: "Front door") var front: FrontOptions
    @OptionGroup(title: "Agents") var agents: AgentOptions
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
        let reader = try SettingsReader<GatewaySettings.Name>(
            flags: flags, environment: ProcessInfo.processInfo.environment, prefix: GatewaySettings.environmentPrefix)
        let settings = try GatewaySettings(reader)
        do {
            // Read again by the program; read here so that a mistake in it is told before anything starts.
            _ = try ClusterDirectory(path: settings.clustersFile)
        } catch let error as ClusterDirectoryError {
            throw reader.refusal(of: .clustersFile, problem: error.problem)
        }

        LoggingSystem.bootstrap(format: settings.logFormat, level: settings.logLevel)
        let logger = Logger(label: Self.name)
        let metrics = PrometheusRegistry()
        metrics.bootstrap()
        logger.info(
            "Starting pipeops-gateway",
            metadata: ["version": "\(ProgramVersion.current)", "instance": "\(settings.instanceID)"])
        if settings.agentSecurity == .plaintext {
            logger.warning("Agents connect without encryption", metadata: ["address": "\(settings.agentListen)"])
        }
        do {
            try await EdgeGatewayProgram.run(settings: settings, logger: logger, metrics: metrics)
        } catch let error as SettingsError {
            throw error
        } catch {
            logger.critical("Stopped by an error", metadata: ["error": "\(error)"])
            throw ExitCode.failure
        }
    }
}
