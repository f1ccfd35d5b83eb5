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

    package init(service: ObjectKey, clusterIP: String, httpPort: Int) {
        self.service = service
        self.clusterIP = clusterIP
        self.httpPort = httpPort
    }

    /// Picks the first candidate with a usable cluster IP and an HTTP port.
    ///
    /// - Parameters:
    ///   - candidates: in order of preference; the one Service that a setting names, or the known ones.
    ///   - service: reads the Service cache.
    package init?(candidates: [ObjectKey], service: (ObjectKey) -> Service?) {
        for candidate in candidates {
            guard let found = service(candidate), let clusterIP = found.usableClusterIP,
                let port = Self.httpPort(of: found)
            else { continue }
            self.init(service: candidate, clusterIP: clusterIP, httpPort: port)
            return
        }
        return nil
    }

    /// The port named `http`, else port 80, else the one named `web` (Traefik).
    private static func httpPort(of service: Service) -> Int? {
        let ports = (service.spec?.ports ?? []).filter { ($0.protocol ?? "TCP") == "TCP" }
        let port =
            ports.first { $0.name == "http" } ?? ports.first { $0.port == 80 } ?? ports.first { $0.name == "web" }
        return port?.port
    }
}
