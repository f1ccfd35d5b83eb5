import Foundation

/// A text that must not be seen: its description, debug description and reflection say only that it is there.
package struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let text: String

    package init(_ text: String) {
        self.text = text
    }

    /// The text itself, for the one place that sends or compares it.
    package func reveal() -> String { text }

    package var description: String { "[secret]" }
    package var debugDescription: String { "[secret]" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// A file that holds a secret. Read it again whenever the secret is used: mounted Kubernetes secrets are replaced while
/// the program runs.
package struct SecretFile: Hashable, Sendable {
    package let path: String
    private let setting: String

    /// - Parameter setting: What errors call this file; a flag, an environment variable or a file key.
    package init(path: String, setting: String) {
        self.path = path
        self.setting = setting
    }

    /// The file's text without white space around it. Errors name the file, never its content.
    package func read() throws(SettingsError) -> Secret {
        let data = try FileAccess.contents(of: path, setting: setting)
        guard data.count <= 65_536 else {
            throw SettingsError(setting: setting, value: path, problem: "is larger than 64 KiB, which is no secret")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw SettingsError(setting: setting, value: path, problem: "is not a text in UTF-8")
        }
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !trimmed.isEmpty else {
            throw SettingsError(setting: setting, value: path, problem: "is empty; it must hold the secret")
        }
        guard !trimmed.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else {
            throw SettingsError(
                setting: setting, value: path, problem: "has control characters or more than one line in its secret")
        }
        return Secret(trimmed)
    }
}
