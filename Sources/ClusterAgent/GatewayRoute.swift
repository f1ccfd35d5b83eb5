package import KubernetesAPI

/// `gateway.pipeops.io/v1alpha1` GatewayRoute: what the agent found in one Ingress, and whether the gateway serves it.
///
/// It has the namespace and name of its Ingress. Its schema is `crds/gatewayroutes.yaml`.
package struct GatewayRoute: KubernetesResource, Hashable {
    package static let definition = ResourceDefinition(
        group: "gateway.pipeops.io", version: "v1alpha1", plural: "gatewayroutes", kind: "GatewayRoute")

    /// The field manager under which the agent applies objects, and the value of `managedByLabel` on them.
    package static let manager = "pipeops-agent"
    /// The label that marks an object as the agent's own.
    package static let managedByLabel = "app.kubernetes.io/managed-by"

    package var metadata: ObjectMeta
    package var spec: Spec?
    package var status: Status?

    package init(metadata: ObjectMeta, spec: Spec? = nil, status: Status? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }

    /// Whether the agent made this object, and may therefore change and remove it: it has the label, or an Ingress of its
    /// name is its controller, so that it stays ours where a person has edited one of the two.
    package var isOurs: Bool { hasOurLabel || hasController }

    var hasOurLabel: Bool { metadata.labels?[Self.managedByLabel] == Self.manager }

    private var hasController: Bool {
        (metadata.ownerReferences ?? []).contains {
            $0.controller == true && $0.kind == Ingress.definition.kind && $0.name == metadata.name
                && $0.apiVersion == Ingress.definition.apiVersion
        }
    }

    /// Which Ingress of which cluster the object stands for.
    package struct Spec: Codable, Hashable, Sendable {
        package var ingressName: String
        package var clusterUUID: String

        package init(ingressName: String, clusterUUID: String) {
            self.ingressName = ingressName
            self.clusterUUID = clusterUUID
        }
    }

    /// What the agent observed last.
    package struct Status: Codable, Hashable, Sendable {
        package var clusterType: ClusterType?
        /// CamelCase, see `ExposureDetector.Reason`.
        package var clusterTypeReason: String?
        /// `namespace/name` of the ingress controller's Service, or `Service`.
        package var target: String?
        /// CamelCase, see `IngressControllerSearch.Reason`.
        package var targetReason: String?
        /// In the order of the Ingress's rules.
        package var hosts: [String]?
        package var routeCount: Int?
        /// At most `maximumListedRoutes` of them.
        package var routes: [ListedRoute]?
        /// The generation of the Ingress that the rest was derived from.
        package var observedIngressGeneration: Int64?
        /// The ledger's revision with which the gateway took these routes.
        package var revision: Int64?
        package var conditions: [Condition]?

        package init(
            clusterType: ClusterType? = nil, clusterTypeReason: String? = nil, target: String? = nil,
            targetReason: String? = nil, hosts: [String]? = nil, routeCount: Int? = nil, routes: [ListedRoute]? = nil,
            observedIngressGeneration: Int64? = nil, revision: Int64? = nil, conditions: [Condition]? = nil
        ) {
            self.clusterType = clusterType
            self.clusterTypeReason = clusterTypeReason
            self.target = target
            self.targetReason = targetReason
            self.hosts = hosts
            self.routeCount = routeCount
            self.routes = routes
            self.observedIngressGeneration = observedIngressGeneration
            self.revision = revision
            self.conditions = conditions
        }

        /// How many routes a status lists, so that one huge Ingress does not exceed the size of an API object.
        package static let maximumListedRoutes = 256

        package func condition(_ type: ConditionType) -> Condition? {
            conditions?.first { $0.type == type.rawValue }
        }
    }

    /// A route as a person reads it with `kubectl describe`.
    package struct ListedRoute: Codable, Hashable, Sendable {
        package var host: String
        package var path: String
        package var pathType: String
        package var service: String
        package var port: Int
        package var tls: Bool?

        package init(host: String, path: String, pathType: String, service: String, port: Int, tls: Bool?) {
            self.host = host
            self.path = path
            self.pathType = pathType
            self.service = service
            self.port = port
            self.tls = tls
        }
    }

    /// The conditions the agent writes.
    package enum ConditionType: String, CaseIterable, Sendable {
        /// The Ingress is understood: at least one of its rules can be served.
        case accepted = "Accepted"
        /// Every Service and port it names exists.
        case resolvedRefs = "ResolvedRefs"
        /// The gateway serves it.
        case programmed = "Programmed"
    }
}

/// Whether a cluster can be reached from outside without the gateway, spelled as in `status.clusterType`.
package enum ClusterType: String, Codable, Hashable, Sendable {
    case `private` = "Private"
    case `public` = "Public"
    /// Not decided yet.
    case unknown = "Unknown"
}

/// The status of one condition with its reason and message, before it is stamped with times and generations.
package struct ConditionVerdict<Reason: RawRepresentable<String> & Hashable & Sendable>: Hashable, Sendable {
    package var isTrue: Bool
    package var reason: Reason
    /// A sentence for people.
    package var message: String

    package init(isTrue: Bool, reason: Reason, message: String) {
        self.isTrue = isTrue
        self.reason = reason
        self.message = message
    }
}

/// Reasons of the condition `Accepted`.
package enum AcceptedReason: String, Hashable, Sendable {
    case accepted = "Accepted"
    /// Neither rules nor a default backend.
    case noRules = "NoRules"
    case unsupportedBackend = "UnsupportedBackend"
    case invalidHost = "InvalidHost"
    case invalidPath = "InvalidPath"
    /// There are rules, and for more than one reason none of them can be served.
    case noUsableRule = "NoUsableRule"
}

/// Reasons of the condition `ResolvedRefs`.
package enum ResolvedRefsReason: String, Hashable, Sendable {
    case resolvedRefs = "ResolvedRefs"
    case serviceNotFound = "ServiceNotFound"
    case portNotFound = "PortNotFound"
    case unsupportedBackend = "UnsupportedBackend"
    /// The Secret with the authorities of the backends cannot be used; named as in Gateway API.
    case invalidCACertificateRef = "InvalidCACertificateRef"
}

/// Reasons of the condition `Programmed`.
package enum ProgrammedReason: String, Hashable, Sendable {
    case programmed = "Programmed"
    /// Sent or about to be sent; the gateway has not answered yet.
    case pending = "Pending"
    case tunnelDown = "TunnelDown"
    /// The cluster has an external address of its own, so its routes are withdrawn.
    case clusterPublic = "ClusterPublic"
    /// Another cluster owns the host name.
    case hostnameConflict = "HostnameConflict"
    /// The agent's token does not allow the cluster to serve the host name.
    case hostnameNotAllowed = "HostnameNotAllowed"
    /// Another Ingress of this cluster owns the host and path.
    case routeConflict = "RouteConflict"
    case syncDisabled = "SyncDisabled"
    /// The gateway refused a route for another reason, which the message gives.
    case rejected = "Rejected"
    /// The Ingress yields no routes.
    case noRoutes = "NoRoutes"
}
