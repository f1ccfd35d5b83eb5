import Foundation
import Logging
import Synchronization
import Telemetry

/// Collects the lines that a log handler writes.
final class LogCapture: Sendable {
    private let written = Mutex<[[UInt8]]>([])

    var output: LogOutput {
        LogOutput { line in self.written.withLock { $0.append(line) } }
    }

    /// Each call of the output, as text.
    var lines: [String] { written.withLock { $0 }.map { String(decoding: $0, as: UTF8.self) } }

    /// The lines, parsed. Throws if one is not JSON.
    func objects() throws -> [[String: ParsedValue]] {
        try written.withLock { $0 }.map { try JSONDecoder().decode([String: ParsedValue].self, from: Data($0)) }
    }
}

/// 2026-08-01T09:05:00.042Z
let fixedTime = LogTimestamp(milliseconds: 1_785_575_100_042)

func jsonLogger(
    _ capture: LogCapture, label: String = "test", level: Logger.Level = .trace,
    metadataProvider: Logger.MetadataProvider? = nil
) -> Logger {
    Logger(label: label) {
        JSONLogHandler(
            label: $0, level: level, metadataProvider: metadataProvider, output: capture.output, now: { fixedTime })
    }
}

func textLogger(_ capture: LogCapture, label: String = "test") -> Logger {
    Logger(label: label) { TextLogHandler(label: $0, output: capture.output, now: { fixedTime }) }
}

/// Any JSON value.
enum ParsedValue: Decodable, Equatable, ExpressibleByStringLiteral {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([ParsedValue])
    case object([String: ParsedValue])

    init(stringLiteral value: String) { self = .string(value) }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let bool = try? container.decode(Bool.self) {
            self = .bool(bool)
        } else if let number = try? container.decode(Double.self) {
            self = .number(number)
        } else if let string = try? container.decode(String.self) {
            self = .string(string)
        } else if let array = try? container.decode([ParsedValue].self) {
            self = .array(array)
        } else {
            self = .object(try container.decode([String: ParsedValue].self))
        }
    }
}
