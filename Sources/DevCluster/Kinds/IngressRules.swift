import KubernetesAPI

/// The rules of networking.k8s.io/v1 Ingresses.
package enum IngressRules {
    private static let classAnnotation = "kubernetes.io/ingress.class"

    /// A new Ingress without a class gets the default one, if the cluster has one.
    package static func setDefaults(_ ingress: inout JSONValue, defaultClass: String?) {
        guard let defaultClass, ingress[path: ["spec", "ingressClassName"]] == nil,
            ingress.text("metadata", "annotations", classAnnotation).isEmpty
        else { return }
        ingress[path: ["spec", "ingressClassName"]] = .string(defaultClass)
    }

    /// Everything wrong with an Ingress.
    package static func problems(_ ingress: JSONValue, old: JSONValue?) -> [APIStatus.Cause] {
        let spec = ingress["spec"] ?? [:]
        var causes: [APIStatus.Cause] = []
        let annotation = ingress.text("metadata", "annotations", classAnnotation)
        if old == nil, !annotation.isEmpty, spec["ingressClassName"] != nil {
            causes.append(
                .invalid(
                    "metadata.annotations.\(classAnnotation)", .string(annotation),
                    "can not be set when the class field is also set"))
        }
        if let name = spec["ingressClassName"]?.stringValue, !ObjectNames.isSubdomain(name) {
            causes.append(.invalid("spec.ingressClassName", .string(name), "must be the name of an IngressClass"))
        }
        let backend = spec["defaultBackend"].flatMap { $0.isNull ? nil : $0 }
        if spec.list("rules").isEmpty, backend == nil {
            causes.append(.invalid("spec", [], "either `defaultBackend` or `rules` must be specified"))
        }
        if let backend { causes += backendProblems(backend, at: "spec.defaultBackend") }
        for (index, rule) in spec.list("rules").enumerated() {
            causes += ruleProblems(rule, at: "spec.rules[\(index)]")
        }
        for (index, entry) in spec.list("tls").enumerated() {
            for (position, host) in entry.list("hosts").enumerated() {
                causes += hostProblems(host.stringValue ?? "", at: "spec.tls[\(index)].hosts[\(position)]")
            }
        }
        return causes
    }

    private static func ruleProblems(_ rule: JSONValue, at path: String) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        let host = rule.text("host")
        if !host.isEmpty { causes += hostProblems(host, at: "\(path).host") }
        guard let http = rule["http"], !http.isNull else { return causes }
        if http.list("paths").isEmpty { causes.append(.required("\(path).http.paths")) }
        for (index, entry) in http.list("paths").enumerated() {
            causes += pathProblems(entry, at: "\(path).http.paths[\(index)]")
        }
        return causes
    }

    private static func hostProblems(_ host: String, at path: String) -> [APIStatus.Cause] {
        if ObjectNames.isAddress(host) {
            return [.invalid(path, .string(host), "must be a DNS name, not an IP address")]
        }
        if host.contains("*") {
            return ObjectNames.isWildcardSubdomain(host)
                ? []
                : [
                    .invalid(
                        path, .string(host),
                        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which "
                            + "must consist of lower case alphanumeric characters, '-' or '.' and end with an "
                            + "alphanumeric character")
                ]
        }
        return ObjectNames.isSubdomain(host)
            ? []
            : [
                .invalid(
                    path, .string(host),
                    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
                        + "and must start and end with an alphanumeric character")
            ]
    }

    private static func pathProblems(_ entry: JSONValue, at path: String) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        let text = entry.text("path")
        switch entry["pathType"]?.stringValue {
        case nil, "":
            causes.append(.required("\(path).pathType", "pathType must be specified"))
        case "Exact", "Prefix":
            if !text.hasPrefix("/") {
                causes.append(.invalid("\(path).path", .string(text), "must be an absolute path"))
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"] where text.contains(part) {
                causes.append(.invalid("\(path).path", .string(text), "must not contain '\(part)'"))
            }
            for end in ["/..", "/."] where text.hasSuffix(end) {
                causes.append(.invalid("\(path).path", .string(text), "cannot end with '\(end)'"))
            }
        case "ImplementationSpecific":
            if !text.isEmpty, !text.hasPrefix("/") {
                causes.append(.invalid("\(path).path", .string(text), "must be an absolute path"))
            }
        case let other?:
            causes.append(
                .notSupported("\(path).pathType", .string(other), ["Exact", "ImplementationSpecific", "Prefix"]))
        }
        return causes + backendProblems(entry["backend"] ?? [:], at: "\(path).backend")
    }

    private static func backendProblems(_ backend: JSONValue, at path: String) -> [APIStatus.Cause] {
        let service = backend["service"].flatMap { $0.isNull ? nil : $0 }
        let resource = backend["resource"].flatMap { $0.isNull ? nil : $0 }
        switch (service, resource) {
        case (nil, nil):
            return [.required(path, "port name or number is required")]
        case (_?, _?):
            return [.invalid(path, "", "cannot set both resource and service backends")]
        case (nil, let resource?):
            return ["kind", "name"].filter { resource.text($0).isEmpty }.map { .required("\(path).resource.\($0)") }
        case (let service?, nil):
            return serviceProblems(service, at: "\(path).service")
        }
    }

    private static func serviceProblems(_ service: JSONValue, at path: String) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        let name = service.text("name")
        if name.isEmpty {
            causes.append(.required("\(path).name"))
        } else if !ObjectNames.isServiceName(name) {
            causes.append(.invalid("\(path).name", .string(name), "must be the name of a Service (a DNS-1035 label)"))
        }
        let portName = service.text("port", "name")
        let number = service.integer("port", "number") ?? 0
        switch (portName.isEmpty, number == 0) {
        case (true, true): causes.append(.required("\(path).port", "port name or number is required"))
        case (false, false): causes.append(.invalid("\(path).port", "", "cannot set both port name & port number"))
        case (true, false):
            if !(1...65_535).contains(number) {
                causes.append(
                    .invalid("\(path).port.number", .integer(number), "must be between 1 and 65535, inclusive"))
            }
        case (false, true):
            if !ObjectNames.isLabel(portName) || portName.utf8.count > 15 {
                causes.append(.invalid("\(path).port.name", .string(portName), "must be a valid port name"))
            }
        }
        return causes
    }
}
