import Yams

extension JSONValue {
    /// Reads a request body or a manifest that is either JSON or YAML.
    ///
    /// - Throws: ``JSONSyntaxError`` or a Yams error that says where the text is not YAML.
    package init(parsingYAML bytes: some Collection<UInt8>) throws {
        if let first = bytes.first(where: { $0 > 0x20 }), first == UInt8(ascii: "{") {
            try self.init(parsing: bytes)
            return
        }
        guard let node = try Yams.compose(yaml: String(decoding: bytes, as: UTF8.self)) else {
            self = .null
            return
        }
        self.init(yaml: node)
    }

    /// The documents of a YAML stream, empty ones left out.
    package static func documents(inYAML text: String) throws -> [JSONValue] {
        var documents: [JSONValue] = []
        let nodes = try Yams.compose_all(yaml: text)
        for node in nodes {
            let value = JSONValue(yaml: node)
            if !value.isNull { documents.append(value) }
        }
        if let error = nodes.error { throw error }
        return documents
    }

    private init(yaml node: Node) {
        switch node {
        case .scalar(let scalar):
            self = Self.scalar(node, scalar)
        case .mapping(let mapping):
            var members: [String: JSONValue] = [:]
            for (key, value) in mapping {
                members[key.scalar?.string ?? ""] = JSONValue(yaml: value)
            }
            self = .object(members)
        case .sequence(let sequence):
            self = .array(sequence.map { JSONValue(yaml: $0) })
        case .alias:
            // Aliases are resolved while composing; one that is left over points nowhere.
            self = .null
        }
    }

    private static func scalar(_ node: Node, _ scalar: Node.Scalar) -> JSONValue {
        switch scalar.style {
        case .doubleQuoted, .singleQuoted, .literal, .folded: return .string(scalar.string)
        default: break
        }
        if node.null != nil || scalar.string.isEmpty { return .null }
        if let value = bool(scalar.string) { return .bool(value) }
        if let value = node.int { return .integer(Int64(value)) }
        if let value = node.float, value.isFinite { return .number(value) }
        return .string(scalar.string)
    }

    /// YAML 1.2's booleans; `yes` and `on` stay strings as they do for kubectl's parser.
    private static func bool(_ text: String) -> Bool? {
        switch text {
        case "true", "True", "TRUE": true
        case "false", "False", "FALSE": false
        default: nil
        }
    }
}
