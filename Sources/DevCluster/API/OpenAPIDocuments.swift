/// As much OpenAPI as kubectl reads: that the server validates fields itself, and for `kubectl explain` the schemas.
package struct OpenAPIDocuments: Sendable {
    private let catalog: ResourceCatalog

    package init(catalog: ResourceCatalog) {
        self.catalog = catalog
    }

    /// `/openapi/v2` without definitions: kubectl then patches by the types it was compiled with.
    package static let emptyV2: JSONValue = [
        "swagger": "2.0", "info": ["title": "Kubernetes", "version": "v1.33.0"], "paths": [:],
    ]

    /// The same as a protocol buffer: field 1 `swagger`, field 2 `info` with 1 `title` and 2 `version`.
    package static let emptyProtobufV2: [UInt8] = {
        func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(bytes.count)] + bytes }
        let info = field(1, Array("Kubernetes".utf8)) + field(2, Array("v1.33.0".utf8))
        return field(1, Array("2.0".utf8)) + field(2, info)
    }()

    /// `/openapi/v3`: where the documents of the groups are.
    package var index: JSONValue {
        var paths: [String: JSONValue] = [:]
        for key in catalog.groupVersions {
            let path = key.group.isEmpty ? "api/\(key.version)" : "apis/\(key.group)/\(key.version)"
            paths[path] = ["serverRelativeURL": .string("/openapi/v3/\(path)")]
        }
        return ["paths": .object(paths)]
    }

    /// The document of one group and version, by its path such as `apis/apps/v1`.
    package func document(path: String) -> JSONValue? {
        let segments = path.split(separator: "/").map(String.init)
        let group: String
        let version: String
        switch (segments.first, segments.count) {
        case ("api", 2): (group, version) = ("", segments[1])
        case ("apis", 3): (group, version) = (segments[1], segments[2])
        default: return nil
        }
        let resources = catalog.resources(group: group, version: version)
        guard !resources.isEmpty else { return nil }
        var paths: [String: JSONValue] = [:]
        var schemas: [String: JSONValue] = [:]
        for resource in resources {
            let identity = Self.identity(resource)
            let base = "/\(path)" + (resource.isNamespaced ? "/namespaces/{namespace}" : "") + "/\(resource.plural)"
            paths[base] = Self.operations(["get", "post"], identity)
            paths["\(base)/{name}"] = Self.operations(["get", "put", "patch", "delete"], identity)
            schemas[Self.schemaName(resource)] = Self.schema(resource)
        }
        return [
            "openapi": "3.0.0", "info": ["title": "Kubernetes", "version": "v1.33.0"], "paths": .object(paths),
            "components": ["schemas": .object(schemas)],
        ]
    }

    private static func identity(_ resource: APIResource) -> JSONValue {
        [
            "group": .string(resource.group), "version": .string(resource.version), "kind": .string(resource.kind),
        ]
    }

    private static func operations(_ methods: [String], _ identity: JSONValue) -> JSONValue {
        let parameters: [JSONValue] = ["dryRun", "fieldManager", "fieldValidation"].map { name in
            ["name": .string(name), "in": "query", "schema": ["type": "string"]]
        }
        var item: [String: JSONValue] = [:]
        for method in methods {
            item[method] = [
                "x-kubernetes-group-version-kind": identity,
                "parameters": ["post", "put", "patch"].contains(method) ? .array(parameters) : [],
                "responses": ["200": ["description": "OK"]],
            ]
        }
        return .object(item)
    }

    private static func schemaName(_ resource: APIResource) -> String {
        let group = resource.group.isEmpty ? "core" : resource.group
        return group.split(separator: ".").reversed().joined(separator: ".")
            + ".\(resource.version).\(resource.kind)"
    }

    private static func schema(_ resource: APIResource) -> JSONValue {
        let type: JSONValue = ["type": "string"]
        var properties: [String: JSONValue] = [:]
        if let schema = resource.schema {
            properties = schema.properties.mapValues(\.openAPI)
        } else {
            properties["spec"] = ["type": "object"]
            if resource.hasStatus { properties["status"] = ["type": "object"] }
        }
        properties["apiVersion"] = type
        properties["kind"] = type
        properties["metadata"] = ["type": "object", "description": "Standard object's metadata."]
        var document: JSONValue = [
            "type": "object", "properties": .object(properties),
            "x-kubernetes-group-version-kind": [Self.identity(resource)],
        ]
        if let description = resource.schema?.description, !description.isEmpty {
            document["description"] = .string(description)
        }
        return document
    }
}

extension StructuralSchema {
    /// The schema as OpenAPI, as far as `kubectl explain` shows it.
    var openAPI: JSONValue {
        var document: JSONValue = ["type": .string(type.isEmpty ? "object" : type)]
        if !description.isEmpty { document["description"] = .string(description) }
        if !properties.isEmpty { document["properties"] = .object(properties.mapValues(\.openAPI)) }
        if !required.isEmpty { document["required"] = .strings(required) }
        if !allowed.isEmpty { document["enum"] = .array(allowed) }
        if let items { document["items"] = items.openAPI }
        if let additionalProperties { document["additionalProperties"] = additionalProperties.openAPI }
        return document
    }
}
