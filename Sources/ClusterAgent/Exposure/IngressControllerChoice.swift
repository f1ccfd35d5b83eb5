package import KubernetesAPI

/// The ingress controller that requests are forwarded to, Host preserved, because it does the final routing.
///
/// Where there is none, requests go to the Service of the matching path directly.
package struct IngressControllerChoice: Hashable, Sendable {
    package var service: ObjectKey
    /// The Service's address inside the cluster.
    package var clusterIP: String
    /// The Service's port for plain HTTP.
    package var httpPort: Int
    /// The Service's port for HTTPS, if it has one.
    package var httpsPort: Int?
    /// How it takes HTTP/2, for routes whose backends speak that. All other requests go to `httpPort` by HTTP/1.1.
    package var http2: HTTP2
    /// By what it was found.
    package var reason: IngressControllerSearch.Reason

    /// How an ingress controller takes HTTP/2.
    package enum HTTP2: Hashable, Sendable {
        /// It does not.
        case none
        /// In plain text with prior knowledge, at its port for HTTP.
        case plain
        /// By TLS, at this port.
        case tls(port: Int)
    }

    package init(
        service: ObjectKey, clusterIP: String, httpPort: Int, httpsPort: Int? = nil, http2: HTTP2 = .none,
        reason: IngressControllerSearch.Reason = .knownName
    ) {
        self.http2 = http2
        self.service = service
        self.clusterIP = clusterIP
        self.httpPort = httpPort
        self.httpsPort = httpsPort
        self.reason = reason
    }

    /// Picks the first candidate with a usable cluster IP and an HTTP port.
    ///
    /// - Parameter preference: how it takes HTTP/2, as a setting says.
    package init?(_ candidates: [IngressControllerSearch.Candidate], preference: IngressControllerProtocol = .auto) {
        for candidate in candidates {
            let service = candidate.service
            guard let clusterIP = service.usableClusterIP, let port = Self.httpPort(of: service) else { continue }
            let httpsPort = Self.httpsPort(of: service)
            self.init(
                service: service.key, clusterIP: clusterIP, httpPort: port, httpsPort: httpsPort,
                http2: Self.http2(of: service, httpsPort: httpsPort, preference), reason: candidate.reason)
            return
        }
        return nil
    }

    /// The port named `http`, else port 80, else the one named `web` (Traefik).
    static func httpPort(of service: Service) -> Int? { port(of: service, 80, named: "http", "web") }

    /// The port named `https`, else port 443, else the one named `websecure` (Traefik).
    static func httpsPort(of service: Service) -> Int? { port(of: service, 443, named: "https", "websecure") }

    /// Traefik, Envoy and HAProxy see HTTP/2 by its first bytes, also in plain text. NGINX, which Kong is made of, too,
    /// speaks it by TLS alone, unless told otherwise.
    private static func http2(
        of service: Service, httpsPort: Int?, _ preference: IngressControllerProtocol
    ) -> HTTP2 {
        switch preference {
        case .http: .none
        case .h2c: .plain
        case .h2: httpsPort.map { .tls(port: $0) } ?? .none
        case .auto:
            if KnownIngressControllers.takePlainHTTP2(service) {
                .plain
            } else {
                httpsPort.map { .tls(port: $0) } ?? .plain
            }
        }
    }

    private static func port(of service: Service, _ number: Int, named name: String, _ other: String) -> Int? {
        let ports = (service.spec?.ports ?? []).filter { ($0.protocol ?? "TCP") == "TCP" }
        return
            (ports.first { $0.name == name } ?? ports.first { $0.port == number } ?? ports.first { $0.name == other })?
            .port
    }
}

/// How requests reach the ingress controller whose routes' backends speak HTTP/2, as a setting says.
package enum IngressControllerProtocol: String, CaseIterable, Sendable {
    /// As the controller is known to take HTTP/2; one that is not known: by TLS, where it has a port for HTTPS.
    case auto
    /// By HTTP/1.1, like all others. gRPC does not work then.
    case http
    /// HTTP/2 in plain text, at the port for HTTP.
    case h2c
    /// HTTP/2 by TLS, at the port for HTTPS.
    case h2
}
