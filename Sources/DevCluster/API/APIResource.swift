/// One type of object that the API serves: how it is named in URLs, what it can do, how it merges and prints.
package struct APIResource: Sendable {
    package var group: String
    package var version: String
    package var kind: String
    package var plural: String
    package var singular: String
    package var shortNames: [String] = []
    package var categories: [String] = []
    package var isNamespaced: Bool
    package var hasStatus = false
    package var verbs: [String] = APIResource.allVerbs
    /// Where the objects are kept; two versions of one type share it.
    package var storage: String
    /// The version in whose spelling objects are kept.
    package var storageVersion: String
    package var rules: ResourceRules = .plain
    package var shape: MergeShape = .objectMetaOnly
    package var columns: [TableColumn] = TableColumn.nameAndAge
    /// What `fieldSelector` may name, in the spelling of this version.
    package var selectableFields: Set<String> = ["metadata.name", "metadata.namespace"]
    /// The schema of a custom resource; nil for built-in types.
    package var schema: StructuralSchema?
    /// Whether a strategic merge patch is read: built-in types only.
    package var allowsStrategicMerge = true
    /// Whether a PUT without a resource version overwrites.
    package var allowsUnconditionalUpdate = true

    package init(
        group: String, version: String, kind: String, plural: String, singular: String? = nil, isNamespaced: Bool
    ) {
        self.group = group
        self.version = version
        self.kind = kind
        self.plural = plural
        self.singular = singular ?? kind.lowercased()
        self.isNamespaced = isNamespaced
        self.storage = group.isEmpty ? plural : "\(plural).\(group)"
        self.storageVersion = version
    }

    package static let allVerbs = [
        "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch",
    ]

    /// `v1` or `group/version`.
    package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// `services` or `ingresses.networking.k8s.io`.
    package var qualifiedName: String { group.isEmpty ? plural : "\(plural).\(group)" }

    package var listKind: String { "\(kind)List" }

    /// The `details` of a Status about one of these objects.
    package func details(_ name: String) -> [String: JSONValue] {
        var details: [String: JSONValue] = ["name": .string(name), "kind": .string(plural)]
        if !group.isEmpty { details["group"] = .string(group) }
        return details
    }

    /// 422 about one of these objects, if there is anything to say.
    package func check(_ causes: [APIStatus.Cause], name: String) throws(APIStatus) {
        if !causes.isEmpty { throw .invalid(kind: kind, group: group, name: name, causes) }
    }

    /// A stored object in the spelling of this version.
    package func served(_ stored: JSONValue) -> JSONValue {
        var object =
            rules == .event && group == "events.k8s.io" ? EventConversion.eventsGroup(fromCore: stored) : stored
        object["apiVersion"] = .string(apiVersion)
        object["kind"] = .string(kind)
        return object
    }

    /// An object of this version in the spelling in which it is kept.
    package func stored(_ served: JSONValue) -> JSONValue {
        var object =
            rules == .event && group == "events.k8s.io" ? EventConversion.core(fromEventsGroup: served) : served
        object["apiVersion"] = .string(
            rules == .event ? "v1" : group.isEmpty ? storageVersion : "\(group)/\(storageVersion)")
        return object
    }
}

/// The behaviour of a type beyond storing objects.
package enum ResourceRules: Hashable, Sendable {
    case plain
    case namespace
    case service
    case ingress
    case event
    case customResourceDefinition
    case custom
    /// `spec` changes raise `metadata.generation`; `status` has its own subresource.
    case specAndStatus
    /// Not stored: the server answers at once.
    case review
}
