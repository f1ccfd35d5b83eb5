package import Logging

/// Writes each log record as one line for people:
/// `2026-08-01T09:05:00.042Z info     pipeops-agent: Tunnel lost reason="no answer for 30 s"`.
package struct TextLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    private let label: String
    private let output: LogOutput
    private let now: @Sendable () -> LogTimestamp

    /// - Parameters:
    ///   - label: The name before the message.
    ///   - output: Where lines go.
    ///   - now: The clock.
    package init(
        label: String, level: Logger.Level = .info, metadataProvider: Logger.MetadataProvider? = nil,
        output: LogOutput = .standardError, now: @escaping @Sendable () -> LogTimestamp = LogTimestamp.now
    ) {
        self.label = label
        self.logLevel = level
        self.metadataProvider = metadataProvider
        self.output = output
        self.now = now
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var line: [UInt8] = []
        line.reserveCapacity(192)
        now().append(to: &line)
        line += Self.beginning(level: event.level, label: label, message: event.message.description)
        for field in LogFields.collect(event, handler: metadata, provider: metadataProvider) {
            line.append(UInt8(ascii: " "))
            line.append(contentsOf: field.name.utf8)
            line.append(UInt8(ascii: "="))
            Self.appendValue(field.value, to: &line)
        }
        line.append(UInt8(ascii: "\n"))
        output.write(line)
    }

    /// What stands between the time and the first field.
    static func beginning(level: Logger.Level, label: String, message: String) -> [UInt8] {
        var line = [UInt8(ascii: " ")]
        let level = level.rawValue
        line.append(contentsOf: level.utf8)
        // "critical" is the longest level; messages start in one column.
        line.append(contentsOf: repeatElement(UInt8(ascii: " "), count: max(0, 8 - level.utf8.count) + 1))
        JSONText.appendEscaped(label, escapingQuotes: false, to: &line)
        line.append(contentsOf: ": ".utf8)
        JSONText.appendEscaped(message, escapingQuotes: false, to: &line)
        return line
    }

    private static func appendValue(_ value: Logger.Metadata.Value, to line: inout [UInt8]) {
        if case .string(let text) = value {
            append(text, to: &line)
        } else {
            JSONText.appendValue(value, to: &line)
        }
    }

    /// Plain words stay bare; everything else is as in JSON.
    static func append(_ text: String, to line: inout [UInt8]) {
        if isPlain(text) { line.append(contentsOf: text.utf8) } else { JSONText.appendString(text, to: &line) }
    }

    private static func isPlain(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default:
                    "-._/:@%+,*[]~".utf8.contains(byte)
                }
            }
    }
}
