import Foundation
import Subprocess
import SystemPackage

/// Another program.
package struct Command: Sendable {
    /// What came of it.
    package struct Result: Sendable {
        package var output: String
        package var errors: String
        package var code: Int32
    }

    private static let mostOutput = 16 << 20

    private let path: String
    private let environment: [String: String]

    /// - Parameter environment: what is other than in this process.
    package init(_ path: String, environment: [String: String] = [:]) {
        self.path = path
        self.environment = environment
    }

    /// Where a program is, if it is installed.
    package static func path(of name: String) -> String? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        return folders.map { "\($0)/\(name)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// Runs it to its end, or until the task is cancelled.
    ///
    /// - Parameter input: what it reads, all of it.
    package func run(_ arguments: [String], input: String = "") async throws -> Result {
        let variables = environment.map { (Environment.Key(stringLiteral: $0.key), Optional($0.value)) }
        let configuration = Configuration(
            executable: .path(FilePath(path)), arguments: Arguments(arguments),
            environment: .inherit.updating(Dictionary(uniqueKeysWithValues: variables)))
        let output = StringOutput<UTF8>.string(limit: Self.mostOutput)
        // swift-subprocess 1.0.2 ends this process where another ends before it has read its input.
        guard !input.isEmpty else {
            let result = try await Subprocess.run(configuration, input: .none, output: output, error: output)
            return Result(
                output: result.standardOutput, errors: result.standardError, code: Self.code(result.terminationStatus))
        }
        let result = try await Subprocess.run(configuration, input: .string(input), output: output, error: output)
        return Result(
            output: result.standardOutput, errors: result.standardError, code: Self.code(result.terminationStatus))
    }

    /// As a shell has it.
    private static func code(_ status: TerminationStatus) -> Int32 {
        switch status {
        case .exited(let code): code
        case .signaled(let signal): 128 + signal
        }
    }
}
