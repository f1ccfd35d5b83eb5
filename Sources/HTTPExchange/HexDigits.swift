/// Numbers as hexadecimal digits in lower case, without Foundation.
enum HexDigits {
    /// Writes 16 digits.
    static func write(_ number: UInt64, to bytes: UnsafeMutableBufferPointer<UInt8>, at start: Int) {
        for index in 0..<16 {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(60 - index * 4) & 0xF)
            bytes[start + index] = digit < 10 ? 0x30 + digit : 0x57 + digit
        }
    }
}
