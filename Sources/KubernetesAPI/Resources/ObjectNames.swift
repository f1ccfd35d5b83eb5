/// The grammars of names in the Kubernetes API
/// (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/).
package enum ObjectNames {
    private static func isLowerAlphanumeric(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    static func isLabelKeyByte(_ byte: UInt8) -> Bool {
        isLowerAlphanumeric(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            || [UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "/")].contains(byte)
    }

    /// RFC 1123 label: at most 63 lower case letters, digits and inner hyphens.
    package static func isLabel(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.utf8)
        guard (1...63).contains(bytes.count), let first = bytes.first, let last = bytes.last else { return false }
        return isLowerAlphanumeric(first) && isLowerAlphanumeric(last)
            && bytes.allSatisfy { isLowerAlphanumeric($0) || $0 == UInt8(ascii: "-") }
    }

    /// RFC 1035 label: as an RFC 1123 label, but beginning with a letter. What a Service is called.
    package static func isServiceName(_ text: String) -> Bool {
        isLabel(text) && !(text.utf8.first.map { $0 < UInt8(ascii: "a") } ?? true)
    }

    /// RFC 1123 subdomain: labels joined by dots, at most 253 bytes. What most objects are called.
    package static func isSubdomain(_ text: some StringProtocol) -> Bool {
        text.utf8.count <= 253
            && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { isLabel($0) }
    }

    /// `*.` and a subdomain.
    package static func isWildcardSubdomain(_ text: String) -> Bool {
        text.hasPrefix("*.") && isSubdomain(text.dropFirst(2))
    }

    /// A name that can stand in a URL path, as RBAC objects have it.
    package static func isPathSegment(_ text: String) -> Bool {
        !text.isEmpty && text != "." && text != ".." && !text.contains("/") && !text.contains("%")
    }

    /// A label's value: at most 63 letters, digits, `-`, `_`, `.`, beginning and ending with a letter or digit; or empty.
    package static func isLabelValue(_ text: String) -> Bool {
        if text.isEmpty { return true }
        let bytes = Array(text.utf8)
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            isLabelKeyByte(byte)
                && ![UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "/")].contains(byte)
        }
        return bytes.count <= 63 && isAlphanumeric(bytes[0]) && isAlphanumeric(bytes[bytes.count - 1])
            && bytes.allSatisfy { isLabelKeyByte($0) && $0 != UInt8(ascii: "/") }
    }

    /// A label's or annotation's key: an optional subdomain and `/`, then a name of at most 63 bytes.
    package static func isQualifiedName(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        switch parts.count {
        case 1: return !text.isEmpty && isLabelValue(text)
        case 2: return isSubdomain(parts[0].lowercased()) && !parts[1].isEmpty && isLabelValue(String(parts[1]))
        default: return false
        }
    }
}
