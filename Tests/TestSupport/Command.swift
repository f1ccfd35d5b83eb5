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
    /// - Parameter input: what it reads.
    package func run(_ arguments: [String], input: String = "") async throws -> Result {
        let variables = environment.map { (Environment.Key(stringLiteral: $0.key), Optional($0.value)) }
        let result = try await Subprocess.run(
            .path(FilePath(path)), arguments: Arguments(arguments),
            environment: .inherit.updating(Dictionary(uniqueKeysWithValues: variables)),
            input: .string(input), output: .string(limit: Self.mostOutput), error: .string(limit: Self.mostOutput))
        let code =
            switch result.terminationStatus {
            case .exited(let code): code
            // As a shell has it.
            case .signaled(let signal): 128 + signal
            }
        return Result(output: result.standardOutput, errors: result.standardError, code: code)
    }
}
