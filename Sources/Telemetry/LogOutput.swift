import Synchronization

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Where log lines go. Each call gets whole lines with their newlines: a handler's one, a `LogLineBatch`'s many.
package struct LogOutput: Sendable {
    let write: @Sendable ([UInt8]) -> Void

    /// - Parameter write: Called from any thread, with one line or many.
    package init(_ write: @escaping @Sendable ([UInt8]) -> Void) {
        self.write = write
    }

    /// The process's standard error. The lines of a call are handed over in one `write(2)`.
    package static let standardError = LogOutput { lines in
        // A pipe may take much in parts when it is full; the lock keeps another call's lines from getting between them.
        lock.withLock { _ in writeAll(lines, to: STDERR_FILENO) }
    }

    private static let lock = Mutex<Void>(())

    private static func writeAll(_ lines: [UInt8], to descriptor: Int32) {
        lines.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                #if canImport(Darwin)
                let count = Darwin.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                #elseif canImport(Musl)
                let count = Musl.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                #else
                let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                #endif
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if errno == EAGAIN, waitUntilWritable(descriptor) {
                    continue
                } else if errno != EINTR {
                    // Nobody is left to be told: the place for complaints is what just failed.
                    return
                }
            }
        }
    }

    /// Standard error may have been made non-blocking by whoever shares it. Gives up after a second.
    private static func waitUntilWritable(_ descriptor: Int32) -> Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&request, 1, 1000) > 0
    }
}
