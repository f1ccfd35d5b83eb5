/// Server-side apply: merges what a manager declares into what is there, with ownership per field.
///
/// See https://kubernetes.io/docs/reference/using-api/server-side-apply/. A field applied with another value than the live
/// one conflicts if another manager owns it; a field that a manager applied earlier and no longer applies is removed
/// unless somebody else owns it too.
package struct ServerSideApply: Sendable {
    /// What the other managers would lose.
    package struct Conflict: Error, Hashable, Sendable {
        package var contested: [FieldManager: FieldSet]

        /// The same as readable paths.
        package var fields: [FieldManager: [String]] { contested.mapValues(\.readablePaths) }

        /// Whether everything contested is in `set`.
        package func isCovered(by set: FieldSet) -> Bool {
            contested.values.allSatisfy { $0.subtracting(set).isEmpty }
        }

        /// The refusal as the API spells it.
        package var status: APIStatus {
            let sorted = fields.sorted { ($0.key.name, $0.key.subresource) < ($1.key.name, $1.key.subresource) }
            let count = sorted.reduce(0) { $0 + $1.value.count }
            func describe(_ manager: FieldManager) -> String {
                "\"\(manager.name)\""
                    + (manager.subresource.isEmpty ? "" : " with subresource \"\(manager.subresource)\"")
                    + " using \(manager.apiVersion)"
            }
            let causes = sorted.flatMap { manager, paths in
                paths.map { path in
                    APIStatus.Cause(
                        reason: "FieldManagerConflict", message: "conflict with \(describe(manager))", field: path)
                }
            }
            let message: String
            if count == 1, let (manager, paths) = sorted.first {
                message = "Apply failed with 1 conflict: conflict with \(describe(manager)): \(paths[0])"
            } else {
                let groups = sorted.map { manager, paths in
                    "conflicts with \(describe(manager)):\n" + paths.map { "- \($0)" }.joined(separator: "\n")
                }
                message = "Apply failed with \(count) conflicts: " + groups.joined(separator: "\n")
            }
            return .applyConflict(message: message, causes: causes)
        }
    }

    /// The outcome: the object (its own `managedFields` untouched) and the new ownership.
    package struct Result: Hashable, Sendable {
        package var object: JSONValue
        package var managedFields: ManagedFields

        package init(object: JSONValue, managedFields: ManagedFields) {
            self.object = object
            self.managedFields = managedFields
        }
    }

    package let manager: FieldManager
    package var force: Bool
    package let shape: MergeShape
    package let scope: FieldScope

    package init(manager: FieldManager, force: Bool, shape: MergeShape, scope: FieldScope) {
        self.manager = manager
        self.force = force
        self.shape = shape
        self.scope = scope
    }

    /// Applies `applied` to `live`.
    ///
    /// - Parameter time: The RFC 3339 time of ownership that changes hands now.
    /// - Throws: ``Conflict`` unless `force` is set.
    package func apply(
        _ applied: JSONValue, to live: JSONValue, managedFields: ManagedFields, time: String
    ) throws(Conflict) -> Result {
        let declared = scope.restrict(FieldSet(of: ManagedFields.withoutServerFields(applied), shape: shape))
        var ownership = managedFields
        let previous = ownership.entries[manager]

        // 1. Merge what is declared.
        let scoped = restrict(applied, to: scope)
        var object = Self.merge(live, scoped, shape: shape)

        // 2. Changing what somebody else owns is a conflict, or takes it from them.
        let comparison = FieldComparison(
            from: ManagedFields.withoutServerFields(live), to: ManagedFields.withoutServerFields(object), shape: shape)
        var conflicts: [FieldManager: FieldSet] = [:]
        for (other, entry) in ownership.entries where other != manager {
            let contested = entry.fields.intersection(comparison.changed)
            if !contested.isEmpty { conflicts[other] = contested }
        }
        if !conflicts.isEmpty {
            guard force else { throw Conflict(contested: conflicts) }
            ownership.release(comparison.changed, except: manager)
        }
        ownership.release(comparison.removed, except: manager)

        // 3. Own what is declared; let go of what no longer is.
        ownership.entries[manager] = ManagedFields.Entry(
            fields: declared, time: previous?.fields == declared ? previous?.time ?? time : time)
        if let previous {
            var abandoned = previous.fields.withNamedFieldsAsMembers
            for (_, entry) in ownership.entries {
                abandoned = abandoned.subtracting(entry.fields.withNamedFieldsAsMembers)
            }
            if !abandoned.isEmpty { object = Self.remove(abandoned, from: object, shape: shape) }
        }
        ownership.dropEmpty()
        return Result(object: object, managedFields: ownership)
    }

    private func restrict(_ object: JSONValue, to scope: FieldScope) -> JSONValue {
        switch scope {
        case .everything:
            return object
        case .exceptStatus:
            var rest = object
            rest["status"] = nil
            return rest
        case .onlyStatus:
            var rest: JSONValue = [:]
            rest["status"] = object["status"]
            return rest
        }
    }

    /// `live` overlaid with `applied`: objects member by member, granular lists element by element in the order of
    /// `applied` for its own, everything else replaced.
    static func merge(_ live: JSONValue, _ applied: JSONValue, shape: MergeShape) -> JSONValue {
        switch (live, applied) {
        case (.object(var members), .object(let changes)) where !shape.isAtomicMap:
            for (name, change) in changes {
                members[name] = members[name].map { merge($0, change, shape: shape.field(name)) } ?? change
            }
            return .object(members)
        case (.array(let before), .array(let after)) where shape.isGranular(before) && shape.isGranular(after):
            var pending: [PathElement: JSONValue] = [:]
            var order: [PathElement] = []
            for element in after {
                guard let step = shape.pathElement(of: element) else { continue }
                if pending.updateValue(element, forKey: step) == nil { order.append(step) }
            }
            var result: [JSONValue] = []
            for element in before {
                if let step = shape.pathElement(of: element), let change = pending.removeValue(forKey: step) {
                    result.append(merge(element, change, shape: shape.element))
                } else {
                    result.append(element)
                }
            }
            for step in order { if let element = pending[step] { result.append(element) } }
            return .array(result)
        default:
            return applied
        }
    }

    /// `object` without the paths of `set` and what lies below them.
    static func remove(_ set: FieldSet, from object: JSONValue, shape: MergeShape) -> JSONValue {
        switch object {
        case .object(var members) where !shape.isAtomicMap:
            for (name, value) in members {
                let step = PathElement.field(name)
                if set.contains(step) {
                    members[name] = nil
                } else if let inner = set.children[step] {
                    members[name] = remove(inner, from: value, shape: shape.field(name))
                }
            }
            return .object(members)
        case .array(let elements) where shape.isGranular(elements):
            return .array(
                elements.compactMap { element in
                    guard let step = shape.pathElement(of: element) else { return element }
                    if set.contains(step) { return nil }
                    return set.children[step].map { remove($0, from: element, shape: shape.element) } ?? element
                })
        default:
            return object
        }
    }
}
