import KubernetesAPI
import Routing
import Settings

/// Walks through one Ingress and collects routes and problems.
struct IngressExtractor {
    private(set) var routes: [ExtractedRoute] = []
    private(set) var hosts: [Hostname] = []

    private let spec: Ingress.Spec
    private let namespace: String
    private let settings: ExtractionSettings
    private var annotations: [String: String]
    /// What the Ingress says about the way to its backends.
    private let backends: BackendAnnotations
    /// Whether the paths are patterns of the ingress controller's.
    private let hasPatterns: Bool
    /// What stands in the way of a rule, and what is worth a remark although nothing is in the way.
    private var specProblems: [(reason: AcceptedReason, message: String)] = []
    private var notes: [String] = []
    private var hints: [String] = []
    private var refProblems: [(reason: ResolvedRefsReason, message: String)] = []
    /// Keys that a path of the Ingress asks for, also where its backend is missing.
    private var claims: [RouteKey: Claim] = [:]

    private struct Claim {
        /// The path was a pattern, of which the key is the stem.
        var isStem: Bool
        /// Nil where it is missing.
        var backend: ResolvedBackend?
    }

    init(_ ingress: Ingress, settings: ExtractionSettings, configMap: ((ObjectKey) -> ConfigMap?)?) {
        spec = ingress.spec ?? Ingress.Spec()
        namespace = ingress.metadata.namespace ?? ""
        self.settings = settings
        hasPatterns = PathPattern.isEnabled(by: ingress.metadata.annotations)
        let selected = AnnotationPolicy.select(ingress.metadata.annotations)
        annotations = selected.travelling
        backends = BackendAnnotations(ingress.metadata.annotations ?? [:], namespace: namespace)
        hints = backends.remarks
        annotations[OfflinePage.annotation] = nil
        let page = OfflinePage(ingress.metadata.annotations, namespace: namespace, configMap: configMap)
        annotations[OfflinePage.contentAnnotation] = page.content
        if let remark = page.remark { hints.append(remark) }
        if !selected.leftOut.isEmpty {
            notes.append(
                "annotations \(Self.few(selected.leftOut, separator: ", ", rest: " and")) are not passed on: "
                    + "together they are larger than \(AnnotationPolicy.maximumBytes) bytes")
        }
    }

    mutating func run(_ service: (ObjectKey) -> Service?) {
        let rules = spec.rules ?? []
        for (index, rule) in rules.enumerated() { visit(rule, at: "spec.rules[\(index)]", service) }
        guard let backend = spec.defaultBackend else { return }
        if rules.isEmpty { add(host: settings.clusterHost) }
        visitDefaultBackend(backend, service)
    }

    private mutating func visit(_ rule: Ingress.Rule, at field: String, _ service: (ObjectKey) -> Service?) {
        guard let host = host(of: rule, at: field) else { return }
        let paths = rule.http?.paths ?? []
        guard !paths.isEmpty || spec.defaultBackend != nil else {
            specProblems.append((.noUsableRule, "\(field) has no paths, and there is no spec.defaultBackend"))
            return
        }
        add(host: host)
        for (index, path) in paths.enumerated() {
            visit(path, of: host, at: "\(field).http.paths[\(index)]", service)
        }
    }

    private mutating func host(of rule: Ingress.Rule, at field: String) -> Hostname? {
        guard let text = rule.host, !text.isEmpty else { return settings.clusterHost }
        guard IPAddress(text) == nil else {
            specProblems.append((.invalidHost, "\(field).host \"\(text)\" is an IP address, not a name"))
            return nil
        }
        do {
            return try Hostname(text)
        } catch {
            specProblems.append((.invalidHost, "\(field).\(error.description)"))
            return nil
        }
    }

    private mutating func add(host: Hostname) {
        if !hosts.contains(host) { hosts.append(host) }
    }

    private mutating func visit(
        _ path: Ingress.Path, of host: Hostname, at field: String, _ service: (ObjectKey) -> Service?
    ) {
        guard var (text, type) = pathAndType(of: path, at: field) else { return }
        let stem = hasPatterns && type != .exact ? PathPattern.stem(of: text) : nil
        if let stem { (text, type) = (stem, .prefix) }
        let key = RouteKey(host: host, match: PathMatch(path: text, type: type))
        let first = claims[key]
        guard first == nil || first?.isStem == true || stem != nil else {
            notes.append("\(field) repeats \(type.rawValue) path \"\(text)\" of host \(host) and is left out")
            return
        }
        let backend = resolve(path.backend, at: "\(field).backend", service)
        guard let served = first?.backend else {
            // A pattern may take the place of one whose backend is missing: they are different paths.
            claims[key] = Claim(isStem: stem != nil || first != nil, backend: backend)
            if let backend { append(backend, host: host, path: text, type: type) }
            return
        }
        guard let backend, backend != served else { return }
        hints.append(
            "\(field).path \"\(path.path ?? "")\" is covered by prefix \"\(text)\" of host \(host), which leads to "
                + "Service \(served.target.service); only an ingress controller can tell them apart")
    }

    private mutating func pathAndType(of path: Ingress.Path, at field: String) -> (String, PathType)? {
        guard let type = PathType(rawValue: path.pathType ?? "") else {
            let found = path.pathType.map { "\"\($0)\"" } ?? "missing"
            let known = PathType.allCases.map(\.rawValue).joined(separator: ", ")
            specProblems.append((.invalidPath, "\(field).pathType is \(found), not one of \(known)"))
            return nil
        }
        var text = path.path ?? ""
        // The API lets only this type do without a path; it then stands for all of them.
        if text.isEmpty, type == .implementationSpecific { text = "/" }
        guard text.utf8.first == UInt8(ascii: "/") else {
            specProblems.append((.invalidPath, "\(field).path \"\(text)\" does not start with a slash"))
            return nil
        }
        guard text.utf8.count <= Self.longestPath else {
            specProblems.append((.invalidPath, "\(field).path is longer than \(Self.longestPath) bytes"))
            return nil
        }
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            specProblems.append((.invalidPath, "\(field).path has a control character"))
            return nil
        }
        return (text, type)
    }

    private static let longestPath = 4096

    private mutating func visitDefaultBackend(_ backend: Ingress.Backend, _ service: (ObjectKey) -> Service?) {
        let root = PathMatch(path: "/", type: .prefix)
        let uncovered = hosts.filter { claims[RouteKey(host: $0, match: root)] == nil }
        guard let resolved = resolve(backend, at: "spec.defaultBackend", service) else { return }
        for host in uncovered { append(resolved, host: host, path: "/", type: .prefix) }
    }

    private mutating func append(_ backend: ResolvedBackend, host: Hostname, path: String, type: PathType) {
        let route = Route(
            host: host, path: path, pathType: type, service: backend.target.service.name, namespace: namespace,
            port: backend.port, tls: asksForTLS(host), annotations: annotations)
        routes.append(ExtractedRoute(route: route, target: backend.target))
    }

    /// A TLS entry without hosts stands for all of them; a wildcard there covers one label, as in rules.
    private func asksForTLS(_ host: Hostname) -> Bool {
        (spec.tls ?? []).contains { entry in
            guard let names = entry.hosts, !names.isEmpty else { return true }
            return names.contains { name in
                guard let listed = try? Hostname(name) else { return false }
                if listed == host { return true }
                guard listed.isWildcard, !host.isWildcard, let dot = host.text.firstIndex(of: ".") else {
                    return false
                }
                return host.text[dot...] == listed.text.dropFirst()
            }
        }
    }
}

// MARK: - Backends

extension IngressExtractor {
    struct ResolvedBackend: Hashable {
        var port: Int
        var target: ForwardTarget
    }

    private mutating func resolve(
        _ backend: Ingress.Backend, at field: String, _ lookup: (ObjectKey) -> Service?
    ) -> ResolvedBackend? {
        guard let named = backend.service else {
            let found = backend.resource.map { "\(field).resource is of kind \($0.kind)" } ?? "\(field) names nothing"
            refProblems.append((.unsupportedBackend, "\(found); only Services can be served"))
            return nil
        }
        let key = ObjectKey(namespace: namespace, name: named.name)
        guard key != Self.apiServer else {
            refProblems.append(
                (.unsupportedBackend, "\(field).service is the Kubernetes API server, which is never exposed"))
            return nil
        }
        guard let service = lookup(key) else {
            refProblems.append((.serviceNotFound, "\(field).service: Service \(key) does not exist"))
            return nil
        }
        guard let port = port(named.port, of: service, at: field) else { return nil }
        guard let endpoint = endpoint(of: service, port: port) else {
            refProblems.append((.serviceNotFound, "\(field).service: Service \(key) has no cluster IP"))
            return nil
        }
        // The name that issuers inside clusters give; a Service that is another's name has that one.
        let name =
            service.spec?.type == "ExternalName" ? service.spec?.externalName ?? "" : "\(key.name).\(key.namespace).svc"
        return ResolvedBackend(
            port: port.port,
            target: ForwardTarget(
                endpoint: endpoint, service: key,
                transport: backends.transport(appProtocol: port.appProtocol, name: name),
                controllerTLS: backends.tls(name: "")))
    }

    private static let apiServer = ObjectKey(namespace: "default", name: "kubernetes")

    private mutating func port(_ wanted: Ingress.Port?, of service: Service, at field: String) -> Service.Port? {
        let ports = service.spec?.ports ?? []
        let matching: [Service.Port]
        let what: String
        if let name = wanted?.name, !name.isEmpty {
            matching = ports.filter { $0.name == name }
            what = "\(field).service.port.name: Service \(service.key) has no port named \"\(name)\""
        } else if let number = wanted?.number {
            matching = ports.filter { $0.port == number }
            what = "\(field).service.port.number: Service \(service.key) has no port \(number)"
            // The ports of an ExternalName Service are informative; it has none of its own to check.
            if matching.isEmpty, service.spec?.type == "ExternalName" { return Service.Port(port: number) }
        } else {
            matching = []
            what = "\(field).service.port names no port of Service \(service.key)"
        }
        guard let first = matching.first else {
            refProblems.append((.portNotFound, what))
            return nil
        }
        guard let overTCP = matching.first(where: { ($0.protocol ?? "TCP") == "TCP" }) else {
            let transport = first.protocol ?? "TCP"
            refProblems.append(
                (.portNotFound, "\(field).service.port: port \(first.port) of Service \(service.key) is \(transport)"))
            return nil
        }
        return overTCP
    }

    private func endpoint(of service: Service, port: Service.Port) -> ForwardTarget.Endpoint? {
        if let ip = service.usableClusterIP { return .address(ip: ip, port: port.port) }
        if service.spec?.type == "ExternalName" {
            // What the cluster's name server would answer, and right outside the cluster's network, too.
            guard let external = service.spec?.externalName, !external.isEmpty else { return nil }
            return .name(external, port: port.port)
        }
        guard service.isHeadless else { return nil }
        let key = service.key
        let name = "\(key.name).\(key.namespace).svc.\(settings.clusterDomain)"
        // Nothing translates ports in front of a headless Service: the pods themselves are connected to.
        guard case .int(let podPort) = port.targetPort, podPort > 0 else { return .name(name, port: port.port) }
        return .name(name, port: podPort)
    }
}

// MARK: - Verdicts

extension IngressExtractor {
    var acceptedVerdict: ConditionVerdict<AcceptedReason> {
        guard !(spec.rules ?? []).isEmpty || spec.defaultBackend != nil else {
            return .init(
                isTrue: false, reason: .noRules, message: "The Ingress has neither rules nor a default backend")
        }
        // A path that is only short of its Service is understood; ResolvedRefs says what it is short of.
        let understood = !routes.isEmpty || refProblems.contains { $0.reason != .unsupportedBackend }
        let remarks = specProblems.map(\.message) + notes
        if understood {
            var message = remarks.isEmpty ? IngressExtraction.acceptedMessage : "Left out: \(Self.sentence(remarks))"
            if !hints.isEmpty { message += ". Note: \(Self.sentence(hints))" }
            return .init(isTrue: true, reason: .accepted, message: message)
        }
        var reasons = Set(specProblems.map(\.reason))
        if !refProblems.isEmpty { reasons.insert(.unsupportedBackend) }
        let reason = reasons.count == 1 ? reasons.first ?? .noUsableRule : .noUsableRule
        return .init(
            isTrue: false, reason: reason,
            message: "No rule can be served: \(Self.sentence(specProblems.map(\.message) + refProblems.map(\.message)))"
        )
    }

    var resolvedRefsVerdict: ConditionVerdict<ResolvedRefsReason> {
        guard let first = refProblems.first else {
            return .init(isTrue: true, reason: .resolvedRefs, message: "Every Service and port exists")
        }
        return .init(isTrue: false, reason: first.reason, message: Self.sentence(refProblems.map(\.message)))
    }

    /// A few of the remarks, so that an Ingress with hundreds of bad paths has a readable condition.
    private static func sentence(_ remarks: [String]) -> String { few(remarks, separator: "; ", rest: "; and") }

    private static func few(_ things: [String], separator: String, rest: String) -> String {
        let shown = things.prefix(5).joined(separator: separator)
        return things.count > 5 ? "\(shown)\(rest) \(things.count - 5) more" : shown
    }
}
