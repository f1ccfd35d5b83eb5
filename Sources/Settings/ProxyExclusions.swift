/// The destinations that are reached without a proxy, as `NO_PROXY` lists them.
///
/// | Entry | Stands for |
/// |---|---|
/// | `*` | everything |
/// | `example.com`, `.example.com`, `*.example.com` | the name and everything below it |
/// | `192.0.2.1`, `[2001:db8::1]`, `2001:db8::1` | the address |
/// | `10.0.0.0/8`, `fd00::/8` | the addresses of the range |
///
/// Names and addresses may be followed by a colon and the only port they stand for. A name is never resolved to find
/// out whether its address lies in a range. Entries that are none of these are passed over, as other programs do.
package struct ProxyExclusions: Hashable, Sendable {
    private enum Target: Hashable {
        case everything
        case name(String)
        case range(CIDRBlock)
    }

    private struct Entry: Hashable {
        var target: Target
        var port: Int?
    }

    private let entries: [Entry]

    /// - Parameter list: entries separated by commas or white space.
    package init(_ list: String) {
        entries = list.split { ", \t\n\r".contains($0) }.compactMap(Self.entry)
    }

    /// Whether a host, a name or an address without brackets, is reached without a proxy.
    package func contains(host: String, port: Int) -> Bool {
        let name = Self.withoutRoot(host.lowercased())
        let address = IPAddress(host)
        return entries.contains { entry in
            guard entry.port == nil || entry.port == port else { return false }
            switch entry.target {
            case .everything: return true
            case .name(let suffix): return address == nil && (name == suffix || name.hasSuffix("." + suffix))
            case .range(let range): return address.map(range.contains) ?? false
            }
        }
    }

    private static func entry(_ text: Substring) -> Entry? {
        if text == "*" { return Entry(target: .everything) }
        // An IPv6 address without brackets has colons and no port.
        if let range = range(text) { return Entry(target: .range(range)) }
        var rest = text
        var port: Int?
        if let colon = text.lastIndex(of: ":") {
            port = HostAndPort.port(text[text.index(after: colon)...])
            guard port != nil else { return nil }
            rest = text[..<colon]
        }
        if let range = range(rest) { return Entry(target: .range(range), port: port) }
        if rest.hasPrefix("*.") { rest.removeFirst(2) }
        if rest.hasPrefix(".") { rest.removeFirst() }
        guard let name = HostAndPort.host(rest) else { return nil }
        return Entry(target: .name(withoutRoot(name.lowercased())), port: port)
    }

    private static func range(_ text: Substring) -> CIDRBlock? {
        text.hasPrefix("[") && text.hasSuffix("]")
            ? CIDRBlock(String(text.dropFirst().dropLast())) : CIDRBlock(String(text))
    }

    /// A name may end with the dot of the root.
    private static func withoutRoot(_ name: String) -> String { name.hasSuffix(".") ? String(name.dropLast()) : name }
}
