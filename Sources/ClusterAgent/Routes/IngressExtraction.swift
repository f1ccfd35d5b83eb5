package import KubernetesAPI
package import Routing

/// What the extraction needs to know about the cluster.
package struct ExtractionSettings: Hashable, Sendable {
    /// `<cluster-uuid>.<gateway domain>`: the host of rules that name none.
    package var clusterHost: Hostname
    /// The DNS domain of Services, usually `cluster.local`.
    package var clusterDomain: String

    package init(clusterHost: Hostname, clusterDomain: String = "cluster.local") {
        self.clusterHost = clusterHost
        self.clusterDomain = clusterDomain
    }
}

/// A route and the Service it leads to inside the cluster.
package struct ExtractedRoute: Hashable, Sendable {
    package var route: Route
    package var target: ForwardTarget

    package init(route: Route, target: ForwardTarget) {
        self.route = route
        self.target = target
    }

    package var key: RouteKey { route.key }
}

/// The routes one Ingress yields, and what is to be said about it.
///
/// | in the Ingress | becomes |
/// |---|---|
/// | a rule's path with a Service backend | a route, if the Service and its port exist |
/// | a rule without host | routes of `<cluster-uuid>.<gateway domain>` |
/// | a rule without paths | all of the host goes to `defaultBackend` |
/// | `defaultBackend` beside rules | prefix `/` of every host of the Ingress that has no such path |
/// | `defaultBackend` alone | prefix `/` of `<cluster-uuid>.<gateway domain>` |
/// | a backend of kind Resource | no route, `ResolvedRefs=False` |
/// | a Service or port that does not exist | no route, `ResolvedRefs=False`; the other paths stay |
/// | a host or path that cannot be served | no route; `Accepted=False` where nothing else is left |
/// | the same host and path twice | the first one, and a note in `Accepted` |
/// | a path that is a regular expression of ingress-nginx | prefix of its literal stem, see `PathPattern` |
/// | several such paths with one stem | one route; the first one's Service, and a note where another has a different one |
///
/// Paths are such patterns with the annotation `nginx.ingress.kubernetes.io/use-regex: "true"`, or with
/// `nginx.ingress.kubernetes.io/rewrite-target`, unless their type is `Exact`.
///
/// The type of a Service and its namespace do not matter, with one exception: `default/kubernetes` is the API server,
/// which is never exposed.
package struct IngressExtraction: Hashable, Sendable {
    /// In the order of the rules.
    package var routes: [ExtractedRoute] = []
    /// Every valid host of the Ingress, in the order of the rules, also where a backend is missing.
    package var hosts: [Hostname] = []
    package var accepted: ConditionVerdict<AcceptedReason>
    package var resolvedRefs: ConditionVerdict<ResolvedRefsReason>

    /// - Parameters:
    ///   - configMap: reads the cache of labelled ConfigMaps; nil: the agent reads none.
    ///   - service: reads the Service cache.
    package init(
        _ ingress: Ingress, settings: ExtractionSettings, configMap: ((ObjectKey) -> ConfigMap?)? = nil,
        service: (ObjectKey) -> Service?
    ) {
        var extractor = IngressExtractor(ingress, settings: settings, configMap: configMap)
        extractor.run(service)
        routes = extractor.routes
        hosts = extractor.hosts
        accepted = extractor.acceptedVerdict
        resolvedRefs = extractor.resolvedRefsVerdict
    }

    /// Every Service that a backend of the Ingress names, for the index from Services to Ingresses.
    package static func services(namedBy ingress: Ingress) -> Set<ObjectKey> {
        let namespace = ingress.metadata.namespace ?? ""
        let paths = (ingress.spec?.rules ?? []).flatMap { $0.http?.paths ?? [] }
        let backends = paths.map(\.backend) + [ingress.spec?.defaultBackend].compactMap { $0 }
        return Set(backends.compactMap(\.service).map { ObjectKey(namespace: namespace, name: $0.name) })
    }

    /// The message of `Accepted` where nothing was left out.
    package static let acceptedMessage = "The Ingress is understood"
}

/// Which annotations of an Ingress travel to the gateway.
package enum AnnotationPolicy {
    /// Nothing else travels: other annotations are written for other readers, and may hold what is not ours to pass on.
    package static let allowedPrefixes = ["gateway.pipeops.io/", "nginx.ingress.kubernetes.io/"]
    /// A route with its annotations must fit one control message.
    package static let maximumBytes = 8 * 1024

    /// The annotations that travel, and those left out because all of them together are too large.
    package static func select(_ annotations: [String: String]?) -> (travelling: [String: String], leftOut: [String]) {
        var travelling: [String: String] = [:]
        var leftOut: [String] = []
        var budget = maximumBytes
        for prefix in allowedPrefixes {
            for (name, value) in (annotations ?? [:]).sorted(by: { $0.key < $1.key }) where name.hasPrefix(prefix) {
                let size = name.utf8.count + value.utf8.count
                guard size <= budget else {
                    leftOut.append(name)
                    continue
                }
                budget -= size
                travelling[name] = value
            }
        }
        return (travelling, leftOut)
    }
}
