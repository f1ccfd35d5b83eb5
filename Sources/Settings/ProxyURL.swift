import Foundation

/// The address of an HTTP proxy, perhaps with what it asks for: `http://user:password@host:port`.
package struct ProxyURL: Hashable, Sendable, CustomStringConvertible {
    /// Without brackets.
    package let host: String
    package let port: Int
    /// Whether the proxy itself is spoken to by TLS.
    package let usesTLS: Bool
    /// The value of `Proxy-Authorization` (RFC 7617 §2); nil where the URL has no user.
    package let authorization: Secret?

    /// What a person is told is allowed.
    package static let expected = "a URL of a proxy: http://host:port or https://host:port, perhaps with user:password@"

    /// Reads `http://` and `https://` URLs, and `host:port` as `http://host:port`. The port is 80 or 443 where none is
    /// given; user and password are percent-decoded. Nil for anything else, also for a URL with a path.
    package init?(_ text: String) {
        var rest = text[...]
        var scheme = "http"
        if let separator = text.firstRange(of: "://") {
            scheme = text[..<separator.lowerBound].lowercased()
            rest = text[separator.upperBound...]
        }
        guard scheme == "http" || scheme == "https" else { return nil }
        usesTLS = scheme == "https"
        if rest.hasSuffix("/") { rest.removeLast() }
        guard !rest.contains(where: { "/?#\\".contains($0) }) else { return nil }

        var authorization: Secret?
        if let at = rest.lastIndex(of: "@") {
            let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let user = String(parts[0]).removingPercentEncoding, !user.isEmpty,
                let password = parts.count > 1 ? String(parts[1]).removingPercentEncoding : ""
            else { return nil }
            authorization = Secret("Basic " + Data("\(user):\(password)".utf8).base64EncodedString())
            rest = rest[rest.index(after: at)...]
        }
        self.authorization = authorization

        if let address = HostAndPort(String(rest)), address.port > 0 {
            host = address.host
            port = address.port
        } else if let host = HostAndPort.host(rest) {
            self.host = host
            port = usesTLS ? 443 : 80
        } else {
            return nil
        }
    }

    /// Without user and password.
    package var description: String { "\(usesTLS ? "https" : "http")://\(HostAndPort(host: host, port: port))" }
}
