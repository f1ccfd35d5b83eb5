#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The version that programs report and send.
package enum ProgramVersion {
    package static let current = "0.1.0"
}

/// Ends the process with a line for the person who started it.
package enum ProgramExit {
    /// Writes `program: message`, the first line of it, to standard error and ends the process.
    package static func fail(program: String, _ message: String, code: Int32) -> Never {
        let firstLine = message.split(whereSeparator: \.isNewline).first ?? "failed"
        let line = Array("\(program): \(firstLine)\n".utf8)
        // Nothing can be done when even this fails.
        _ = write(STDERR_FILENO, line, line.count)
        exit(code)
    }
}
