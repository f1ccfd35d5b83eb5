package import Foundation

/// Another program, run to its end.
package struct Command: Sendable {
    /// What came of it.
    package struct Result: Sendable {
        package var output: String
        package var errors: String
        package var code: Int32
    }

    private let path: String
    private let directory: URL
    private let environment: [String: String]

    /// - Parameters:
    ///   - directory: for files with what goes in and comes out.
    ///   - environment: what is other than in this process.
    package init(_ path: String, in directory: URL, environment: [String: String] = [:]) {
        self.path = path
        self.directory = directory
        self.environment = environment
    }

    /// Where a program is, if it is installed.
    package static func path(of name: String) -> String? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        return folders.map { "\($0)/\(name)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// - Parameter input: what it reads; nil for nothing.
    package func run(_ arguments: [String], input: String? = nil) async throws -> Result {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let id = UUID().uuidString
        let output = directory.appendingPathComponent("out-\(id)")
        let errors = directory.appendingPathComponent("err-\(id)")
        for file in [output, errors] { try Data().write(to: file) }
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: errors)
        if let input {
            let file = directory.appendingPathComponent("in-\(id)")
            try Data(input.utf8).write(to: file)
            process.standardInput = try FileHandle(forReadingFrom: file)
        } else {
            process.standardInput = FileHandle.nullDevice
        }
        let code = try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Int32, any Error>) in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do {
                try process.run()
            } catch {
                continuation.resume(throwing: error)
            }
        }
        return Result(
            output: try String(contentsOf: output, encoding: .utf8),
            errors: try String(contentsOf: errors, encoding: .utf8), code: code)
    }
}
