package import Routing

/// The host names a credential may serve beyond its cluster's own: all, or those that match a pattern.
///
/// `*` stands for exactly one label, as in routes: `*.example.com` allows `app.example.com` and the route
/// `*.example.com` itself, and neither `example.com` nor `a.b.example.com`.
package struct AllowedHostnames: Hashable, Sendable {
    /// No restriction.
    package static let all = AllowedHostnames(patterns: nil)
    /// Only the names below `<cluster uuid>.<gateway domain>`.
    package static let none = AllowedHostnames(patterns: [])

    /// Canonical texts; nil allows everything.
    private let patterns: Set<String>?

    private init(patterns: Set<String>?) { self.patterns = patterns }

    /// Reads patterns as a file or a token lists them.
    ///
    /// - Throws: a sentence about the first that is no host name.
    package init(_ patterns: [String]) throws(InvalidHostname) {
        var read: Set<String> = []
        for pattern in patterns { read.insert(try Hostname(pattern).text) }
        self.patterns = read
    }

    package func allows(_ host: Hostname) -> Bool {
        guard let patterns else { return true }
        if patterns.contains(host.text) { return true }
        guard !host.isWildcard, let dot = host.text.firstIndex(of: ".") else { return false }
        return patterns.contains("*" + host.text[dot...])
    }
}
