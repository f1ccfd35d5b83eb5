/// An IPv4 or IPv6 address as bits, for comparison with ranges.
///
/// An IPv4 address mapped into IPv6 (`::ffff:a.b.c.d`) is the IPv4 address, because a socket treats them alike.
package enum TargetAddress: Hashable, Sendable {
    case v4(UInt32)
    /// The first and the last 64 bits.
    case v6(high: UInt64, low: UInt64)

    /// - Parameter bytes: 4 or 16 of them in network order; anything else is `nil`.
    package init?(bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4: self = .v4(bytes.reduce(0) { $0 << 8 | UInt32($1) })
        case 16:
            let high = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let low = bytes.dropFirst(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            self = Self.unmapped(high: high, low: low)
        default: return nil
        }
    }

    /// Reads dotted decimal (RFC 6943 §3.1.1, strict form) or RFC 4291 §2.2 text, without brackets or zone.
    package init?(_ text: some StringProtocol) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let groups = Self.groups(text) else { return nil }
            let high = groups.prefix(4).reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
            let low = groups.dropFirst(4).reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
            self = Self.unmapped(high: high, low: low)
        } else {
            guard let bits = Self.dotted(text) else { return nil }
            self = .v4(bits)
        }
    }

    private static func unmapped(high: UInt64, low: UInt64) -> TargetAddress {
        if high == 0, low >> 32 == 0xffff { return .v4(UInt32(truncatingIfNeeded: low)) }
        return .v6(high: high, low: low)
    }

    private static func dotted(_ text: some StringProtocol) -> UInt32? {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            // A leading zero would be read as octal by some resolvers.
            guard part.count == 1 || part.first != 0x30 else { return nil }
            let value = part.reduce(UInt32(0)) { $0 * 10 + UInt32($1 - 0x30) }
            guard value <= 255 else { return nil }
            bits = bits << 8 | value
        }
        return bits
    }

    /// The eight groups of an IPv6 address, `::` filled in.
    private static func groups(_ text: some StringProtocol) -> [UInt16]? {
        var head: [UInt16] = []
        var tail: [UInt16]?
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard (3...9).contains(parts.count) else { return nil }
        for (index, part) in parts.enumerated() {
            if part.isEmpty {
                let atEdge = index == 0 || index == parts.count - 1
                // An empty part at an edge belongs to a "::" there; any other one is the "::" itself.
                if atEdge, parts[index == 0 ? 1 : index - 1].isEmpty { continue }
                guard !atEdge, tail == nil else { return nil }
                tail = []
                continue
            }
            var values: [UInt16]
            if index == parts.count - 1, part.utf8.contains(UInt8(ascii: ".")) {
                guard let bits = dotted(part) else { return nil }
                values = [UInt16(bits >> 16), UInt16(truncatingIfNeeded: bits)]
            } else {
                guard part.utf8.count <= 4, part.allSatisfy(\.isHexDigit), let value = UInt16(part, radix: 16) else {
                    return nil
                }
                values = [value]
            }
            if tail == nil { head += values } else { tail = (tail ?? []) + values }
        }
        guard let tail else { return head.count == 8 ? head : nil }
        guard head.count + tail.count <= 7 else { return nil }
        return head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
    }
}
