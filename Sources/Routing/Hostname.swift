/// A DNS name a route is served under, lower-cased, without port or trailing dot.
///
/// The first label may be `*`, which stands for exactly one label, as the Ingress API has it (`*.foo.com` covers
/// `bar.foo.com`, not `baz.bar.foo.com` and not `foo.com`).
package struct Hostname: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The canonical text.
    package let text: String

    package var description: String { text }
    package var isWildcard: Bool { text.utf8.first == UInt8(ascii: "*") }

    /// Reads a name as written in an Ingress rule or in an `ingress_routes` message (RFC 1123 §2.1, RFC 1035 §2.3.4).
    package init(_ source: String) throws(InvalidHostname) {
        var name = Substring(source)
        if name.utf8.last == UInt8(ascii: ".") { name = name.dropLast() }
        guard !name.isEmpty else { throw InvalidHostname(source: source, reason: "is empty") }
        guard name.utf8.count <= 253 else {
            throw InvalidHostname(source: source, reason: "is longer than 253 characters")
        }
        // Before lower-casing, which maps some other scripts' letters to ASCII ones (the Kelvin sign to "k").
        guard name.utf8.allSatisfy({ $0 < 0x80 }) else {
            throw InvalidHostname(source: source, reason: Self.foreignCharacter)
        }
        let lowered = name.lowercased()
        let labels = lowered.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        for (index, label) in labels.enumerated() {
            if index == 0, labels.count > 1, label.elementsEqual("*".utf8) { continue }
            if let reason = Self.defect(in: label) { throw InvalidHostname(source: source, reason: reason) }
        }
        text = lowered
    }

    private static func defect(in label: Substring.UTF8View) -> String? {
        guard let first = label.first, let last = label.last else { return "has an empty label" }
        guard label.count <= 63 else { return "has a label longer than 63 characters" }
        guard first != UInt8(ascii: "-"), last != UInt8(ascii: "-") else {
            return "has a label that starts or ends with a hyphen"
        }
        let valid = label.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
                UInt8(ascii: "_"):
                true
            default: false
            }
        }
        return valid ? nil : foreignCharacter
    }

    private static let foreignCharacter = "has a character other than letters, digits, hyphens and underscores"

    package static func < (lhs: Self, rhs: Self) -> Bool { lhs.text < rhs.text }
}

/// Why a text is not a host name; `description` is a sentence for the person who wrote it.
package struct InvalidHostname: Error, Hashable, CustomStringConvertible {
    package var source: String
    package var reason: String

    package var description: String { "host \"\(source)\" \(reason)" }
}

/// The host part of a request's `Host` field or `:authority`, in the form that `RouteTable` looks up.
package enum RequestHost {
    /// Removes the port and a trailing dot and lower-cases the rest (RFC 9110 §7.2, RFC 3986 §3.2.2).
    ///
    /// Does not check that the result is a valid name: one that is not is simply not found.
    package static func normalize(_ authority: String) -> String {
        var host = authority[...]
        if host.utf8.first == UInt8(ascii: "[") {
            if let end = host.utf8.firstIndex(of: UInt8(ascii: "]")) { host = host[...end] }
        } else if let colon = host.utf8.firstIndex(of: UInt8(ascii: ":")) {
            host = host[..<colon]
        }
        if host.utf8.last == UInt8(ascii: ".") { host = host.dropLast() }
        let needsLowering = host.utf8.contains { $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "Z") }
        return needsLowering ? host.lowercased() : String(host)
    }
}
