extension JSONValue {
    /// This object with a strategic merge patch applied: a merge patch in which the lists that `shape` gives a merge key
    /// are merged element by element, and which knows the directives `$patch`, `$retainKeys`, `$setElementOrder/…` and
    /// `$deleteFromPrimitiveList/…`.
    package func strategicallyMerged(with patch: JSONValue, shape: MergeShape) -> JSONValue {
        guard case .object(var changes) = patch else { return patch }
        switch changes.removeValue(forKey: "$patch")?.stringValue {
        case "replace": return .object(changes)
        case "delete": return .object([:])
        default: break
        }
        var members = self.members
        if let retained = changes.removeValue(forKey: "$retainKeys")?.arrayValue {
            let names = Set(retained.compactMap(\.stringValue))
            members = members.filter { names.contains($0.key) }
        }
        var orders: [String: [JSONValue]] = [:]
        for (name, change) in changes where name.hasPrefix("$") {
            changes[name] = nil
            let field = String(name.split(separator: "/", maxSplits: 1).last ?? "")
            if name.hasPrefix("$setElementOrder/") {
                orders[field] = change.elements
            } else if name.hasPrefix("$deleteFromPrimitiveList/") {
                members[field] = members[field].map { .array($0.elements.filter { !change.elements.contains($0) }) }
            }
        }
        for (name, change) in changes {
            let inner = shape.field(name)
            switch change {
            case .null:
                members[name] = nil
            case .object:
                members[name] = (members[name] ?? .object([:])).strategicallyMerged(with: change, shape: inner)
            case .array(let elements):
                members[name] = .array(
                    Self.merge(elements, into: members[name]?.elements ?? [], shape: inner, order: orders[name]))
            default:
                members[name] = change
            }
        }
        // An order may come without elements: the patch then only moves them.
        for (name, order) in orders where changes[name] == nil {
            if let elements = members[name]?.arrayValue {
                members[name] = .array(Self.merge([], into: elements, shape: shape.field(name), order: order))
            }
        }
        return .object(members)
    }

    private static func merge(
        _ changes: [JSONValue], into current: [JSONValue], shape: MergeShape, order: [JSONValue]?
    ) -> [JSONValue] {
        guard let key = shape.strategicKey else { return changes.filter { $0["$patch"] == nil } }
        var result = current
        if key.isEmpty {
            for change in changes where !result.contains(change) { result.append(change) }
        } else {
            if changes.contains(where: { $0.text("$patch") == "replace" }) {
                return changes.filter { $0["$patch"] == nil }
            }
            for change in changes {
                let index = result.firstIndex { $0[key] == change[key] }
                if change.text("$patch") == "delete" {
                    if let index { result.remove(at: index) }
                } else if let index {
                    result[index] = result[index].strategicallyMerged(with: change, shape: shape.element)
                } else {
                    result.append(JSONValue.object([:]).strategicallyMerged(with: change, shape: shape.element))
                }
            }
        }
        guard let order else { return result }
        let ranks = key.isEmpty ? order : order.compactMap { $0[key] }
        func rank(_ element: JSONValue) -> Int? {
            let identity = key.isEmpty ? element : element[key] ?? .null
            return ranks.firstIndex(of: identity)
        }
        // Elements the order does not name stay where they are; the named ones take the remaining places in its order.
        let named = result.filter { rank($0) != nil }.enumerated()
            .sorted { (rank($0.element) ?? 0, $0.offset) < (rank($1.element) ?? 0, $1.offset) }.map(\.element)
        var next = named.makeIterator()
        return result.map { rank($0) == nil ? $0 : next.next() ?? $0 }
    }
}
