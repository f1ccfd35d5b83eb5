import Foundation
package import Logging
import Synchronization

/// Keeps log lines, so that tests see what an operator would.
package final class LogRecorder: Sendable {
    package struct Line: Sendable, CustomStringConvertible {
        package var level: Logger.Level
        package var message: String
        package var fields: [String: String]
        package var description: String { "\(level) \(message) \(fields)" }
    }

    private let recorded = Mutex<[Line]>([])

    package init() {}

    package var lines: [Line] { recorded.withLock { $0 } }
    /// Those with this message.
    package func lines(_ message: String) -> [Line] { lines.filter { $0.message == message } }

    /// Takes a line as a program writes it in JSON.
    package func record(json line: [UInt8]) {
        for line in line.split(separator: UInt8(ascii: "\n")) {
            guard let object = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any] else { continue }
            let fields = object.mapValues { "\($0)" }
            recorded.withLock {
                $0.append(
                    Line(
                        level: Logger.Level(rawValue: fields["level"] ?? "") ?? .info, message: fields["msg"] ?? "",
                        fields: fields))
            }
        }
    }

    package func logger(_ label: String) -> Logger {
        var logger = Logger(label: label) { _ in Handler(recorder: self) }
        logger.logLevel = .debug
        return logger
    }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var logLevel = Logger.Level.debug
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let fields = metadata.merging(event.metadata ?? [:]) { $1 }.mapValues { "\($0)" }
            recorder.recorded.withLock {
                $0.append(Line(level: event.level, message: event.message.description, fields: fields))
            }
        }
    }
}

extension Logger {
    /// For tests that do not look at the log.
    package static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}
