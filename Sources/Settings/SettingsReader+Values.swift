package import Routing

extension SettingsReader {
    /// A text that is not empty.
    package func string(_ name: Name) throws(SettingsError) -> String? {
        try value(name, expected: "a text that is not empty") { $0.isEmpty ? nil : $0 }
    }

    /// A text that is not empty, or the default.
    package func string(_ name: Name, default: String) throws(SettingsError) -> String {
        try string(name) ?? `default`
    }

    /// A decimal whole number within the range.
    package func int(_ name: Name, default: Int, in range: ClosedRange<Int>) throws(SettingsError) -> Int {
        try value(name, expected: "a whole number between \(range.lowerBound) and \(range.upperBound)") {
            Int($0).flatMap { range.contains($0) ? $0 : nil }
        } ?? `default`
    }

    /// `true` or `false`; `yes`, `on` and `1`, `no`, `off` and `0` are understood too.
    package func bool(_ name: Name, default: Bool) throws(SettingsError) -> Bool {
        try value(name, expected: "true or false") { text in
            switch text.lowercased() {
            case "true", "yes", "on", "1": true
            case "false", "no", "off", "0": false
            default: nil
            }
        } ?? `default`
    }

    /// One of an enumeration's raw values.
    package func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ name: Name, default: Choice
    ) throws(SettingsError) -> Choice {
        let choices = Choice.allCases.map(\.rawValue)
        let list = choices.dropLast().joined(separator: ", ") + (choices.count > 1 ? " or " : "")
        return try value(name, expected: list + (choices.last ?? ""), parse: Choice.init(rawValue:)) ?? `default`
    }

    /// A duration within the range, or the default.
    package func duration(
        _ name: Name, default: Duration, in range: ClosedRange<Duration>
    ) throws(SettingsError) -> Duration {
        try duration(name, in: range) ?? `default`
    }

    /// A duration within the range, written as by `DurationText`.
    package func duration(_ name: Name, in range: ClosedRange<Duration>) throws(SettingsError) -> Duration? {
        let bounds = "between \(DurationText.format(range.lowerBound)) and \(DurationText.format(range.upperBound))"
        return try value(name, expected: "a duration such as 500ms, 30s, 2m or 1h, \(bounds)") {
            DurationText.parse($0).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// A number of bytes within the range, written as by `ByteCountText`.
    package func bytes(_ name: Name, default: Int, in range: ClosedRange<Int>) throws(SettingsError) -> Int {
        let bounds = "between \(ByteCountText.format(range.lowerBound)) and \(ByteCountText.format(range.upperBound))"
        return try value(name, expected: "a size such as 512KiB, 64MiB or 1GiB, \(bounds)") {
            ByteCountText.parse($0).flatMap { range.contains($0) ? $0 : nil }
        } ?? `default`
    }

    /// An address to listen on, or the default.
    package func address(_ name: Name, default: HostAndPort) throws(SettingsError) -> HostAndPort {
        try address(name) ?? `default`
    }

    /// An address to listen on.
    package func address(_ name: Name) throws(SettingsError) -> HostAndPort? {
        try value(name, expected: "an address and a port, such as 127.0.0.1:8080 or [::]:8080", parse: HostAndPort.init)
    }

    /// A DNS name that is no wildcard.
    ///
    /// - Parameter default: Such a name.
    package func domain(_ name: Name, default: String) throws(SettingsError) -> Hostname {
        let parse = { (text: String) in (try? Hostname(text)).flatMap { $0.isWildcard ? nil : $0 } }
        if let domain = try value(name, expected: "a DNS name, such as \(`default`)", parse: parse) { return domain }
        guard let domain = parse(`default`) else { preconditionFailure("the default \(`default`) is a DNS name") }
        return domain
    }

    /// A URL without user, query and fragment.
    ///
    /// - Parameter schemes: The allowed schemes, in lower case.
    package func url(_ name: Name, schemes: [String]) throws(SettingsError) -> EndpointURL? {
        let list = schemes.map { "\($0)://host:port" }.joined(separator: " or ")
        return try value(name, expected: "a URL: \(list)") { EndpointURL($0, schemes: schemes) }
    }

    /// Elements separated by commas, or a list in the file; white space around elements does not count.
    ///
    /// - Parameters:
    ///   - expected: What each element is, as the rest of a sentence that starts with "must be".
    ///   - parse: Returns nil for an element that is not allowed.
    package func list<Element>(
        _ name: Name, default: [Element] = [], expected: String, parse: (String) -> Element?
    ) throws(SettingsError) -> [Element] {
        guard let given = given(name) else { return `default` }
        var elements: [Element] = []
        let texts = given.isList ? given.texts[...] : given.text.split(separator: ",").map(String.init)[...]
        for text in texts {
            let trimmed = text.trimmingSpaces()
            guard let element = parse(trimmed) else {
                throw SettingsError(
                    setting: given.source.description, value: trimmed, problem: "must be \(expected)")
            }
            elements.append(element)
        }
        return elements
    }

    /// Address ranges such as `10.0.0.0/8`, or single addresses.
    package func cidrs(_ name: Name) throws(SettingsError) -> [CIDRBlock] {
        try list(
            name, expected: "an address range such as 10.0.0.0/8 or fd00::/8, with no bits set after the prefix",
            parse: { CIDRBlock($0) })
    }

    /// The path of a file that exists and that the process may read now.
    package func readableFile(_ name: Name) throws(SettingsError) -> String? {
        guard let given = given(name) else { return nil }
        if let problem = given.isList ? "is a list" : FileAccess.problem(reading: given.text) {
            throw SettingsError(
                setting: given.source.description, value: given.text, problem: "must be a file to read: \(problem)")
        }
        return given.text
    }

    /// The path of a directory that exists and that the process may list now.
    package func readableDirectory(_ name: Name) throws(SettingsError) -> String? {
        guard let given = given(name) else { return nil }
        if let problem = given.isList ? "is a list" : FileAccess.problem(listing: given.text) {
            throw SettingsError(
                setting: given.source.description, value: given.text, problem: "must be a directory: \(problem)")
        }
        return given.text
    }

    /// The path of a file that holds a secret now. The secret is read once, to be sure, and forgotten.
    package func secretFile(_ name: Name) throws(SettingsError) -> SecretFile? {
        guard let path = try readableFile(name), let given = given(name) else { return nil }
        let file = SecretFile(path: path, setting: given.source.description)
        _ = try file.read()
        return file
    }
}

extension String {
    fileprivate func trimmingSpaces() -> String {
        let isSpace = { (character: Character) in character == " " || character == "\t" }
        return String(drop(while: isSpace).reversed().drop(while: isSpace).reversed())
    }
}
