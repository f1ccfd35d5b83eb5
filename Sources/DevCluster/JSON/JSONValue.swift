/// Any JSON document: the form in which the embedded API server keeps, patches, validates and answers objects.
///
/// Objects have no order; they are written with their keys sorted, so that equal values have equal bytes.
///
/// Not the client's `OpaqueJSON`, though it has the same cases: a server tells `1` from `1.0` and says at which byte a
/// document is wrong, which no coder of Foundation does.
package enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    /// A number written without fraction or exponent that fits 64 bits.
    case integer(Int64)
    /// Any other number.
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])
}

extension JSONValue {
    /// The text of a string, otherwise nil.
    package var stringValue: String? {
        if case .string(let text) = self { text } else { nil }
    }

    /// The value of an integer, or of a number without fraction; otherwise nil.
    package var intValue: Int64? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int64(exactly: value)
        default: nil
        }
    }

    /// The value of either kind of number, otherwise nil.
    package var doubleValue: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// The value of a boolean, otherwise nil.
    package var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The elements of an array, otherwise nil.
    package var arrayValue: [JSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// The members of an object, otherwise nil.
    package var objectValue: [String: JSONValue]? {
        if case .object(let members) = self { members } else { nil }
    }

    /// Whether this is `null`.
    package var isNull: Bool { self == .null }

    /// The elements of an array; nothing for any other value.
    package var elements: [JSONValue] { arrayValue ?? [] }

    /// The members of an object; nothing for any other value.
    package var members: [String: JSONValue] { objectValue ?? [:] }

    /// Whether this is an object without members, an array without elements, an empty string or null: what a Kubernetes
    /// type marked `omitempty` leaves out.
    package var isEmptyOrNull: Bool {
        switch self {
        case .null: true
        case .object(let members): members.isEmpty
        case .array(let elements): elements.isEmpty
        case .string(let text): text.isEmpty
        default: false
        }
    }

    /// The name of the JSON type as OpenAPI spells it.
    package var typeName: String {
        switch self {
        case .null: "null"
        case .bool: "boolean"
        case .integer: "integer"
        case .number: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }

    /// A member of an object. Reading from anything else gives nil; writing to anything else makes it an object first.
    /// Assigning nil removes the member.
    package subscript(key: String) -> JSONValue? {
        get {
            if case .object(let members) = self { members[key] } else { nil }
        }
        set {
            var members = self.members
            self = .null  // Releases this value's own reference, so that the mutation below happens in place.
            members[key] = newValue
            self = .object(members)
        }
    }

    /// A member found by descending through objects.
    package subscript(path path: [String]) -> JSONValue? {
        get {
            var current = self
            for key in path {
                guard let next = current[key] else { return nil }
                current = next
            }
            return current
        }
        set {
            guard let first = path.first else {
                self = newValue ?? .null
                return
            }
            let rest = Array(path.dropFirst())
            if rest.isEmpty {
                self[first] = newValue
            } else if self[first] != nil || newValue != nil {
                var child = self[first] ?? .object([:])
                child[path: rest] = newValue
                self[first] = child
            }
        }
    }

    /// The text at a path of object members, or "" where there is none.
    package func text(_ path: String...) -> String {
        self[path: path]?.stringValue ?? ""
    }

    /// The integer at a path of object members.
    package func integer(_ path: String...) -> Int64? {
        self[path: path]?.intValue
    }

    /// The array at a path of object members, or nothing.
    package func list(_ path: String...) -> [JSONValue] {
        self[path: path]?.elements ?? []
    }
}

extension JSONValue: ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral, ExpressibleByStringLiteral,
    ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByFloatLiteral
{
    // Not by nil: `nil` where an optional value is meant would silently become a JSON null.

    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(Dictionary(elements) { _, last in last })
    }

    package init(arrayLiteral elements: JSONValue...) {
        self = .array(elements)
    }

    package init(stringLiteral value: String) {
        self = .string(value)
    }

    package init(integerLiteral value: Int64) {
        self = .integer(value)
    }

    package init(booleanLiteral value: Bool) {
        self = .bool(value)
    }

    package init(floatLiteral value: Double) {
        self = .number(value)
    }
}

extension JSONValue {
    /// An array of strings.
    package static func strings(_ values: some Sequence<String>) -> JSONValue {
        .array(values.map { .string($0) })
    }

    /// An object of strings.
    package static func strings(_ values: [String: String]) -> JSONValue {
        .object(values.mapValues { .string($0) })
    }
}
