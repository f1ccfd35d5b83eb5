import ClusterAgent
import Foundation
import KubernetesAPI
import Routing

/// Objects that tests are made of.
enum Sample {
    static let clusterUUID = "0a1b2c3d"

    static func extractionSettings() throws -> ExtractionSettings {
        ExtractionSettings(clusterHost: try Hostname("\(clusterUUID).gateway.pipeops.io"))
    }

    static func date(_ seconds: Int) -> Date { Date(timeIntervalSince1970: 1_700_000_000 + Double(seconds)) }

    /// One rule of one host; each path leads to port 8080 of the Service.
    static func ingress(
        _ name: String, host: String = "my-app.example.com", paths: [String: String] = ["/": "my-app"],
        age seconds: Int = 0, annotations: [String: String]? = nil
    ) -> Ingress {
        Ingress(
            metadata: ObjectMeta(
                name: name, namespace: "default", uid: "uid-\(name)", generation: 1,
                creationTimestamp: date(seconds), annotations: annotations),
            spec: .init(rules: [
                .init(
                    host: host,
                    http: .init(
                        paths: paths.sorted { $0.key < $1.key }.map { path, service in
                            .init(
                                path: path, pathType: "Prefix",
                                backend: .init(service: .init(name: service, port: .init(number: 8080))))
                        }))
            ]))
    }

    static func service(
        _ name: String, namespace: String = "default", type: String? = nil, clusterIP: String? = "10.96.0.10",
        ports: [Service.Port] = [.init(name: "http", port: 8080)], addresses: [Service.LoadBalancerIngress] = [],
        uid: String = "uid"
    ) -> Service {
        Service(
            metadata: ObjectMeta(name: name, namespace: namespace, uid: uid),
            spec: .init(type: type, clusterIP: clusterIP, ports: ports),
            status: .init(loadBalancer: .init(ingress: addresses)))
    }

    static func key(_ name: String) -> ObjectKey { ObjectKey(namespace: "default", name: name) }

    static func route(
        _ host: String, _ path: String = "/", service: String = "my-app", annotations: [String: String] = [:]
    ) throws -> ExtractedRoute {
        ExtractedRoute(
            route: Route(
                host: try Hostname(host), path: path, pathType: .prefix, service: service, namespace: "default",
                port: 8080, annotations: annotations),
            target: ForwardTarget(endpoint: .address(ip: "10.96.0.10", port: 8080), service: key(service)))
    }

    static func extract(_ ingress: Ingress, _ services: [Service]) throws -> IngressExtraction {
        IngressExtraction(ingress, settings: try extractionSettings()) { key in services.first { $0.key == key } }
    }
}
