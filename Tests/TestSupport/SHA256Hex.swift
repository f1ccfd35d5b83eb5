import Crypto
import Foundation

/// SHA-256 as clusters files write it.
package enum SHA256Hex {
    /// 64 lower-case hexadecimal digits.
    package static func text(_ token: String) -> String {
        SHA256.hash(data: Data(token.utf8)).map { String(format: "%02x", $0) }.joined()
    }
}
