import KubernetesAPI

/// The rules of `metadata` that hold for every type.
package enum ObjectMetaRules {
    /// Everything wrong with an object's metadata.
    package static func problems(_ metadata: JSONValue, resource: APIResource) -> [APIStatus.Cause] {
        nameProblems(metadata.text("name"), resource: resource) + labelProblems(metadata)
            + referenceProblems(metadata)
    }

    private static func nameProblems(_ name: String, resource: APIResource) -> [APIStatus.Cause] {
        let field = "metadata.name"
        if name.isEmpty { return [.required(field, "name or generateName is required")] }
        let (fits, rule) =
            switch (resource.group, resource.kind) {
            case ("", "Service"):
                (
                    ObjectNames.isServiceName(name),
                    "a DNS-1035 label must consist of lower case "
                        + "alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric "
                        + "character"
                )
            case ("", "Namespace"):
                (
                    ObjectNames.isLabel(name),
                    "a lowercase RFC 1123 label must consist of lower case "
                        + "alphanumeric characters or '-', and must start and end with an alphanumeric character"
                )
            case ("rbac.authorization.k8s.io", _): (ObjectNames.isPathSegment(name), "may not contain '/' or '%'")
            default:
                (
                    ObjectNames.isSubdomain(name),
                    "a lowercase RFC 1123 subdomain must consist of lower case "
                        + "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
                )
            }
        return fits ? [] : [.invalid(field, .string(name), rule)]
    }

    private static func labelProblems(_ metadata: JSONValue) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        for field in ["labels", "annotations"] {
            for (key, value) in (metadata[field]?.members ?? [:]).sorted(by: { $0.key < $1.key }) {
                if !ObjectNames.isQualifiedName(key) {
                    causes.append(
                        .invalid(
                            "metadata.\(field)", .string(key),
                            "name part must consist of alphanumeric characters, '-', '_' or '.'"))
                }
                guard let text = value.stringValue else {
                    causes.append(.wrongType("metadata.\(field).\(key)", value, expected: "string"))
                    continue
                }
                if field == "labels", !ObjectNames.isLabelValue(text) {
                    causes.append(
                        .invalid(
                            "metadata.labels", .string(text),
                            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
                                + "'.', and must start and end with an alphanumeric character"))
                }
            }
        }
        return causes
    }

    private static func referenceProblems(_ metadata: JSONValue) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        var controllers = 0
        for (index, reference) in metadata.list("ownerReferences").enumerated() {
            for field in ["apiVersion", "kind", "name", "uid"] where reference.text(field).isEmpty {
                causes.append(
                    .invalid("metadata.ownerReferences[\(index)].\(field)", "", "must not be empty"))
            }
            if reference["controller"] == true { controllers += 1 }
        }
        if controllers > 1 {
            causes.append(
                .invalid(
                    "metadata.ownerReferences", metadata["ownerReferences"] ?? [],
                    "Only one reference can have Controller set to true"))
        }
        return causes
    }
}

/// The rules of Namespaces.
package enum NamespaceRules {
    /// A namespace is Active from the start and carries its name as a label.
    package static func setDefaults(_ namespace: inout JSONValue, old: JSONValue?) {
        namespace[path: ["metadata", "labels", "kubernetes.io/metadata.name"]] =
            .string(namespace.text("metadata", "name"))
        if old == nil {
            namespace["spec"] = ["finalizers": ["kubernetes"]]
            namespace["status"] = ["phase": "Active"]
        }
    }
}
