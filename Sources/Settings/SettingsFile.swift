import Configuration
import Foundation
import Yams

/// The content of a settings file: one level of names, each with a text, a number, a boolean, or a list of those.
struct SettingsFile: Sendable {
    struct Entry: Sendable {
        var content: ConfigContent
        /// Counts from 1; nil where the format does not tell.
        var line: Int?
    }

    var path: String
    var entries: [String: Entry]

    /// What `SettingsReader` asks.
    var provider: InMemoryProvider {
        InMemoryProvider(
            name: path,
            values: Dictionary(
                uniqueKeysWithValues: entries.map {
                    (AbsoluteConfigKey([$0.key]), ConfigValue($0.value.content, isSecret: false))
                }))
    }

    /// Reads a file whose name ends in `.yaml`, `.yml` or `.json`.
    ///
    /// - Parameter setting: What errors about the file as a whole call it.
    static func read(_ path: String, setting: String) throws(SettingsError) -> SettingsFile {
        let data = try FileAccess.contents(of: path, setting: setting)
        let lowercased = path.lowercased()
        if lowercased.hasSuffix(".json") { return try readJSON(data, path: path, setting: setting) }
        if lowercased.hasSuffix(".yaml") || lowercased.hasSuffix(".yml") {
            return try readYAML(data, path: path, setting: setting)
        }
        throw SettingsError(setting: setting, value: path, problem: "must end in .yaml, .yml or .json")
    }

    // MARK: YAML

    private static func readYAML(_ data: Data, path: String, setting: String) throws(SettingsError) -> SettingsFile {
        guard let text = String(validating: data, as: UTF8.self) else {
            throw SettingsError(setting: setting, value: path, problem: "is not a text in UTF-8")
        }
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch {
            throw SettingsError(setting: setting, value: path, problem: "is not YAML: \(problem(in: error))")
        }
        // An empty file, or one with comments only, sets nothing.
        guard let root, root.scalar?.string.isEmpty != true else { return SettingsFile(path: path, entries: [:]) }
        guard let mapping = root.mapping else {
            throw SettingsError(setting: setting, value: path, problem: "must be a mapping of setting names to values")
        }
        var entries: [String: Entry] = [:]
        for (key, value) in mapping {
            guard let name = key.scalar?.string else {
                throw SettingsError(setting: setting, value: path, problem: "has a key that is not a text")
            }
            // `name:` without a value is as good as absent.
            if let scalar = value.scalar, scalar.style == .plain, ["", "~", "null"].contains(scalar.string) {
                continue
            }
            let line = key.mark?.line
            guard let content = content(of: value) else {
                throw unsupported(SettingSource.file(key: name, path: path, line: line))
            }
            entries[name] = Entry(content: content, line: line)
        }
        return SettingsFile(path: path, entries: entries)
    }

    private static func content(of node: Node) -> ConfigContent? {
        if let scalar = node.scalar { return .string(scalar.string) }
        guard let sequence = node.sequence else { return nil }
        let texts = sequence.compactMap { $0.scalar?.string }
        return texts.count == sequence.count ? .stringArray(texts) : nil
    }

    private static func problem(in error: any Error) -> String {
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            "\(problem) in line \(mark.line), column \(mark.column)"
        case .duplicatedKeysInMapping(let duplicates, _):
            "these keys are given more than once: \(duplicates.map { "\($0)" }.sorted().joined(separator: ", "))"
        default:
            "\(error)"
        }
    }

    // MARK: JSON

    private static func readJSON(_ data: Data, path: String, setting: String) throws(SettingsError) -> SettingsFile {
        let values: [String: JSONValue]
        do {
            values = try JSONDecoder().decode([String: JSONValue].self, from: data)
        } catch DecodingError.typeMismatch {
            throw SettingsError(setting: setting, value: path, problem: "must be an object of setting names and values")
        } catch DecodingError.dataCorrupted {
            throw SettingsError(setting: setting, value: path, problem: "is not JSON\(positionOfProblem(in: data))")
        } catch {
            throw SettingsError(setting: setting, value: path, problem: "is not JSON: \(error)")
        }
        var entries: [String: Entry] = [:]
        for (name, value) in values {
            switch value {
            case .null: continue
            case .scalar(let text): entries[name] = Entry(content: .string(text))
            case .list(let texts): entries[name] = Entry(content: .stringArray(texts))
            case .unsupported: throw unsupported(SettingSource.file(key: name, path: path, line: nil))
            }
        }
        return SettingsFile(path: path, entries: entries)
    }

    /// Where the text stops being JSON, as the rest of a sentence. The decoder does not say; the older parser does.
    private static func positionOfProblem(in data: Data) -> String {
        do {
            _ = try JSONSerialization.jsonObject(with: data)
            return ""
        } catch {
            let reason = (error as NSError).userInfo[NSDebugDescriptionErrorKey] as? String
            return reason.map { ": \($0)" } ?? ""
        }
    }

    private static func unsupported(_ source: SettingSource) -> SettingsError {
        SettingsError(setting: source.description, problem: "must be a text, a number, a boolean, or a list of those")
    }

    private enum JSONValue: Decodable {
        case null
        case scalar(String)
        case list([String])
        case unsupported

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                self = .null
            } else if let text = Self.scalar(container) {
                self = .scalar(text)
            } else if let list = try? container.decode([JSONValue].self) {
                let texts = list.compactMap { if case .scalar(let text) = $0 { text } else { nil } }
                self = texts.count == list.count ? .list(texts) : .unsupported
            } else {
                self = .unsupported
            }
        }

        private static func scalar(_ container: any SingleValueDecodingContainer) -> String? {
            if let flag = try? container.decode(Bool.self) { return flag ? "true" : "false" }
            if let number = try? container.decode(Int.self) { return number.description }
            if let number = try? container.decode(Double.self) { return number.description }
            return try? container.decode(String.self)
        }
    }
}
