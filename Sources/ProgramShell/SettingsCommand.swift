package import ArgumentParser
import Foundation
package import Logging
package import Settings
package import Telemetry

/// A long-running program that is told what to do by settings: what all of them do alike around their own work.
package protocol SettingsCommand: AsyncParsableCommand {
    associatedtype Name: SettingName

    /// As people type it.
    static var name: String { get }

    /// What the names of environment variables start with.
    static var environmentPrefix: String { get }

    /// What was given on the command line.
    var flags: [Name: String?] { get }
}

extension SettingsCommand {
    /// For the end of the program's help.
    package static var settingsHelp: String {
        """
        Each setting can be given as a flag, as the environment variable in brackets, or under the flag's name in \
        the file that --config names; a flag counts before the environment, the environment before the file. \
        Durations are written as 500ms, 30s, 2m or 1h, sizes as 512KiB, 64MiB or 1GiB.
        """
    }

    /// What a program's `main()` does: runs it. Wrong input ends it with one line and `SettingsError.exitCode`.
    package static func start() async {
        do {
            var command = try parse()
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

    /// Reads flags, environment and settings file.
    package func reader() throws(SettingsError) -> SettingsReader<Name> {
        try SettingsReader(
            flags: flags, environment: ProcessInfo.processInfo.environment, prefix: Self.environmentPrefix)
    }

    /// Sets up logs and metrics for the whole process, then does the work. An error that no setting is to blame for is
    /// logged.
    package func serve(
        format: LogFormat, level: Logger.Level, _ work: (Logger, PrometheusRegistry) async throws -> Void
    ) async throws {
        LoggingSystem.bootstrap(format: format, level: level)
        let logger = Logger(label: Self.name)
        let metrics = PrometheusRegistry()
        metrics.bootstrap()
        do {
            try await work(logger, metrics)
        } catch let error as SettingsError {
            throw error
        } catch {
            logger.critical("Stopped by an error", metadata: ["error": "\(error)"])
            throw ExitCode.failure
        }
    }
}
