/// Who a change is made by, as `metadata.managedFields` records it.
package struct FieldManager: Hashable, Sendable {
    /// Whether the manager declares what it wants (`Apply`) or changes what is there (`Update`).
    package enum Operation: String, Hashable, Sendable {
        case apply = "Apply"
        case update = "Update"
    }

    package var name: String
    package var operation: Operation
    package var apiVersion: String
    /// "" for the object itself, otherwise the subresource it was changed through.
    package var subresource: String

    package init(name: String, operation: Operation, apiVersion: String, subresource: String = "") {
        self.name = name
        self.operation = operation
        self.apiVersion = apiVersion
        self.subresource = subresource
    }
}

/// `metadata.managedFields`: which field manager owns which fields, since when.
package struct ManagedFields: Hashable, Sendable {
    /// What one manager owns.
    package struct Entry: Hashable, Sendable {
        package var fields: FieldSet
        /// RFC 3339.
        package var time: String
    }

    package var entries: [FieldManager: Entry] = [:]

    package init() {}

    /// Reads the array in an object's metadata.
    package init(json: JSONValue?) {
        for item in json?.elements ?? [] {
            guard let operation = FieldManager.Operation(rawValue: item.text("operation")) else { continue }
            let manager = FieldManager(
                name: item.text("manager"), operation: operation, apiVersion: item.text("apiVersion"),
                subresource: item.text("subresource"))
            entries[manager] = Entry(fields: FieldSet(json: item["fieldsV1"] ?? .null), time: item.text("time"))
        }
    }

    /// The array, applying managers first, then by time and name as the real server sorts it.
    package var json: JSONValue {
        let sorted = entries.sorted { left, right in
            let l = (left.key.operation.rawValue, left.value.time, left.key.name, left.key.subresource)
            let r = (right.key.operation.rawValue, right.value.time, right.key.name, right.key.subresource)
            return l < r
        }
        return .array(
            sorted.map { manager, entry in
                var item: JSONValue = [
                    "manager": .string(manager.name), "operation": .string(manager.operation.rawValue),
                    "apiVersion": .string(manager.apiVersion), "time": .string(entry.time), "fieldsType": "FieldsV1",
                    "fieldsV1": entry.fields.json,
                ]
                if !manager.subresource.isEmpty { item["subresource"] = .string(manager.subresource) }
                return item
            })
    }

    /// What an update that turned `old` into `new` does to ownership: the manager gains what it changed, everyone loses
    /// what was changed or removed.
    package mutating func recordUpdate(
        by manager: FieldManager, from old: JSONValue, to new: JSONValue, shape: MergeShape, scope: FieldScope,
        time: String
    ) {
        let comparison = FieldComparison(
            from: Self.withoutServerFields(old), to: Self.withoutServerFields(new), shape: shape)
        let changed = scope.restrict(comparison.changed)
        let removed = scope.restrict(comparison.removed)
        guard !changed.isEmpty || !removed.isEmpty else { return }
        release(changed.union(removed), except: manager)
        let owned = entries[manager]?.fields ?? FieldSet()
        let fields = owned.subtracting(removed).union(changed)
        if fields != owned { entries[manager] = Entry(fields: fields, time: time) }
        dropEmpty()
    }

    /// Takes the paths of `set` from every manager but one.
    package mutating func release(_ set: FieldSet, except keeper: FieldManager) {
        for (manager, entry) in entries where manager != keeper {
            let rest = entry.fields.subtracting(set)
            if rest != entry.fields { entries[manager] = Entry(fields: rest, time: entry.time) }
        }
    }

    package mutating func dropEmpty() {
        entries = entries.filter { !$0.value.fields.isEmpty }
    }

    /// The object without the parts nobody can own.
    package static func withoutServerFields(_ object: JSONValue) -> JSONValue {
        var result = object
        result["apiVersion"] = nil
        result["kind"] = nil
        guard var metadata = result["metadata"] else { return result }
        for name in [
            "name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields",
            "resourceVersion", "clusterName", "deletionTimestamp", "deletionGracePeriodSeconds",
        ] { metadata[name] = nil }
        result["metadata"] = metadata.isEmptyOrNull ? nil : metadata
        return result
    }
}

/// Which part of an object a request through a (sub)resource can change, and so own.
package enum FieldScope: Hashable, Sendable {
    case everything
    case exceptStatus
    case onlyStatus

    package func restrict(_ set: FieldSet) -> FieldSet {
        switch self {
        case .everything: set
        case .exceptStatus: set.removing([.field("status")])
        case .onlyStatus: set.keeping([.field("status")])
        }
    }
}
