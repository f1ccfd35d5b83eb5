import Foundation
import Routing

/// Which certificate a client is shown, by the name that it asks for (RFC 6066 §3). Immutable: changes make a new one.
///
/// | The client asks for | and gets |
/// |---|---|
/// | a name that a certificate has | that certificate |
/// | a name one label below a certificate's wildcard (RFC 6125 §6.4.3) | that certificate |
/// | any other name | the default; where there is none the handshake is refused |
/// | nothing | the default, or else the first by name |
///
/// Where two certificates have the same name, or are the default, the one that lasts longer is shown, of equal ones the
/// first by name: so a successor can be put beside the certificate it replaces.
struct CertificateTable<Value> {
    struct Entry {
        /// What it is called.
        var name: String
        var isDefault = false
        /// What it is valid for; a wildcard stands for one label.
        var hosts: [Hostname]
        var expires: Date
        var value: Value
    }

    private var exact: [String: Entry] = [:]
    /// By what follows `*.`.
    private var wildcards: [String: Entry] = [:]
    private var byDefault: Entry?
    private var withoutName: Value?

    init(_ entries: [Entry] = []) {
        for entry in entries.sorted(by: { $0.name < $1.name }) {
            for host in entry.hosts {
                if host.isWildcard {
                    Self.enter(entry, for: String(host.text.dropFirst(2)), in: &wildcards)
                } else {
                    Self.enter(entry, for: host.text, in: &exact)
                }
            }
            if entry.isDefault, !(byDefault.map { $0.expires >= entry.expires } ?? false) { byDefault = entry }
            if withoutName == nil { withoutName = entry.value }
        }
        withoutName = byDefault?.value ?? withoutName
    }

    private static func enter(_ entry: Entry, for name: String, in table: inout [String: Entry]) {
        if let other = table[name], other.expires >= entry.expires { return }
        table[name] = entry
    }

    /// - Parameter serverName: as the client sent it; nil where it sent none.
    /// - Returns: nil where the handshake is to be refused.
    func choose(serverName: String?) -> Value? {
        guard let serverName else { return withoutName }
        let name = RequestHost.normalize(serverName)
        if let entry = exact[name] { return entry.value }
        if let dot = name.utf8.firstIndex(of: UInt8(ascii: ".")), dot != name.startIndex,
            let entry = wildcards[String(name[name.utf8.index(after: dot)...])]
        {
            return entry.value
        }
        return byDefault?.value
    }
}

extension CertificateTable: Sendable where Value: Sendable {}
extension CertificateTable.Entry: Sendable where Value: Sendable {}
