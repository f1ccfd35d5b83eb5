/// What HTTP allows in a field (RFC 9110 §5.1, §5.5) and in a request line: a peer must not be able to smuggle a line
/// break through.
package enum FieldSyntax {
    /// Whether this is a token (RFC 9110 §5.6.2).
    package static func isName(_ name: String) -> Bool { check(name, isName) }

    package static func isName(_ name: UnsafeRawBufferPointer) -> Bool {
        guard !name.isEmpty else { return false }
        for byte in name where !isTokenByte(byte) { return false }
        return true
    }

    package static func isValue(_ value: String) -> Bool { check(value, isValue) }

    package static func isValue(_ value: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        // Eight bytes at a time: those below 0x20 and 0x7F are rare enough to be looked at one by one.
        while index + 8 <= value.count {
            let word = value.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            if mayHoldControlByte(word) {
                for byte in value[index..<index + 8] where !isValueByte(byte) { return false }
            }
            index += 8
        }
        for byte in value[index...] where !isValueByte(byte) { return false }
        return true
    }

    /// Whether a request target or authority can stand in a request line: no space, no control byte.
    package static func isTarget(_ target: String) -> Bool { check(target, isTarget) }

    package static func isTarget(_ target: UnsafeRawBufferPointer) -> Bool {
        for byte in target where byte <= 0x20 || byte == 0x7F { return false }
        return true
    }

    private static func check(_ text: String, _ body: (UnsafeRawBufferPointer) -> Bool) -> Bool {
        var text = text
        return text.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }

    /// May say yes of a word that holds none; never no of one that does. (The classic test for a byte below n, and the
    /// test for a zero byte of the word without 0x7F.)
    private static func mayHoldControlByte(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        let below = (word &- ones &* 0x20) & ~word & highs
        let delete = word ^ (ones &* 0x7F)
        return below | ((delete &- ones) & ~delete & highs) != 0
    }

    private static func isValueByte(_ byte: UInt8) -> Bool { byte >= 0x20 && byte != 0x7F || byte == 0x09 }

    @inlinable
    package static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E, 0x5F, 0x60, 0x7C, 0x7E: true
        default: false
        }
    }
}
