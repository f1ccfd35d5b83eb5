/// How a route's path is compared with a request's.
///
/// Paths are compared as sent, byte for byte: no percent-decoding and no removal of dot segments, because what reaches
/// the application is the same bytes.
package enum PathMatch: Hashable, Sendable, CustomStringConvertible {
    /// The whole path, and nothing else.
    case exact(String)
    /// The path and everything below it, by whole segments (`/foo` covers `/foo`, `/foo/` and `/foo/bar`, not
    /// `/foobar`). Stored without trailing slashes; the root is the empty string.
    case prefix(String)

    /// Reads a path and path type as an Ingress spells them. `ImplementationSpecific` is served as `Prefix`.
    package init(path: String, type: PathType) {
        switch type {
        case .exact: self = .exact(path)
        case .prefix, .implementationSpecific:
            var trimmed = path[...]
            while trimmed.utf8.last == UInt8(ascii: "/") { trimmed = trimmed.dropLast() }
            self = .prefix(String(trimmed))
        }
    }

    package var description: String {
        switch self {
        case .exact(let path): "= \(path)"
        case .prefix(let path): "\(path)/"
        }
    }
}

/// The Ingress path types (`networking.k8s.io/v1`), spelled as in its API and in `ingress_routes` messages.
package enum PathType: String, Codable, Hashable, Sendable, CaseIterable {
    case exact = "Exact"
    case prefix = "Prefix"
    case implementationSpecific = "ImplementationSpecific"
}
