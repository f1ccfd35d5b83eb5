import Crypto
import Foundation

/// The SHA-256 of a token: all that the gateway keeps of one.
///
/// Where a digest stands in a table depends on bits that nobody can choose without the token, and two digests are
/// compared in constant time; so how long a look-up takes tells nothing about any token.
package struct TokenDigest: Hashable, Sendable {
    private let words: (UInt64, UInt64, UInt64, UInt64)

    /// Hashes a token as it came.
    package init(of token: String) {
        self.init(SHA256.hash(data: Array(token.utf8)).withUnsafeBytes { Array($0) })
    }

    /// Hashes any bytes: to know a file again, say.
    init(of data: Data) {
        self.init(SHA256.hash(data: data).withUnsafeBytes { Array($0) })
    }

    /// Reads 64 hexadecimal digits; nil for anything else.
    package init?(hex: String) {
        guard hex.utf8.count == 2 * SHA256.byteCount else { return nil }
        let digits = hex.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        guard digits.count == hex.utf8.count else { return nil }
        self.init(stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) })
    }

    private init(_ bytes: [UInt8]) {
        func word(_ index: Int) -> UInt64 { bytes[index * 8..<index * 8 + 8].reduce(0) { $0 << 8 | UInt64($1) } }
        words = (word(0), word(1), word(2), word(3))
    }

    package static func == (lhs: Self, rhs: Self) -> Bool {
        (lhs.words.0 ^ rhs.words.0) | (lhs.words.1 ^ rhs.words.1) | (lhs.words.2 ^ rhs.words.2)
            | (lhs.words.3 ^ rhs.words.3) == 0
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}
