/// `networking.k8s.io/v1` Ingress.
package struct Ingress: KubernetesResource, Hashable {
    package static let definition = ResourceDefinition(
        group: "networking.k8s.io", version: "v1", plural: "ingresses", kind: "Ingress")

    package var metadata: ObjectMeta
    package var spec: Spec?
    package var status: Status?

    package init(metadata: ObjectMeta, spec: Spec?, status: Status? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }

    package struct Spec: Codable, Hashable, Sendable {
        package var ingressClassName: String?
        package var defaultBackend: Backend?
        package var tls: [TLS]?
        package var rules: [Rule]?

        package init(
            ingressClassName: String? = nil, defaultBackend: Backend? = nil, tls: [TLS]? = nil, rules: [Rule]? = nil
        ) {
            self.ingressClassName = ingressClassName
            self.defaultBackend = defaultBackend
            self.tls = tls
            self.rules = rules
        }
    }

    package struct TLS: Codable, Hashable, Sendable {
        package var hosts: [String]?
        package var secretName: String?

        package init(hosts: [String]? = nil, secretName: String? = nil) {
            self.hosts = hosts
            self.secretName = secretName
        }
    }

    package struct Rule: Codable, Hashable, Sendable {
        package var host: String?
        package var http: HTTP?

        package init(host: String? = nil, http: HTTP? = nil) {
            self.host = host
            self.http = http
        }
    }

    package struct HTTP: Codable, Hashable, Sendable {
        package var paths: [Path]

        package init(paths: [Path]) { self.paths = paths }
    }

    package struct Path: Codable, Hashable, Sendable {
        package var path: String?
        /// `Exact`, `Prefix` or `ImplementationSpecific`; text, so that an unknown one is reported and not undecodable.
        package var pathType: String?
        package var backend: Backend

        package init(path: String? = nil, pathType: String? = nil, backend: Backend) {
            self.path = path
            self.pathType = pathType
            self.backend = backend
        }
    }

    package struct Backend: Codable, Hashable, Sendable {
        package var service: ServiceBackend?
        package var resource: TypedReference?

        package init(service: ServiceBackend? = nil, resource: TypedReference? = nil) {
            self.service = service
            self.resource = resource
        }
    }

    package struct ServiceBackend: Codable, Hashable, Sendable {
        package var name: String
        package var port: Port?

        package init(name: String, port: Port? = nil) {
            self.name = name
            self.port = port
        }
    }

    /// Either a name or a number is set.
    package struct Port: Codable, Hashable, Sendable {
        package var name: String?
        package var number: Int?

        package init(name: String? = nil, number: Int? = nil) {
            self.name = name
            self.number = number
        }
    }

    package struct TypedReference: Codable, Hashable, Sendable {
        package var apiGroup: String?
        package var kind: String
        package var name: String

        package init(apiGroup: String? = nil, kind: String, name: String) {
            self.apiGroup = apiGroup
            self.kind = kind
            self.name = name
        }
    }

    package struct Status: Codable, Hashable, Sendable {
        package var loadBalancer: LoadBalancer?

        package init(loadBalancer: LoadBalancer? = nil) { self.loadBalancer = loadBalancer }
    }

    package struct LoadBalancer: Codable, Hashable, Sendable {
        package var ingress: [LoadBalancerIngress]?

        package init(ingress: [LoadBalancerIngress]? = nil) { self.ingress = ingress }
    }

    /// Where traffic for the Ingress can be sent to. All of the type's fields are here, because the list is written as a
    /// whole.
    package struct LoadBalancerIngress: Codable, Hashable, Sendable {
        package var ip: String?
        package var hostname: String?
        package var ports: [PortStatus]?

        package init(ip: String? = nil, hostname: String? = nil, ports: [PortStatus]? = nil) {
            self.ip = ip
            self.hostname = hostname
            self.ports = ports
        }
    }

    package struct PortStatus: Codable, Hashable, Sendable {
        package var port: Int
        package var `protocol`: String?
        package var error: String?

        package init(port: Int, protocol: String? = nil, error: String? = nil) {
            self.port = port
            self.protocol = `protocol`
            self.error = error
        }
    }
}
