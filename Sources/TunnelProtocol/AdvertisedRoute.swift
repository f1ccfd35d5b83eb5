package import Routing

/// A route as an `ingress_routes` message spells it, not yet checked.
///
/// Kept apart from `Route` so that one bad host or path refuses that route, by name, and not the whole message.
package struct AdvertisedRoute: Codable, Hashable, Sendable {
    package var host: String
    package var path: String
    package var pathType: String
    package var service: String
    package var namespace: String
    package var port: Int
    package var tls: Bool
    package var annotations: [String: String]

    package init(
        host: String, path: String, pathType: String, service: String, namespace: String, port: Int, tls: Bool,
        annotations: [String: String]
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

    package init(_ route: Route) {
        self.init(
            host: route.host.text, path: route.path, pathType: route.pathType.rawValue, service: route.service,
            namespace: route.namespace, port: route.port, tls: route.tls, annotations: route.annotations)
    }

    private enum CodingKeys: String, CodingKey {
        case host, path, service, namespace, port, tls, annotations
        case pathType = "path_type"
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        host = try container.decode(String.self, forKey: .host)
        path = try container.decode(String.self, forKey: .path)
        pathType = try container.decodeIfPresent(String.self, forKey: .pathType) ?? PathType.prefix.rawValue
        service = try container.decode(String.self, forKey: .service)
        namespace = try container.decode(String.self, forKey: .namespace)
        port = try container.decode(Int.self, forKey: .port)
        tls = try container.decodeIfPresent(Bool.self, forKey: .tls) ?? false
        annotations = try container.decodeIfPresent([String: String].self, forKey: .annotations) ?? [:]
    }

    /// The largest `size` that is served, in bytes.
    package static let maximumSize = 32 * 1024

    /// What the route weighs in memory, nearly: the bytes of its texts, and 32 for each annotation.
    package var size: Int {
        let texts = [host, path, pathType, service, namespace].reduce(0) { $0 + $1.utf8.count }
        return annotations.reduce(texts) { $0 + $1.key.utf8.count + $1.value.utf8.count + 32 }
    }

    /// The checked route, or why it cannot be served.
    package func route() throws(RouteRefusal) -> Route {
        guard size <= Self.maximumSize else {
            throw RouteRefusal(
                reason: "RouteTooLarge",
                message: "the route and its annotations have \(size) bytes, more than \(Self.maximumSize)")
        }
        guard let type = PathType(rawValue: pathType) else {
            throw RouteRefusal(
                reason: "InvalidPathType",
                message: "path_type \"\(pathType.clipped)\" is not one of Exact, Prefix, ImplementationSpecific")
        }
        guard path.utf8.first == UInt8(ascii: "/") else {
            throw RouteRefusal(reason: "InvalidPath", message: "path \"\(path.clipped)\" does not start with a slash")
        }
        guard (1...65535).contains(port) else {
            throw RouteRefusal(reason: "InvalidPort", message: "port \(port) is not between 1 and 65535")
        }
        do {
            return Route(
                host: try Hostname(host), path: path, pathType: type, service: service, namespace: namespace,
                port: port, tls: tls, annotations: annotations)
        } catch {
            throw RouteRefusal(reason: "InvalidHost", message: error.description.clipped)
        }
    }
}

/// Why the gateway does not serve one route; both fields travel in `ingress_routes_ack`.
package struct RouteRefusal: Error, Hashable, Sendable {
    /// CamelCase, for programs.
    package var reason: String
    /// A sentence, for people.
    package var message: String

    package init(reason: String, message: String) {
        self.reason = reason
        self.message = message
    }
}

extension String {
    /// At most 300 bytes of a peer's text, for a message that must stay short whatever the peer wrote.
    var clipped: String {
        guard utf8.count > 300 else { return self }
        return String(decoding: utf8.prefix(300), as: UTF8.self) + "…"
    }
}
