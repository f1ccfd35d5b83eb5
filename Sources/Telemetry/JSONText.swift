import Logging

/// Writes JSON (RFC 8259) into a byte buffer, as far as log lines need it.
enum JSONText {
    /// Appends a JSON string, quotes included.
    static func appendString(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        appendEscaped(text, escapingQuotes: true, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    /// Appends the text with everything escaped that could end the line or steer a terminal: C0 and C1 controls, DEL,
    /// and the Unicode line and paragraph separators, at which some readers of logs split lines.
    ///
    /// - Parameter escapingQuotes: Whether quotation marks and backslashes are escaped too, as inside a JSON string.
    static func appendEscaped(_ text: String, escapingQuotes: Bool, to bytes: inout [UInt8]) {
        var text = text
        text.withUTF8 { utf8 in
            var written = 0
            var index = 0
            while index < utf8.count {
                guard let (codePoint, length) = escape(at: index, in: utf8, escapingQuotes: escapingQuotes) else {
                    index += 1
                    continue
                }
                bytes.append(contentsOf: utf8[written..<index])
                appendEscape(of: codePoint, to: &bytes)
                index += length
                written = index
            }
            bytes.append(contentsOf: utf8[written...])
        }
    }

    /// The code point that starts at `index` and its length in bytes, if it must be escaped.
    private static func escape(
        at index: Int, in utf8: UnsafeBufferPointer<UInt8>, escapingQuotes: Bool
    ) -> (codePoint: UInt16, length: Int)? {
        let byte = utf8[index]
        switch byte {
        case 0..<0x20, 0x7F:
            return (UInt16(byte), 1)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            return escapingQuotes ? (UInt16(byte), 1) : nil
        case 0xC2 where index + 1 < utf8.count && utf8[index + 1] < 0xA0:
            return (UInt16(utf8[index + 1]), 2)
        case 0xE2 where index + 2 < utf8.count && utf8[index + 1] == 0x80 && utf8[index + 2] & 0xFE == 0xA8:
            return (0x2000 | UInt16(utf8[index + 2] & 0x3F), 3)
        default:
            return nil
        }
    }

    private static func appendEscape(of codePoint: UInt16, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\\"))
        switch codePoint {
        case 0x08: bytes.append(UInt8(ascii: "b"))
        case 0x09: bytes.append(UInt8(ascii: "t"))
        case 0x0A: bytes.append(UInt8(ascii: "n"))
        case 0x0C: bytes.append(UInt8(ascii: "f"))
        case 0x0D: bytes.append(UInt8(ascii: "r"))
        case 0x22, 0x5C: bytes.append(UInt8(codePoint))
        default:
            bytes.append(UInt8(ascii: "u"))
            for shift in [12, 8, 4, 0] as [UInt16] {
                let digit = UInt8(codePoint >> shift & 0xF)
                bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            }
        }
    }

    /// Appends a metadata value: numbers and booleans as such, dictionaries (in the order of their keys) and arrays as
    /// JSON, everything else as a string.
    static func appendValue(_ value: Logger.Metadata.Value, to bytes: inout [UInt8]) {
        switch value {
        case .string(let text):
            appendString(text, to: &bytes)
        case .stringConvertible(let convertible):
            if let literal = literal(of: convertible) {
                bytes.append(contentsOf: literal.utf8)
            } else {
                appendString(convertible.description, to: &bytes)
            }
        case .dictionary(let dictionary):
            bytes.append(UInt8(ascii: "{"))
            for (index, (key, value)) in dictionary.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                appendString(key, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                appendValue(value, to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        case .array(let array):
            bytes.append(UInt8(ascii: "["))
            for (index, value) in array.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                appendValue(value, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        }
    }

    /// The JSON number or boolean that a value is. Not-a-number and the infinities have none.
    private static func literal(of value: any CustomStringConvertible & Sendable) -> String? {
        switch value {
        case let number as Int: number.description
        case let flag as Bool: flag ? "true" : "false"
        case let number as Double: number.isFinite ? number.description : nil
        case let number as Float: number.isFinite ? number.description : nil
        case let number as any BinaryInteger: number.description
        default: nil
        }
    }
}
