extension StructuralSchema {
    /// Every rule that the value breaks, with the path of the part that breaks it.
    package func validate(_ value: JSONValue, at path: String) -> [APIStatus.Cause] {
        if value.isNull {
            return isNullable || type.isEmpty ? [] : [.wrongType(path, value, expected: type)]
        }
        if let wrong = typeProblem(value, at: path) { return [wrong] }
        var causes: [APIStatus.Cause] = []
        if !allowed.isEmpty, !allowed.contains(value) {
            causes.append(.notSupported(path, value, allowed.map { $0.stringValue ?? $0.jsonText }))
        }
        switch value {
        case .string(let text): causes += stringProblems(text, at: path)
        case .integer, .number: causes += numberProblems(value, at: path)
        case .array(let elements): causes += arrayProblems(elements, at: path)
        case .object(let members): causes += objectProblems(members, at: path)
        default: break
        }
        return causes
    }

    private func typeProblem(_ value: JSONValue, at path: String) -> APIStatus.Cause? {
        if isIntOrString {
            switch value {
            case .string, .integer: return nil
            default: return .wrongType(path, value, expected: "integer,string")
            }
        }
        let fits =
            switch type {
            case "": true
            case "integer": value.intValue != nil
            case "number": value.doubleValue != nil
            default: value.typeName == type
            }
        return fits ? nil : .wrongType(path, value, expected: type)
    }

    private func stringProblems(_ text: String, at path: String) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        let length = Int64(text.unicodeScalars.count)
        if let maxLength, length > maxLength {
            causes.append(
                APIStatus.Cause(
                    reason: "FieldValueTooLong", message: "Too long: may not be more than \(maxLength) bytes",
                    field: path))
        }
        if let minLength, length < minLength {
            causes.append(
                .invalid(path, .string(text), "\(path) in body should be at least \(minLength) chars long"))
        }
        // A pattern that does not compile was refused with the definition.
        if let pattern, let expression = try? Regex(pattern), (try? expression.firstMatch(in: text)) == nil {
            causes.append(.invalid(path, .string(text), "\(path) in body should match '\(pattern)'"))
        }
        return causes
    }

    private func numberProblems(_ value: JSONValue, at path: String) -> [APIStatus.Cause] {
        guard let number = value.doubleValue else { return [] }
        var causes: [APIStatus.Cause] = []
        if let minimum, number < minimum || (exclusiveMinimum && number == minimum) {
            let relation = exclusiveMinimum ? "greater than" : "greater than or equal to"
            causes.append(
                .invalid(path, value, "\(path) in body should be \(relation) \(JSONValue.number(minimum).jsonText)"))
        }
        if let maximum, number > maximum || (exclusiveMaximum && number == maximum) {
            let relation = exclusiveMaximum ? "less than" : "less than or equal to"
            causes.append(
                .invalid(path, value, "\(path) in body should be \(relation) \(JSONValue.number(maximum).jsonText)"))
        }
        if let multipleOf, multipleOf > 0, number.truncatingRemainder(dividingBy: multipleOf) != 0 {
            causes.append(
                .invalid(
                    path, value, "\(path) in body should be a multiple of \(JSONValue.number(multipleOf).jsonText)"))
        }
        return causes
    }

    private func arrayProblems(_ elements: [JSONValue], at path: String) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        let count = Int64(elements.count)
        if let maxItems, count > maxItems {
            causes.append(
                APIStatus.Cause(
                    reason: "FieldValueTooMany",
                    message: "Too many: \(count): must have at most \(maxItems) items", field: path))
        }
        if let minItems, count < minItems {
            causes.append(
                .invalid(path, .integer(count), "\(path) in body should have at least \(minItems) items"))
        }
        if uniqueItems, Set(elements).count != elements.count {
            causes.append(.invalid(path, .array(elements), "\(path) in body shouldn't contain duplicates"))
        }
        causes += duplicates(elements, at: path)
        if let items {
            for (index, element) in elements.enumerated() {
                causes += items.validate(element, at: "\(path)[\(index)]")
            }
        }
        return causes
    }

    private func duplicates(_ elements: [JSONValue], at path: String) -> [APIStatus.Cause] {
        guard listType == "set" || listType == "map" else { return [] }
        let shape = self.shape
        var seen: Set<PathElement> = []
        var causes: [APIStatus.Cause] = []
        for (index, element) in elements.enumerated() {
            guard let step = shape.pathElement(of: element) else { continue }
            if !seen.insert(step).inserted {
                let shown: JSONValue = if case .key(let key) = step { .object(key) } else { element }
                causes.append(.duplicate("\(path)[\(index)]", shown))
            }
        }
        return causes
    }

    private func objectProblems(_ members: [String: JSONValue], at path: String) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        func inner(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
        for name in required where members[name] == nil { causes.append(.required(inner(name))) }
        let count = Int64(members.count)
        if let maxProperties, count > maxProperties {
            causes.append(
                APIStatus.Cause(
                    reason: "FieldValueTooMany",
                    message: "Too many: \(count): must have at most \(maxProperties) items", field: path))
        }
        if let minProperties, count < minProperties {
            causes.append(
                .invalid(path, .integer(count), "\(path) in body should have at least \(minProperties) properties"))
        }
        for (name, value) in members.sorted(by: { $0.key < $1.key }) {
            if let property = properties[name] ?? additionalProperties {
                causes += property.validate(value, at: inner(name))
            }
        }
        return causes
    }
}
