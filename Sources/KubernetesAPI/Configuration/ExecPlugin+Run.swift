import Foundation
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
        let running = Running()
        let information = try information()
        let path = try executable()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                guard running.begin(continuation) else { return }
                // A thread of its own: it waits for the plugin, and for whatever else holds its output open.
                Thread.detachNewThread {
                    running.end(with: Result { try execute(path, information, running) })
                }
            }
        } onCancel: {
            running.cancel()
        }
    }

    private func execute(_ path: String, _ information: String, _ running: Running) throws -> Data {
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
        running.started(process)
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationReason == .exit, process.terminationStatus == 0 else {
            throw Failure(description: "\(command) ended with status \(process.terminationStatus)")
        }
        return data
    }

    /// One run of a plugin, and who waits for it. Who cancels is answered at once, not when the plugin's output has
    /// ended, which others may hold open.
    private final class Running: Sendable {
        private struct State {
            var process: Process?
            var waiting: CheckedContinuation<Data, any Error>?
            var isCancelled = false
        }

        private let state = Mutex(State())

        /// False if it was cancelled before it began; `continuation` has been resumed then.
        func begin(_ continuation: CheckedContinuation<Data, any Error>) -> Bool {
            let isCancelled = state.withLock { state in
                if !state.isCancelled { state.waiting = continuation }
                return state.isCancelled
            }
            if isCancelled { continuation.resume(throwing: CancellationError()) }
            return !isCancelled
        }

        func started(_ process: Process) {
            let isCancelled = state.withLock { state in
                state.process = process
                return state.isCancelled
            }
            if isCancelled { ExecPlugin.end(process) }
        }

        func end(with result: Result<Data, any Error>) {
            let waiting = state.withLock { state in
                defer { state.waiting = nil }
                return state.waiting
            }
            waiting?.resume(with: result)
        }

        func cancel() {
            let process = state.withLock { state in
                state.isCancelled = true
                return state.process
            }
            if let process { ExecPlugin.end(process) }
            end(with: .failure(CancellationError()))
        }
    }

    /// Ends the plugin and what it started, which would keep its output open.
    fileprivate static func end(_ process: Process) {
        guard process.isRunning else { return }
        if kill(-process.processIdentifier, SIGKILL) != 0 { kill(process.processIdentifier, SIGKILL) }
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
