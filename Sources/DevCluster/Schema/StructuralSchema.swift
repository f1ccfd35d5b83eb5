/// The `openAPIV3Schema` of a custom resource: what
/// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/ calls a structural
/// schema. Defaulting, pruning and validation are in their own files.
package struct StructuralSchema: Hashable, Sendable {
    package var type = ""
    package var description = ""
    package var properties: [String: StructuralSchema] = [:]
    package var required: [String] = []
    package var allowed: [JSONValue] = []
    package var pattern: String?
    package var minimum: Double?
    package var maximum: Double?
    package var exclusiveMinimum = false
    package var exclusiveMaximum = false
    package var multipleOf: Double?
    package var minLength: Int64?
    package var maxLength: Int64?
    package var minItems: Int64?
    package var maxItems: Int64?
    package var uniqueItems = false
    package var minProperties: Int64?
    package var maxProperties: Int64?
    package var isNullable = false
    package var defaultValue: JSONValue?
    package var preservesUnknownFields = false
    package var isIntOrString = false
    package var isEmbeddedResource = false
    package var listType = ""
    package var listMapKeys: [String] = []
    package var mapType = ""
    package var allowsAnyProperty = false
    // Arrays of at most one: a struct cannot hold itself.
    private var itemSchema: [StructuralSchema] = []
    private var additionalSchema: [StructuralSchema] = []

    /// The schema of list elements, if given.
    package var items: StructuralSchema? { itemSchema.first }

    /// The schema of members not named in `properties`, if given.
    package var additionalProperties: StructuralSchema? { additionalSchema.first }

    /// A schema that allows everything and keeps it.
    package static let anything: StructuralSchema = {
        var schema = StructuralSchema(json: ["type": "object"])
        schema.preservesUnknownFields = true
        return schema
    }()

    /// Reads the JSON form; keywords this server does not know are ignored.
    package init(json: JSONValue) {
        type = json.text("type")
        description = json.text("description")
        properties = (json["properties"]?.members ?? [:]).mapValues { StructuralSchema(json: $0) }
        required = json.list("required").compactMap(\.stringValue)
        allowed = json.list("enum")
        pattern = json["pattern"]?.stringValue
        minimum = json["minimum"]?.doubleValue
        maximum = json["maximum"]?.doubleValue
        exclusiveMinimum = json["exclusiveMinimum"]?.boolValue ?? false
        exclusiveMaximum = json["exclusiveMaximum"]?.boolValue ?? false
        multipleOf = json["multipleOf"]?.doubleValue
        minLength = json.integer("minLength")
        maxLength = json.integer("maxLength")
        minItems = json.integer("minItems")
        maxItems = json.integer("maxItems")
        uniqueItems = json["uniqueItems"]?.boolValue ?? false
        minProperties = json.integer("minProperties")
        maxProperties = json.integer("maxProperties")
        isNullable = json["nullable"]?.boolValue ?? false
        defaultValue = json["default"]
        preservesUnknownFields = json["x-kubernetes-preserve-unknown-fields"]?.boolValue ?? false
        isIntOrString = json["x-kubernetes-int-or-string"]?.boolValue ?? false
        isEmbeddedResource = json["x-kubernetes-embedded-resource"]?.boolValue ?? false
        listType = json.text("x-kubernetes-list-type")
        listMapKeys = json.list("x-kubernetes-list-map-keys").compactMap(\.stringValue)
        mapType = json.text("x-kubernetes-map-type")
        if let items = json["items"], items.objectValue != nil { itemSchema = [StructuralSchema(json: items)] }
        switch json["additionalProperties"] {
        case .object?: additionalSchema = [StructuralSchema(json: json["additionalProperties"] ?? [:])]
        case .bool(true)?: allowsAnyProperty = true
        default: break
        }
    }

    /// How values of this schema merge in server-side apply.
    package var shape: MergeShape {
        var shape = MergeShape(
            isAtomicMap: mapType == "atomic", fields: properties.mapValues(\.shape),
            element: (items ?? additionalProperties)?.shape)
        switch listType {
        case "set": shape.list = .set
        case "map":
            var defaults: [String: JSONValue] = [:]
            for key in listMapKeys { defaults[key] = items?.properties[key]?.defaultValue }
            shape.list = .map(keys: listMapKeys, defaults: defaults)
        default: shape.list = .atomic
        }
        return shape
    }

    /// What makes this schema unusable, as a CustomResourceDefinition's author should read it.
    package func problems(at path: String) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        if type.isEmpty, !isIntOrString, !preservesUnknownFields {
            causes.append(.required("\(path).type", "must not be empty for specified object fields"))
        }
        if type == "array", items == nil {
            causes.append(.required("\(path).items", "must be specified"))
        }
        if listType == "map", listMapKeys.isEmpty {
            causes.append(
                .required("\(path).x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map"))
        }
        if let pattern, (try? Regex(pattern)) == nil {
            causes.append(.invalid("\(path).pattern", .string(pattern), "must be a valid regular expression"))
        }
        for (name, property) in properties.sorted(by: { $0.key < $1.key }) {
            causes += property.problems(at: "\(path).properties[\(name)]")
        }
        if let items { causes += items.problems(at: "\(path).items") }
        if let additionalProperties { causes += additionalProperties.problems(at: "\(path).additionalProperties") }
        return causes
    }
}
