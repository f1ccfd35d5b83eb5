extension StructuralSchema {
    /// The value with the schema's defaults filled in where members are missing. A null where null is not allowed counts
    /// as missing if there is a default.
    package func defaulted(_ value: JSONValue) -> JSONValue {
        switch value {
        case .object(var members):
            for (name, property) in properties {
                if let current = members[name], !(current.isNull && !property.isNullable) {
                    members[name] = property.defaulted(current)
                } else if let standard = property.defaultValue {
                    members[name] = property.defaulted(standard)
                }
            }
            if let additionalProperties {
                for (name, current) in members where properties[name] == nil {
                    members[name] = additionalProperties.defaulted(current)
                }
            }
            return .object(members)
        case .array(let elements):
            guard let items else { return value }
            return .array(elements.map { items.defaulted($0) })
        default:
            return value
        }
    }
}
