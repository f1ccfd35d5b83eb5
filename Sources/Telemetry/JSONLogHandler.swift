package import Logging

/// Writes each log record as one line holding one JSON object:
/// `{"time":…,"level":…,"msg":…,"logger":…}` and the metadata as further fields, named in snake_case and in the order
/// of their names.
package struct JSONLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    private let label: String
    private let output: LogOutput
    private let now: @Sendable () -> LogTimestamp

    /// - Parameters:
    ///   - label: The value of `logger`.
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
        line.reserveCapacity(256)
        line.append(contentsOf: #"{"time":""#.utf8)
        now().append(to: &line)
        line.append(contentsOf: #"","level":""#.utf8)
        line.append(contentsOf: event.level.rawValue.utf8)
        line.append(contentsOf: #"","msg":"#.utf8)
        JSONText.appendString(event.message.description, to: &line)
        line.append(contentsOf: #","logger":"#.utf8)
        JSONText.appendString(label, to: &line)
        for field in LogFields.collect(event, handler: metadata, provider: metadataProvider) {
            line.append(UInt8(ascii: ","))
            JSONText.appendString(field.name, to: &line)
            line.append(UInt8(ascii: ":"))
            JSONText.appendValue(field.value, to: &line)
        }
        line.append(contentsOf: "}\n".utf8)
        output.write(line)
    }
}
