/// One way into a cluster: requests for a host and path go to a Service.
package struct Route: Hashable, Sendable {
    package var host: Hostname
    /// As written in the Ingress, starting with a slash.
    package var path: String
    package var pathType: PathType
    package var service: String
    package var namespace: String
    /// The Service's port number.
    package var port: Int
    /// Whether the Ingress asks for TLS on this host.
    package var tls: Bool
    /// The Ingress's annotations that travel to the gateway.
    package var annotations: [String: String]

    package init(
        host: Hostname, path: String, pathType: PathType, service: String, namespace: String, port: Int,
        tls: Bool = false, annotations: [String: String] = [:]
    ) {
        self.host = host
        self.path = path
        self.pathType = pathType
        self.service = service
        self.namespace = namespace
        self.port = port
        self.tls = tls
        self.annotations = annotations
    }

    package var match: PathMatch { PathMatch(path: path, type: pathType) }
    package var key: RouteKey { RouteKey(host: host, match: match) }
}

/// What makes a route unique: no two routes of one table share a key.
package struct RouteKey: Hashable, Sendable, CustomStringConvertible {
    package var host: Hostname
    package var match: PathMatch

    package init(host: Hostname, match: PathMatch) {
        self.host = host
        self.match = match
    }

    package var description: String { "\(host) \(match)" }
}
