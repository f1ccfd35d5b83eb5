import NIOCore
import Settings

/// Who speaks on a connection of the front door: its peer, or the client that a proxy speaks for.
struct ClientAddress: Hashable, Sendable {
    /// As logs and applications see it.
    let text: String
    /// nil for what has none.
    let ip: IPAddress?

    init(_ address: SocketAddress?) {
        let text = address?.ipAddress ?? "unknown"
        ip = IPAddress(text)
        // The IPv4 client of a listener for both families.
        let isMapped = text.hasPrefix("::ffff:") && text.contains(".")
        self.text = isMapped ? String(text.dropFirst("::ffff:".count)) : text
    }

    func isIn(_ ranges: [CIDRBlock]) -> Bool {
        guard !ranges.isEmpty, let ip else { return false }
        return ranges.contains { $0.contains(ip) }
    }
}
