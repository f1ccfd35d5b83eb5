package import Logging

/// How log lines look: `json` for machines, `text` for people.
package enum LogFormat: String, CaseIterable, Sendable {
    case json
    case text

    /// A handler of this format for a logger's label.
    package func handler(
        label: String, level: Logger.Level, metadataProvider: Logger.MetadataProvider? = nil,
        output: LogOutput = .standardError
    ) -> any LogHandler {
        switch self {
        case .json: JSONLogHandler(label: label, level: level, metadataProvider: metadataProvider, output: output)
        case .text: TextLogHandler(label: label, level: level, metadataProvider: metadataProvider, output: output)
        }
    }
}

extension LoggingSystem {
    /// Makes every logger of the process write lines of this format to standard error. Call once, first thing.
    package static func bootstrap(format: LogFormat, level: Logger.Level) {
        bootstrap(
            { label, provider in format.handler(label: label, level: level, metadataProvider: provider) },
            metadataProvider: nil)
    }
}
