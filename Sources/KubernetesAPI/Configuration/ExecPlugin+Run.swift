import Foundation
import NIOPosix
import Synchronization

extension ExecPlugin {
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
        let running = Mutex<(process: Process?, isCancelled: Bool)>((nil, false))
        let information = try information()
        let path = try executable()
        return try await withTaskCancellationHandler {
            try await NIOThreadPool.singleton.runIfActive {
                let process = Process()
                let output = Pipe()
                process.executableURL = URL(fileURLWithPath: path)
                process.arguments = arguments
                process.environment = ProcessInfo.processInfo.environment
                    .merging(environment) { _, new in new }
                    .merging(["KUBERNETES_EXEC_INFO": information]) { _, new in new }
                process.standardInput = FileHandle.nullDevice
                process.standardOutput = output
                do {
                    try process.run()
                } catch {
                    throw Failure(description: "\(command) cannot be started: \(error.localizedDescription)")
                }
                let isCancelled = running.withLock { state in
                    let isCancelled = state.isCancelled
                    state.process = process
                    return isCancelled
                }
                if isCancelled { Self.end(process) }
                let data = try output.fileHandleForReading.readToEnd() ?? Data()
                process.waitUntilExit()
                guard process.terminationReason == .exit, process.terminationStatus == 0 else {
                    throw Failure(description: "\(command) ended with status \(process.terminationStatus)")
                }
                return data
            }
        } onCancel: {
            let process = running.withLock { state in
                state.isCancelled = true
                return state.process
            }
            if let process { Self.end(process) }
        }
    }

    /// Ends the plugin and what it started, which would keep its output open.
    private static func end(_ process: Process) {
        guard process.isRunning else { return }
        if kill(-process.processIdentifier, SIGKILL) != 0 { kill(process.processIdentifier, SIGKILL) }
    }

    private func executable() throws(Failure) -> String {
        if command.contains("/") { return command }
        let path = environment["PATH"] ?? ProcessInfo.processInfo.environment["PATH"] ?? ""
        for directory in path.split(separator: ":") {
            let candidate = "\(directory)/\(command)"
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
        }
        throw Failure(description: "\(command) is not in PATH")
    }
}
