/// Every type the server knows: the built-in ones and those that CustomResourceDefinitions add.
package struct ResourceCatalog: Sendable {
    /// An API group's version.
    package struct GroupVersion: Hashable, Sendable {
        package var group: String
        package var version: String
    }

    private var resources: [GroupVersion: [String: APIResource]] = [:]
    private var custom: Set<GroupVersion> = []
    /// In the order in which they came, preferred versions first.
    private var order: [GroupVersion] = []

    /// The built-in types.
    package init() {
        for resource in APIResource.builtIn { add(resource) }
    }

    private mutating func add(_ resource: APIResource) {
        let key = GroupVersion(group: resource.group, version: resource.version)
        if resources[key] == nil { order.append(key) }
        resources[key, default: [:]][resource.plural] = resource
    }

    /// The type a URL names.
    package func resource(group: String, version: String, plural: String) -> APIResource? {
        resources[GroupVersion(group: group, version: version)]?[plural]
    }

    /// The types of a group and version, by name.
    package func resources(group: String, version: String) -> [APIResource] {
        (resources[GroupVersion(group: group, version: version)] ?? [:]).values.sorted { $0.plural < $1.plural }
    }

    /// The named groups, each with its versions, preferred first. The core group is not among them.
    package var groups: [(name: String, versions: [String])] {
        var names: [String] = []
        var versions: [String: [String]] = [:]
        for key in order where !key.group.isEmpty {
            if versions[key.group] == nil { names.append(key.group) }
            versions[key.group, default: []].append(key.version)
        }
        return names.map { ($0, versions[$0] ?? []) }
    }

    /// Every group and version, the core group's included.
    package var groupVersions: [GroupVersion] { order }

    /// A served version of the type kept in `storage`.
    package func anyResource(storage: String) -> APIResource? {
        for key in order {
            if let match = resources[key]?.values.first(where: { $0.storage == storage }) { return match }
        }
        return nil
    }

    /// Every storage with namespaced objects.
    package var namespacedStorages: Set<String> {
        Set(resources.values.flatMap(\.values).filter { $0.isNamespaced && $0.rules != .review }.map(\.storage))
    }

    /// Serves the types of a CustomResourceDefinition, in place of what an earlier form of it defined.
    package mutating func install(_ definition: JSONValue) {
        uninstall(definition)
        for resource in APIResource.custom(definition) {
            add(resource)
            custom.insert(GroupVersion(group: resource.group, version: resource.version))
        }
    }

    /// Stops serving the types of a CustomResourceDefinition.
    package mutating func uninstall(_ definition: JSONValue) {
        let storage = definition.text("metadata", "name")
        for key in custom {
            resources[key] = resources[key]?.filter { $0.value.storage != storage }
            if resources[key]?.isEmpty ?? true {
                resources[key] = nil
                custom.remove(key)
                order.removeAll { $0 == key }
            }
        }
    }
}

extension APIResource {
    /// The types a CustomResourceDefinition defines: one for each served version.
    package static func custom(_ definition: JSONValue) -> [APIResource] {
        let spec = definition["spec"] ?? [:]
        let names = spec["names"] ?? [:]
        let versions = spec.list("versions")
        let storageVersion = versions.first { $0["storage"] == true }?.text("name") ?? ""
        return versions.filter { $0["served"] == true }.map { version in
            var resource = APIResource(
                group: spec.text("group"), version: version.text("name"), kind: names.text("kind"),
                plural: names.text("plural"), singular: names.text("singular"),
                isNamespaced: spec.text("scope") == "Namespaced")
            resource.shortNames = names.list("shortNames").compactMap(\.stringValue)
            resource.categories = names.list("categories").compactMap(\.stringValue)
            resource.hasStatus = version[path: ["subresources", "status"]] != nil
            resource.storage = definition.text("metadata", "name")
            resource.storageVersion = storageVersion
            resource.rules = .custom
            let schema = version[path: ["schema", "openAPIV3Schema"]].map { StructuralSchema(json: $0) } ?? .anything
            resource.schema = schema
            resource.shape = schema.shape
            resource.shape.fields["metadata"] = .objectMeta
            let columns = version.list("additionalPrinterColumns").compactMap { try? TableColumn.custom($0) }
            resource.columns = columns.isEmpty ? TableColumn.nameAndAge : [TableColumn.name] + columns
            for field in version.list("selectableFields") {
                resource.selectableFields.insert(String(field.text("jsonPath").drop { $0 == "." }))
            }
            resource.allowsStrategicMerge = false
            resource.allowsUnconditionalUpdate = false
            return resource
        }
    }
}
