import KubernetesAPI

/// The rules of apiextensions.k8s.io/v1 CustomResourceDefinitions.
package enum DefinitionRules {
    /// Fills in names and the status: a definition is established as soon as it is accepted.
    package static func setDefaults(_ definition: inout JSONValue, old: JSONValue?, time: String) {
        var names = definition[path: ["spec", "names"]] ?? [:]
        let kind = names.text("kind")
        if names.text("singular").isEmpty { names["singular"] = .string(kind.lowercased()) }
        if names.text("listKind").isEmpty { names["listKind"] = .string("\(kind)List") }
        definition[path: ["spec", "names"]] = names
        if definition[path: ["spec", "conversion"]] == nil {
            definition[path: ["spec", "conversion"]] = ["strategy": "None"]
        }
        var status = definition["status"] ?? [:]
        status["acceptedNames"] = names
        if status.list("conditions").isEmpty {
            status["conditions"] = [
                [
                    "type": "NamesAccepted", "status": "True", "reason": "NoConflicts",
                    "message": "no conflicts found", "lastTransitionTime": .string(time),
                ],
                [
                    "type": "Established", "status": "True", "reason": "InitialNamesAccepted",
                    "message": "the initial names have been accepted", "lastTransitionTime": .string(time),
                ],
            ]
        }
        let storage = definition.list("spec", "versions").first { $0["storage"] == true }?["name"]
        var versions = status.list("storedVersions")
        if let storage, !versions.contains(storage) { versions.append(storage) }
        status["storedVersions"] = .array(versions)
        definition["status"] = status
    }

    /// Everything wrong with a definition.
    package static func problems(_ definition: JSONValue, old: JSONValue?) -> [APIStatus.Cause] {
        let spec = definition["spec"] ?? [:]
        var causes: [APIStatus.Cause] = []
        for field in ["group", "scope"] where spec.text(field).isEmpty { causes.append(.required("spec.\(field)")) }
        for field in ["plural", "kind"] where spec.text("names", field).isEmpty {
            causes.append(.required("spec.names.\(field)"))
        }
        let scope = spec.text("scope")
        if !scope.isEmpty, !["Cluster", "Namespaced"].contains(scope) {
            causes.append(.notSupported("spec.scope", .string(scope), ["Cluster", "Namespaced"]))
        }
        let expected = "\(spec.text("names", "plural")).\(spec.text("group"))"
        if definition.text("metadata", "name") != expected {
            causes.append(
                .invalid(
                    "metadata.name", .string(definition.text("metadata", "name")),
                    "must be spec.names.plural+\".\"+spec.group"))
        }
        if let old {
            for field in ["group", "scope"] where old.text("spec", field) != spec.text(field) {
                causes.append(.invalid("spec.\(field)", spec[field] ?? "", "field is immutable"))
            }
        }
        let versions = spec.list("versions")
        if versions.isEmpty { causes.append(.required("spec.versions")) }
        if versions.count(where: { $0["storage"] == true }) != 1 {
            causes.append(
                .invalid(
                    "spec.versions", .strings(versions.map { $0.text("name") }),
                    "must have exactly one version marked as storage version"))
        }
        for (index, version) in versions.enumerated() {
            causes += versionProblems(version, at: "spec.versions[\(index)]")
        }
        return causes
    }

    private static func versionProblems(_ version: JSONValue, at path: String) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        if !ObjectNames.isLabel(version.text("name")) {
            causes.append(.invalid("\(path).name", version["name"] ?? "", "must be a DNS-1035 label"))
        }
        let schemaPath = "\(path).schema.openAPIV3Schema"
        if let schema = version[path: ["schema", "openAPIV3Schema"]] {
            let structural = StructuralSchema(json: schema)
            if structural.type != "object" {
                causes.append(
                    .invalid("\(schemaPath).type", .string(structural.type), "must be \"object\" at the root"))
            }
            causes += structural.problems(at: schemaPath)
        } else {
            causes.append(.required("\(path).schema.openAPIV3Schema", "schemas are required"))
        }
        for (index, column) in version.list("additionalPrinterColumns").enumerated() {
            let columnPath = "\(path).additionalPrinterColumns[\(index)]"
            let types = ["boolean", "date", "integer", "number", "string"]
            if !types.contains(column.text("type")) {
                causes.append(.notSupported("\(columnPath).type", column["type"] ?? "", types))
            }
            do {
                _ = try JSONPath(column.text("jsonPath"))
            } catch {
                causes.append(.invalid("\(columnPath).jsonPath", column["jsonPath"] ?? "", "\(error)"))
            }
        }
        return causes
    }
}
