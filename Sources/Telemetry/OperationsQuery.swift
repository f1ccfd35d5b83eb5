/// The query of a request to the operations listener: `name=value` pairs, percent-encoded (RFC 3986 §2.1).
package struct OperationsQuery: Hashable, Sendable {
    package private(set) var values: [String: String] = [:]

    /// Reads the text behind the question mark. Of two values of a name the first counts.
    package init(_ text: some StringProtocol) {
        for pair in text.utf8.split(separator: UInt8(ascii: "&")) {
            let end = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
            let name = Self.decoded(pair[..<end])
            let value = end == pair.endIndex ? "" : Self.decoded(pair[pair.index(after: end)...])
            if values[name] == nil { values[name] = value }
        }
    }

    package subscript(name: String) -> String? { values[name] }

    /// With what is no percent-encoding left as it is.
    private static func decoded(_ text: some Sequence<UInt8>) -> String {
        let source = Array(text)
        var bytes: [UInt8] = []
        var index = 0
        while index < source.count {
            if source[index] == UInt8(ascii: "%"), index + 2 < source.count, let high = digit(source[index + 1]),
                let low = digit(source[index + 2])
            {
                bytes.append(high << 4 | low)
                index += 3
            } else {
                bytes.append(source[index])
                index += 1
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"):
            (byte | 0x20) - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
