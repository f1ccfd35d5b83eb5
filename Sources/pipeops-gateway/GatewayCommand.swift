import ArgumentParser
import EdgeGateway
import Logging
import ProgramShell
import Settings
import Telemetry

@main
struct GatewayCommand: SettingsCommand {
    static let name = "pipeops-gateway"
    static let environmentPrefix = GatewaySettings.environmentPrefix

    static let configuration = CommandConfiguration(
        commandName: name,
        abstract: "The public front door to applications in private Kubernetes clusters.",
        discussion: """
            Accepts the tunnels that agents dial, learns from them which hosts and paths their clusters serve, and \
            carries each request through the tunnel of the cluster that owns its route.

            \(settingsHelp)
            """,
        version: ProgramVersion.current)

    @OptionGroup(title: "Front door") var front: FrontOptions
    @OptionGroup(title: "Users' clients") var clients: ClientOptions
    @OptionGroup(title: "Agents") var agents: AgentOptions
    @OptionGroup(title: "Times and limits") var limits: LimitOptions
    @OptionGroup(title: "Operation") var operation: OperationOptions

    // By name: `@main` would take ArgumentParser's own, whose exit code for wrong input is another.
    static func main() async { await start() }

    func run() async throws {
        let reader = try reader()
        let settings = try GatewaySettings(reader)
        do {
            // Read again by the program; read here so that a mistake in it is told before anything starts.
            _ = try await CredentialFiles(settings.authentication, tls: nil).load()
        } catch let error as CredentialFileError {
            throw reader.refusal(of: .init(rawValue: error.setting) ?? .clustersFile, problem: error.problem)
        }
        try await serve(format: settings.logFormat, level: settings.logLevel) { logger, metrics in
            logger.info(
                "Starting pipeops-gateway",
                metadata: ["version": "\(ProgramVersion.current)", "instance": "\(settings.instanceID)"])
            if settings.agentSecurity == .plaintext {
                logger.warning("Agents connect without encryption", metadata: ["address": "\(settings.agentListen)"])
            }
            try await EdgeGatewayProgram.run(settings: settings, logger: logger, metrics: metrics)
        }
    }
}
