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
    /// The Service's port for HTTPS, if it has one. Told in the log, and not used: requests go by plain HTTP.
    package var httpsPort: Int?
    /// By what it was found.
    package var reason: IngressControllerSearch.Reason

    package init(
        service: ObjectKey, clusterIP: String, httpPort: Int, httpsPort: Int? = nil,
        reason: IngressControllerSearch.Reason = .knownName
    ) {
        self.service = service
        self.clusterIP = clusterIP
        self.httpPort = httpPort
        self.httpsPort = httpsPort
        self.reason = reason
    }

    /// Picks the first candidate with a usable cluster IP and an HTTP port.
    package init?(_ candidates: [IngressControllerSearch.Candidate]) {
        for candidate in candidates {
            let service = candidate.service
            guard let clusterIP = service.usableClusterIP, let port = Self.httpPort(of: service) else { continue }
            self.init(
                service: service.key, clusterIP: clusterIP, httpPort: port, httpsPort: Self.httpsPort(of: service),
                reason: candidate.reason)
            return
        }
        return nil
    }

    /// The port named `http`, else port 80, else the one named `web` (Traefik).
    static func httpPort(of service: Service) -> Int? { port(of: service, 80, named: "http", "web") }

    /// The port named `https`, else port 443, else the one named `websecure` (Traefik).
    static func httpsPort(of service: Service) -> Int? { port(of: service, 443, named: "https", "websecure") }

    private static func port(of service: Service, _ number: Int, named name: String, _ other: String) -> Int? {
        let ports = (service.spec?.ports ?? []).filter { ($0.protocol ?? "TCP") == "TCP" }
        return
            (ports.first { $0.name == name } ?? ports.first { $0.port == number } ?? ports.first { $0.name == other })?
            .port
    }
}
