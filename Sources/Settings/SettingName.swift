/// The settings of a program, one case each. The raw value is the name as people write it: `gateway-url` is the flag
/// `--gateway-url`, the environment variable `PREFIX_GATEWAY_URL` and the key `gateway-url` of the settings file.
package protocol SettingName: RawRepresentable<String>, CaseIterable, Hashable, Sendable {
    /// The name under which flags and environment give the path of the settings file.
    static var config: Self { get }
}

/// Where a setting's value was found.
package enum SettingSource: Hashable, Sendable, CustomStringConvertible {
    /// `--name` on the command line.
    case flag(String)
    case environment(variable: String)
    /// `line` counts from 1; nil where the format does not tell.
    case file(key: String, path: String, line: Int?)

    /// The place, as a person would look for it: `--gateway-url`, `PIPEOPS_AGENT_GATEWAY_URL`, or
    /// `gateway-url in /etc/agent.yaml, line 3`.
    package var description: String {
        switch self {
        case .flag(let name): "--\(name)"
        case .environment(let variable): variable
        case .file(let key, let path, nil): "\(key) in \(path)"
        case .file(let key, let path, let line?): "\(key) in \(path), line \(line)"
        }
    }
}
