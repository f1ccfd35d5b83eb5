/// The discovery documents: which groups, versions and types there are, one by one or all at once (aggregated).
package struct Discovery: Sendable {
    private let catalog: ResourceCatalog

    package init(catalog: ResourceCatalog) {
        self.catalog = catalog
    }

    /// `/api`.
    package var coreVersions: JSONValue {
        ["kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []]
    }

    /// `/apis`.
    package var groups: JSONValue {
        [
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": .array(catalog.groups.map { Self.group($0.name, versions: $0.versions) }),
        ]
    }

    /// `/apis/GROUP`; nil if there is none.
    package func group(_ name: String) -> JSONValue? {
        guard let group = catalog.groups.first(where: { $0.name == name }) else { return nil }
        var document = Self.group(name, versions: group.versions)
        document["kind"] = "APIGroup"
        document["apiVersion"] = "v1"
        return document
    }

    private static func group(_ name: String, versions: [String]) -> JSONValue {
        let all: [JSONValue] = versions.map {
            ["groupVersion": .string("\(name)/\($0)"), "version": .string($0)]
        }
        return ["name": .string(name), "versions": .array(all), "preferredVersion": all.first ?? [:]]
    }

    /// `/api/v1` and `/apis/GROUP/VERSION`; nil if there is none.
    package func resources(group: String, version: String) -> JSONValue? {
        let resources = catalog.resources(group: group, version: version)
        guard !resources.isEmpty else { return nil }
        return [
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": .string(group.isEmpty ? version : "\(group)/\(version)"),
            "resources": .array(resources.flatMap(Self.entries)),
        ]
    }

    private static func entries(_ resource: APIResource) -> [JSONValue] {
        var entry: JSONValue = [
            "name": .string(resource.plural), "singularName": .string(resource.singular),
            "namespaced": .bool(resource.isNamespaced), "kind": .string(resource.kind),
            "verbs": .strings(resource.verbs),
        ]
        if !resource.shortNames.isEmpty { entry["shortNames"] = .strings(resource.shortNames) }
        if !resource.categories.isEmpty { entry["categories"] = .strings(resource.categories) }
        guard resource.hasStatus else { return [entry] }
        let status: JSONValue = [
            "name": .string("\(resource.plural)/status"), "singularName": "",
            "namespaced": .bool(resource.isNamespaced), "kind": .string(resource.kind),
            "verbs": ["get", "patch", "update"],
        ]
        return [entry, status]
    }

    /// The version of the aggregated document that the client prefers, or nil if it wants the single ones.
    package static func aggregatedVersion(accept: String) -> String? {
        for clause in accept.split(separator: ",") where clause.contains("as=APIGroupDiscoveryList") {
            if clause.contains("v=v2beta1") { return "v2beta1" }
            if clause.contains("v=v2") { return "v2" }
        }
        return nil
    }

    /// `/api` or `/apis` as one document with everything in it.
    package func aggregated(core: Bool, version: String) -> JSONValue {
        let groups = core ? [(name: "", versions: ["v1"])] : catalog.groups
        return [
            "kind": "APIGroupDiscoveryList", "apiVersion": .string("apidiscovery.k8s.io/\(version)"),
            "metadata": [:],
            "items": .array(
                groups.map { group in
                    [
                        "metadata": ["name": .string(group.name), "creationTimestamp": .null],
                        "versions": .array(group.versions.map { aggregated(group: group.name, version: $0) }),
                    ]
                }),
        ]
    }

    private func aggregated(group: String, version: String) -> JSONValue {
        let resources = catalog.resources(group: group, version: version)
        return [
            "version": .string(version), "freshness": "Current",
            "resources": .array(resources.map(Self.aggregatedEntry)),
        ]
    }

    private static func aggregatedEntry(_ resource: APIResource) -> JSONValue {
        let kind: JSONValue = [
            "group": .string(resource.group), "version": .string(resource.version), "kind": .string(resource.kind),
        ]
        var entry: JSONValue = [
            "resource": .string(resource.plural), "singularResource": .string(resource.singular),
            "scope": .string(resource.isNamespaced ? "Namespaced" : "Cluster"), "responseKind": kind,
            "verbs": .strings(resource.verbs),
        ]
        if !resource.shortNames.isEmpty { entry["shortNames"] = .strings(resource.shortNames) }
        if !resource.categories.isEmpty { entry["categories"] = .strings(resource.categories) }
        if resource.hasStatus {
            entry["subresources"] = [
                ["subresource": "status", "responseKind": kind, "verbs": ["get", "patch", "update"]]
            ]
        }
        return entry
    }
}
