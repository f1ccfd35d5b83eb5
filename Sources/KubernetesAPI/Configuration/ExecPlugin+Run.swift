import Foundation
import Subprocess
import SystemPackage

extension ExecPlugin {
    /// A credential is a few kilobytes.
    private static let mostOutput = 1 << 20

    /// Runs the plugin and reads its answer. Its standard error is passed through, it gets no input, and it is ended
    /// when `timeout` has passed or the task is cancelled.
    func run(timeout: Duration = .seconds(60)) async throws -> Credential {
        let output = try await withThrowingTaskGroup(of: Data?.self) { group in
            group.addTask { try await execute() }
            group.addTask {
                try await ContinuousClock().sleep(for: timeout)
                return nil
            }
            defer { group.cancelAll() }
            guard let output = try await group.next() ?? nil else {
                throw Failure(description: "\(command) did not finish within \(timeout)")
            }
            return output
        }
        return try credential(from: output)
    }

    private func execute() async throws -> Data {
        var options = PlatformOptions()
        // What it started ends with it; that would keep its output open.
        options.processGroupID = 0
        options.teardownSequence = [
            .send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .zero)
        ]
        var added = environment
        added["KUBERNETES_EXEC_INFO"] = try information()
        let variables = added.map { (Environment.Key(stringLiteral: $0.key), Optional($0.value)) }
        do {
            let result = try await Subprocess.run(
                .path(FilePath(executable())), arguments: Arguments(arguments),
                environment: .inherit.updating(Dictionary(uniqueKeysWithValues: variables)), platformOptions: options,
                input: .none, output: .data(limit: Self.mostOutput), error: .currentStandardError)
            switch result.terminationStatus {
            case .exited(0): return result.standardOutput
            case .exited(let status): throw Failure(description: "\(command) ended with status \(status)")
            case .signaled(let signal): throw Failure(description: "\(command) was ended by signal \(signal)")
            }
        } catch let error as SubprocessError {
            try Task.checkCancellation()
            switch error.code {
            case .spawnFailed, .executableNotFound:
                throw Failure(description: "\(command) cannot be started: \(error)")
            case .outputLimitExceeded:
                throw Failure(description: "\(command) printed more than \(Self.mostOutput) bytes")
            default: throw Failure(description: "\(command) failed: \(error)")
            }
        }
    }

    /// The path of the program. Throws if there is none.
    func executable() throws(Failure) -> String {
        if command.contains("/") {
            guard FileManager.default.isExecutableFile(atPath: command) else {
                throw Failure(description: "\(command) cannot be executed")
            }
            return command
        }
        let path = environment["PATH"] ?? ProcessInfo.processInfo.environment["PATH"] ?? ""
        for directory in path.split(separator: ":") {
            let candidate = "\(directory)/\(command)"
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
        }
        throw Failure(description: "\(command) is not in PATH")
    }
}
