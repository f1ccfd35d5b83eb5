/// Why the program's settings cannot be used. `description` is one line that names the setting where it was given, the
/// value (unless secret) and what is allowed.
package struct SettingsError: Error, Hashable, CustomStringConvertible {
    /// The exit code for wrong input (`EX_USAGE` of `sysexits.h`).
    package static let exitCode: Int32 = 64

    /// The setting as given: a flag, an environment variable, or a key and its file.
    package var setting: String
    /// Nil when there is none, or it is secret.
    package var value: String?
    /// What is wrong, as the rest of a sentence whose subject is the value or the setting: "is not a duration; …".
    package var problem: String

    package init(setting: String, value: String? = nil, problem: String) {
        self.setting = setting
        self.value = value
        self.problem = problem
    }

    package var description: String {
        let subject = value.map { "\(setting): \"\(Self.shortened($0))\"" } ?? setting
        return Self.oneLine("\(subject) \(problem)")
    }

    private static func shortened(_ value: String) -> String {
        value.count <= 120 ? value : value.prefix(119) + "…"
    }

    /// Control characters and line separators become visible escapes.
    private static func oneLine(_ text: String) -> String {
        var line = ""
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator: line += scalar.escaped(asASCII: true)
            default: line.unicodeScalars.append(scalar)
            }
        }
        return line
    }
}
