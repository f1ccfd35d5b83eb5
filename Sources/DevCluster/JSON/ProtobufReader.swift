/// Why a protocol buffer cannot be read.
package struct ProtobufError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}

/// How a message of the Kubernetes API maps to JSON: for each field number the JSON name and the form of its value.
package struct ProtobufMessage: Sendable {
    package indirect enum Form: Sendable {
        case string
        case integer
        case bool
        /// Bytes, base64 in JSON.
        case bytes
        /// `intstr.IntOrString`.
        case intOrString
        /// `metav1.Time`; set by the server, so what clients send is left out.
        case time
        case message(ProtobufMessage)
        /// A message whose members stand in the outer object.
        case inline(ProtobufMessage)
        case map(Form)
        /// Repeated.
        case list(Form)
        /// A field that may be absent, so that its zero value means something.
        case optional(Form)
    }

    package struct Field: Sendable {
        var name: String
        var form: Form
    }

    let fields: [Int: Field]

    package init(_ fields: [Int: (String, Form)]) {
        self.fields = fields.mapValues { Field(name: $0.0, form: $0.1) }
    }

    /// Reads a message into a JSON object. Zero values are left out, as `omitempty` leaves them out of JSON.
    ///
    /// - Throws: ``ProtobufError`` for bytes that are no message, and for a field with content that this description
    ///   lacks: losing it silently would be worse.
    package func read(_ bytes: ArraySlice<UInt8>) throws -> JSONValue {
        var reader = ProtobufReader(bytes)
        var object: [String: JSONValue] = [:]
        while let (number, payload) = try reader.next() {
            guard let field = fields[number] else {
                if payload.isEmpty { continue }
                throw ProtobufError(description: "field \(number) is not known in protobuf form; send JSON")
            }
            try add(payload, field.form, named: field.name, to: &object)
        }
        return .object(object)
    }

    private func add(
        _ payload: ProtobufReader.Payload, _ form: Form, named name: String, to object: inout [String: JSONValue]
    ) throws {
        switch form {
        case .list(let element):
            object[name] = .array((object[name]?.elements ?? []) + [try value(payload, element)])
        case .map(let element):
            let entry = try ProtobufMessage([1: ("key", .string), 2: ("value", .optional(element))])
                .read(payload.bytes())
            var members = object[name]?.members ?? [:]
            members[entry.text("key")] = entry["value"] ?? ""
            object[name] = .object(members)
        case .inline(let message):
            object.merge(try message.read(payload.bytes()).members) { $1 }
        case .time:
            break
        case .optional(let inner):
            object[name] = try value(payload, inner)
        case .message, .string, .integer, .bool, .bytes, .intOrString:
            let value = try value(payload, form)
            if value != 0, value != false, !value.isEmptyOrNull { object[name] = value }
        }
    }

    private func value(_ payload: ProtobufReader.Payload, _ form: Form) throws -> JSONValue {
        switch form {
        case .string: return .string(String(decoding: try payload.bytes(), as: UTF8.self))
        case .integer: return .integer(Int64(truncatingIfNeeded: try payload.number()))
        case .bool: return .bool(try payload.number() != 0)
        case .bytes: return .string(Base64.encode(try payload.bytes()))
        case .message(let message): return try message.read(try payload.bytes())
        case .intOrString:
            let parts = try ProtobufMessage([1: ("type", .integer), 2: ("int", .integer), 3: ("string", .string)])
                .read(try payload.bytes())
            return parts.integer("type") == 1 ? .string(parts.text("string")) : .integer(parts.integer("int") ?? 0)
        case .optional(let inner): return try value(payload, inner)
        case .inline, .map, .list, .time: throw ProtobufError(description: "a form that cannot be an element")
        }
    }
}

/// Splits a message into its fields.
struct ProtobufReader {
    enum Payload {
        case number(UInt64)
        case bytes(ArraySlice<UInt8>)

        var isEmpty: Bool {
            switch self {
            case .number(let value): value == 0
            case .bytes(let bytes): bytes.isEmpty
            }
        }

        func bytes() throws -> ArraySlice<UInt8> {
            guard case .bytes(let bytes) = self else { throw ProtobufError(description: "a number where bytes belong") }
            return bytes
        }

        func number() throws -> UInt64 {
            guard case .number(let value) = self else {
                throw ProtobufError(description: "bytes where a number belongs")
            }
            return value
        }
    }

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) {
        rest = bytes
    }

    /// The next field's number and payload; nil at the end.
    mutating func next() throws -> (Int, Payload)? {
        guard !rest.isEmpty else { return nil }
        let tag = try variableNumber()
        let number = Int(tag >> 3 & 0x1FFF_FFFF)
        switch tag & 7 {
        case 0: return (number, .number(try variableNumber()))
        case 1: return (number, .bytes(try take(8)))
        case 2: return (number, .bytes(try take(try variableNumber())))
        case 5: return (number, .bytes(try take(4)))
        default: throw ProtobufError(description: "unknown wire type \(tag & 7)")
        }
    }

    private mutating func variableNumber() throws -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 64 {
            guard let byte = rest.popFirst() else { throw ProtobufError(description: "the message is cut off") }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw ProtobufError(description: "a number is too long")
    }

    private mutating func take(_ count: UInt64) throws -> ArraySlice<UInt8> {
        guard count <= UInt64(rest.count) else { throw ProtobufError(description: "the message is cut off") }
        defer { rest = rest.dropFirst(Int(count)) }
        return rest.prefix(Int(count))
    }
}
