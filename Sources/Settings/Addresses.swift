#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// A host (an IP address or a name) and a port.
package struct HostAndPort: Hashable, Sendable, CustomStringConvertible {
    /// Without brackets.
    package var host: String
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `host:port`, an IPv6 address in brackets. Nil for anything else, also when host or port is missing.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Self.port(text[text.index(after: colon)...]) else {
            return nil
        }
        guard let host = Self.host(text[..<colon]) else { return nil }
        self.init(host: host, port: port)
    }

    static func port(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
            return nil
        }
        return UInt16(text).map(Int.init)
    }

    /// Reads an IP address (IPv6 in brackets) or a host name.
    static func host(_ text: Substring) -> String? {
        if text.hasPrefix("["), text.hasSuffix("]") {
            let inner = String(text.dropFirst().dropLast())
            return inner.contains(":") && IPAddress(inner) != nil ? inner : nil
        }
        let isName = text.utf8.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        return isName && !text.isEmpty && text.utf8.count <= 253 ? String(text) : nil
    }

    /// As `init(_:)` reads it.
    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// The address of a service: scheme, host, port and path of a URL (RFC 3986), nothing else.
package struct EndpointURL: Hashable, Sendable, CustomStringConvertible {
    /// Lower case.
    package var scheme: String
    /// Without brackets.
    package var host: String
    /// As written, or what the scheme stands for.
    package var port: Int
    /// Empty, or starting with a slash.
    package var path: String

    private static let defaultPorts = ["wss": 443, "https": 443, "ws": 80, "http": 80]

    /// Whether the connection is encrypted.
    package var usesTLS: Bool { scheme == "wss" || scheme == "https" }

    /// Nil for anything that is not a URL of one of the schemes, or that has a user, a query or a fragment.
    package init?(_ text: String, schemes: [String]) {
        guard let separator = text.firstRange(of: "://") else { return nil }
        let scheme = text[..<separator.lowerBound].lowercased()
        guard schemes.contains(scheme) else { return nil }
        let rest = text[separator.upperBound...]
        guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !rest.contains(where: { "?#@\\".contains($0) }) else {
            return nil
        }
        let authority = rest.prefix { $0 != "/" }
        if let address = HostAndPort(String(authority)), address.port > 0 {
            self.host = address.host
            self.port = address.port
        } else if let host = HostAndPort.host(authority), let port = Self.defaultPorts[scheme] {
            self.host = host
            self.port = port
        } else {
            return nil
        }
        self.scheme = scheme
        let path = rest.dropFirst(authority.count)
        self.path = path == "/" ? "" : String(path)
    }

    package var description: String { "\(scheme)://\(HostAndPort(host: host, port: port))\(path)" }
}

/// An IPv4 or IPv6 address. An IPv4 address mapped into IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
package struct IPAddress: Hashable, Sendable {
    /// The bits, an IPv4 address in the lowest 32.
    let bits: UInt128
    package let isIPv6: Bool

    /// Reads what `inet_pton(3)` reads; no brackets, no port, no zone.
    package init?(_ text: String) {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            self.init(bits: UInt128(UInt32(bigEndian: four.s_addr)), isIPv6: false)
            return
        }
        var six = in6_addr()
        guard inet_pton(AF_INET6, text, &six) == 1 else { return nil }
        let bits = withUnsafeBytes(of: &six) { $0.reduce(UInt128(0)) { $0 << 8 | UInt128($1) } }
        if bits >> 32 == 0xFFFF {
            self.init(bits: bits & 0xFFFF_FFFF, isIPv6: false)
        } else {
            self.init(bits: bits, isIPv6: true)
        }
    }

    private init(bits: UInt128, isIPv6: Bool) {
        self.bits = bits
        self.isIPv6 = isIPv6
    }

    /// The first address of the IPv6 network with a prefix of this length, 0 to 128; an IPv4 address as it is.
    package func masked(toIPv6Prefix length: Int) -> IPAddress {
        guard isIPv6, length < 128 else { return self }
        return IPAddress(bits: length == 0 ? 0 : bits & UInt128.max << UInt128(128 - length), isIPv6: true)
    }

    /// The IPv4 address that an IPv6 one leads to by translation (RFC 6052 §2.1, `64:ff9b::/96`) or by the old
    /// IPv4-compatible form (RFC 4291 §2.5.5.1, `::/96`); nil for any other address, `::` and `::1` included.
    package var translatedIPv4: IPAddress? {
        guard isIPv6, bits > 1, bits >> 32 == 0 || bits >> 32 == 0x0064_FF9B << 64 else { return nil }
        return IPAddress(bits: bits & 0xFFFF_FFFF, isIPv6: false)
    }
}

/// A range of IP addresses with a common prefix (RFC 4632 §3.1, RFC 4291 §2.3).
package struct CIDRBlock: Hashable, Sendable, CustomStringConvertible {
    /// As written.
    package let description: String
    private let network: IPAddress
    private let hostBits: Int

    /// `address/prefix length`, or an address alone for just that one. Nil for anything else, also when bits after the
    /// prefix are set: the range meant would be a guess.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = IPAddress(String(first)) else { return nil }
        let width = address.isIPv6 ? 128 : 32
        var prefix = width
        if parts.count > 1 {
            guard let given = HostAndPort.port(parts[1]), given <= width, parts[1].utf8.count <= 3 else { return nil }
            prefix = given
        }
        hostBits = width - prefix
        network = address
        description = text
        guard address.bits & ~Self.mask(hostBits: hostBits) == 0 else { return nil }
    }

    /// Whether the address lies in the range.
    package func contains(_ address: IPAddress) -> Bool {
        address.isIPv6 == network.isIPv6 && address.bits & Self.mask(hostBits: hostBits) == network.bits
    }

    private static func mask(hostBits: Int) -> UInt128 { hostBits == 128 ? 0 : UInt128.max << UInt128(hostBits) }
}
