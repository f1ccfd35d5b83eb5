/// Why a JSON patch (RFC 6902) cannot be applied.
package struct JSONPatchError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}

/// A JSON patch (RFC 6902): a list of operations, applied all or none.
package struct JSONPatch: Sendable {
    private let operations: [JSONValue]

    /// - Throws: ``JSONPatchError`` for a document that is not a list.
    package init(_ document: JSONValue) throws {
        guard case .array(let operations) = document else {
            throw JSONPatchError(description: "a JSON patch must be a list of operations")
        }
        self.operations = operations
    }

    /// The patched document.
    ///
    /// - Throws: ``JSONPatchError`` for an operation that is malformed, that points nowhere, or a failed test.
    package func apply(to document: JSONValue) throws -> JSONValue {
        var result = document
        for operation in operations {
            let path = try Self.pointer(operation, "path")
            switch operation.text("op") {
            case "add":
                try Self.add(Self.value(operation), at: path[...], in: &result)
            case "replace":
                _ = try Self.remove(at: path[...], in: &result)
                try Self.add(Self.value(operation), at: path[...], in: &result)
            case "remove":
                _ = try Self.remove(at: path[...], in: &result)
            case "move":
                let moved = try Self.remove(at: Self.pointer(operation, "from")[...], in: &result)
                try Self.add(moved, at: path[...], in: &result)
            case "copy":
                try Self.add(Self.read(at: Self.pointer(operation, "from"), in: result), at: path[...], in: &result)
            case "test":
                guard try Self.read(at: path, in: result) == Self.value(operation) else {
                    throw JSONPatchError(description: "testing path \(operation.text("path")) value failed")
                }
            case let other:
                throw JSONPatchError(description: "unknown operation \"\(other)\"")
            }
        }
        return result
    }

    private static func value(_ operation: JSONValue) throws -> JSONValue {
        guard let value = operation["value"] else {
            throw JSONPatchError(description: "operation \"\(operation.text("op"))\" needs a value")
        }
        return value
    }

    private static func pointer(_ operation: JSONValue, _ member: String) throws -> [String] {
        guard let text = operation[member]?.stringValue, text.isEmpty || text.hasPrefix("/") else {
            throw JSONPatchError(description: "operation \"\(operation.text("op"))\" needs a pointer in \"\(member)\"")
        }
        return text.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map { part in
            part.split(separator: "~1", omittingEmptySubsequences: false).joined(separator: "/")
                .split(separator: "~0", omittingEmptySubsequences: false).joined(separator: "~")
        }
    }

    private static func missing(_ step: String) -> JSONPatchError {
        JSONPatchError(description: "the path does not exist: no \"\(step)\"")
    }

    private static func read(at path: [String], in document: JSONValue) throws -> JSONValue {
        var current = document
        for step in path {
            switch current {
            case .object(let members):
                guard let next = members[step] else { throw missing(step) }
                current = next
            case .array(let elements):
                guard let index = Int(step), elements.indices.contains(index) else { throw missing(step) }
                current = elements[index]
            default: throw missing(step)
            }
        }
        return current
    }

    private static func add(_ value: JSONValue, at path: ArraySlice<String>, in document: inout JSONValue) throws {
        guard let step = path.first else {
            document = value
            return
        }
        let rest = path.dropFirst()
        switch document {
        case .object(var members):
            if rest.isEmpty {
                members[step] = value
            } else {
                guard var child = members[step] else { throw missing(step) }
                try add(value, at: rest, in: &child)
                members[step] = child
            }
            document = .object(members)
        case .array(var elements):
            let index = step == "-" ? elements.count : Int(step) ?? -1
            if rest.isEmpty {
                guard (0...elements.count).contains(index) else { throw missing(step) }
                elements.insert(value, at: index)
            } else {
                guard elements.indices.contains(index) else { throw missing(step) }
                try add(value, at: rest, in: &elements[index])
            }
            document = .array(elements)
        default:
            throw missing(step)
        }
    }

    private static func remove(at path: ArraySlice<String>, in document: inout JSONValue) throws -> JSONValue {
        guard let step = path.first else {
            let removed = document
            document = .null
            return removed
        }
        let rest = path.dropFirst()
        let removed: JSONValue
        switch document {
        case .object(var members):
            guard var child = members[step] else { throw missing(step) }
            if rest.isEmpty {
                removed = child
                members[step] = nil
            } else {
                removed = try remove(at: rest, in: &child)
                members[step] = child
            }
            document = .object(members)
        case .array(var elements):
            guard let index = Int(step), elements.indices.contains(index) else { throw missing(step) }
            if rest.isEmpty {
                removed = elements.remove(at: index)
            } else {
                removed = try remove(at: rest, in: &elements[index])
            }
            document = .array(elements)
        default:
            throw missing(step)
        }
        return removed
    }
}
