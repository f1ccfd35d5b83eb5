/// Core `v1` Service.
package struct Service: KubernetesResource, Hashable {
    package static let definition = ResourceDefinition(group: "", version: "v1", plural: "services", kind: "Service")

    package var metadata: ObjectMeta
    package var spec: Spec?
    package var status: Status?

    package init(metadata: ObjectMeta, spec: Spec?, status: Status? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }

    package struct Spec: Codable, Hashable, Sendable {
        /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`; absent means `ClusterIP`.
        package var type: String?
        /// `None` for a headless Service; absent or empty for `ExternalName`.
        package var clusterIP: String?
        package var externalName: String?
        package var externalIPs: [String]?
        package var ports: [Port]?

        package init(
            type: String? = nil, clusterIP: String? = nil, externalName: String? = nil, externalIPs: [String]? = nil,
            ports: [Port]? = nil
        ) {
            self.type = type
            self.clusterIP = clusterIP
            self.externalName = externalName
            self.externalIPs = externalIPs
            self.ports = ports
        }
    }

    package struct Port: Codable, Hashable, Sendable {
        package var name: String?
        package var port: Int
        package var targetPort: IntOrString?
        package var nodePort: Int?
        package var appProtocol: String?
        /// `TCP` where absent.
        package var `protocol`: String?

        package init(
            name: String? = nil, port: Int, targetPort: IntOrString? = nil, nodePort: Int? = nil,
            appProtocol: String? = nil, protocol: String? = nil
        ) {
            self.name = name
            self.port = port
            self.targetPort = targetPort
            self.nodePort = nodePort
            self.appProtocol = appProtocol
            self.protocol = `protocol`
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

    package struct LoadBalancerIngress: Codable, Hashable, Sendable {
        package var ip: String?
        package var hostname: String?

        package init(ip: String? = nil, hostname: String? = nil) {
            self.ip = ip
            self.hostname = hostname
        }
    }
}
