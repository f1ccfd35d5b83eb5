extension StructuralSchema {
    /// The value without the members that the schema does not describe.
    ///
    /// - Parameters:
    ///   - path: Where the value stands, in front of the names in `removed`.
    ///   - removed: The paths taken out, such as `spec.wrong`.
    package func pruned(_ value: JSONValue, at path: String = "", removed: inout [String]) -> JSONValue {
        switch value {
        case .object(var members):
            for (name, current) in members.sorted(by: { $0.key < $1.key }) {
                let inner = path.isEmpty ? name : "\(path).\(name)"
                if isEmbeddedResource, ["apiVersion", "kind", "metadata"].contains(name) { continue }
                if let property = properties[name] ?? additionalProperties {
                    members[name] = property.pruned(current, at: inner, removed: &removed)
                } else if !preservesUnknownFields, !allowsAnyProperty {
                    members[name] = nil
                    removed.append(inner)
                }
            }
            return .object(members)
        case .array(let elements):
            guard let items else { return value }
            return .array(
                elements.enumerated().map { items.pruned($0.element, at: "\(path)[\($0.offset)]", removed: &removed) })
        default:
            return value
        }
    }
}
