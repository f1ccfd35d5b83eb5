#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Ends the process with a line for the person who started it.
enum ProgramExit {
    /// Writes `program: message`, the first line of it, to standard error and ends the process.
    static func fail(program: String, _ message: String, code: Int32) -> Never {
        let firstLine = message.split(whereSeparator: \.isNewline).first ?? "failed"
        let line = Array("\(program): \(firstLine)\n".utf8)
        // Nothing can be done when even this fails.
        _ = write(STDERR_FILENO, line, line.count)
        exit(code)
    }
}
