package import NIOHPACK
package import TunnelProtocol

/// Fields on their way into HTTP/2 and out of it (RFC 9113 §8.2): names in lower case, pseudo-header fields first.
///
/// HPACK's values are text here: bytes that are not UTF-8 do not survive the way through HTTP/2.
extension HPACKHeaders {
    /// Appends fields; hop-by-hop ones must be gone.
    package mutating func add(_ fields: HeaderFields) {
        fields.forEachField { field in
            let name = String(decoding: field.name, as: UTF8.self).lowercased()
            add(name: name, value: field.valueText, indexing: Self.isSecret(name) ? .neverIndexed : .indexable)
        }
    }

    /// The head of a request (RFC 9113 §8.3.1), without its hop-by-hop fields.
    package init(_ head: RequestHead, scheme: String) {
        self.init()
        reserveCapacity(head.fields.count + 4)
        add(name: ":method", value: head.method)
        add(name: ":scheme", value: scheme)
        add(name: ":path", value: head.target)
        add(name: ":authority", value: head.authority)
        add(HopByHop.removed(from: head.fields) { _, kind in kind == .host })
    }

    /// The head of an answer (RFC 9113 §8.3.2), whose hop-by-hop fields must be gone.
    package init(_ head: ResponseHead) {
        self.init()
        reserveCapacity(head.fields.count + 1)
        add(name: ":status", value: "\(head.status)")
        add(head.fields)
    }

    /// Trailers.
    package init(trailers: HeaderFields) {
        self.init()
        add(trailers)
    }

    /// What others on the same connection must not be able to guess at by its size (RFC 7541 §7.1.3).
    private static func isSecret(_ name: String) -> Bool {
        name == "authorization" || name == "cookie" || name == "x-auth-token"
    }

    /// At least as many bytes as the fields take in one frame, whatever the tables hold: codes of Huffman are longer
    /// than what they stand for where that is rare (RFC 7541 §B).
    package var mostEncodedBytes: Int {
        var quarters = 0
        for (name, value, _) in self {
            // Representation and two lengths (RFC 7541 §5.1, §6.2).
            quarters += 4 * 12
            for byte in name.utf8 { quarters += Self.quarters(byte) }
            for byte in value.utf8 { quarters += Self.quarters(byte) }
        }
        return quarters / 4
    }

    /// Quarters of a byte that a byte takes at most.
    private static func quarters(_ byte: UInt8) -> Int {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            4
        case 0x20, 0x25, 0x26, 0x2A, 0x2C...0x2F, 0x3A, 0x3B, 0x3D, 0x5F: 4
        case 0x21...0x7E: 10
        default: 15
        }
    }
}

extension HeaderFields {
    /// The fields of a block, without its pseudo-header fields.
    package init(_ block: HPACKHeaders) {
        self.init()
        for (name, value, _) in block where name.utf8.first != UInt8(ascii: ":") { add(name: name, value: value) }
    }
}
