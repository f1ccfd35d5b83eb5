import Configuration

/// Reads a program's settings from its flags, its environment and a settings file, in this order of precedence, and
/// otherwise takes the default.
///
/// Every getter throws a `SettingsError` that names the place where the bad value was given.
package struct SettingsReader<Name: SettingName>: Sendable {
    /// A value as written, and where.
    package struct Given: Sendable {
        package var source: SettingSource
        /// One element, unless the file has a list.
        package var texts: [String]
        /// Whether `texts` is a list of the file, whose elements are not split at commas.
        package var isList = false

        /// The value as one text, for messages and scalar settings.
        package var text: String { texts.joined(separator: ",") }
    }

    private let flags: InMemoryProvider
    private let environment: EnvironmentVariablesProvider
    private let file: SettingsFile?
    private let fileProvider: InMemoryProvider?
    private let prefix: String

    /// Reads the settings file, if the flags or the environment name one, and refuses it if it has a key that is no
    /// setting.
    ///
    /// - Parameters:
    ///   - flags: The flags that were given on the command line; nil for those that were not.
    ///   - environment: The process's environment. A variable that is empty counts as not set. Variables that are no
    ///     setting are ignored: Kubernetes adds such with the names of Services.
    ///   - prefix: What the names of environment variables start with, such as `PIPEOPS_AGENT`.
    package init(
        flags: [Name: String?], environment: [String: String], prefix: String
    ) throws(SettingsError) {
        let given = flags.compactMapValues { $0 }
        self.flags = InMemoryProvider(
            name: "flags",
            values: Dictionary(
                uniqueKeysWithValues: given.map {
                    (AbsoluteConfigKey([$0.key.rawValue]), ConfigValue(.string($0.value), isSecret: false))
                }))
        self.environment = EnvironmentVariablesProvider(
            environmentVariables: environment.filter { $0.key.hasPrefix(prefix + "_") && !$0.value.isEmpty })
        self.prefix = prefix

        var path = given[.config].map { (source: SettingSource.flag(Name.config.rawValue), path: $0) }
        if path == nil {
            let variable = Self.variable(.config, prefix: prefix)
            path = environment[variable].flatMap { $0.isEmpty ? nil : (.environment(variable: variable), $0) }
        }
        guard let path else {
            file = nil
            fileProvider = nil
            return
        }
        let read = try SettingsFile.read(path.path, setting: path.source.description)
        try Self.refuseUnknownNames(in: read)
        file = read
        fileProvider = read.provider
    }

    private static func refuseUnknownNames(in file: SettingsFile) throws(SettingsError) {
        let known = Set(Name.allCases.map(\.rawValue)).subtracting([Name.config.rawValue])
        let unknown = file.entries.filter { !known.contains($0.key) }
        // The first one in the file, and the same one each time.
        guard let (name, entry) = unknown.min(by: { ($0.value.line ?? 0, $0.key) < ($1.value.line ?? 0, $1.key) })
        else { return }
        let suggestion =
            NearestName.to(name, among: known.sorted()).map { "; did you mean \($0)?" }
            ?? "; the settings are the flags that --help lists, without the dashes"
        throw SettingsError(
            setting: SettingSource.file(key: name, path: file.path, line: entry.line).description,
            problem: "is not a setting" + suggestion)
    }

    private static func variable(_ name: Name, prefix: String) -> String {
        prefix + "_" + name.rawValue.uppercased().split(separator: "-").joined(separator: "_")
    }

    /// The value with the highest precedence, as written; nil if the setting is not given anywhere.
    package func given(_ name: Name) -> Given? {
        let key = AbsoluteConfigKey([name.rawValue])
        if let text = Self.text(flags, key) {
            return Given(source: .flag(name.rawValue), texts: [text])
        }
        // The provider turns the components of a key into the name of a variable.
        if let text = Self.text(environment, AbsoluteConfigKey([prefix, name.rawValue])) {
            return Given(source: .environment(variable: Self.variable(name, prefix: prefix)), texts: [text])
        }
        guard let file, let fileProvider else { return nil }
        let source = SettingSource.file(
            key: name.rawValue, path: file.path, line: file.entries[name.rawValue]?.line)
        if let text = Self.text(fileProvider, key) { return Given(source: source, texts: [text]) }
        if case .stringArray(let texts)? = try? fileProvider.value(forKey: key, type: .stringArray).value?.content {
            return Given(source: source, texts: texts, isList: true)
        }
        return nil
    }

    private static func text(_ provider: some ConfigProvider, _ key: AbsoluteConfigKey) -> String? {
        // A value of another type is not an error here: the file may hold a list.
        guard case .string(let text)? = try? provider.value(forKey: key, type: .string).value?.content else {
            return nil
        }
        return text
    }

    /// What to throw when a setting that has no default is not given.
    package func missing(_ name: Name, expected: String) -> SettingsError {
        let others = "\(Self.variable(name, prefix: prefix)), or \(name.rawValue) in the --config file"
        return SettingsError(setting: "--\(name.rawValue)", problem: "is required (or \(others)): \(expected)")
    }

    /// What to throw when a value that could be read is not acceptable together with others.
    package func refusal(of name: Name, problem: String) -> SettingsError {
        guard let given = given(name) else { return SettingsError(setting: "--\(name.rawValue)", problem: problem) }
        return SettingsError(setting: given.source.description, value: given.text, problem: problem)
    }

    /// The value as `parse` reads it; nil if the setting is not given.
    ///
    /// - Parameters:
    ///   - expected: What is allowed, as the rest of a sentence that starts with "must be".
    ///   - parse: Returns nil for a value that is not allowed.
    package func value<Value>(
        _ name: Name, expected: String, parse: (String) -> Value?
    ) throws(SettingsError) -> Value? {
        guard let given = given(name) else { return nil }
        guard !given.isList, let value = parse(given.text) else {
            throw SettingsError(
                setting: given.source.description, value: given.text, problem: "must be \(expected)")
        }
        return value
    }
}
