import Foundation
import KubernetesAPI
import Yams

/// `apiextensions.k8s.io/v1` CustomResourceDefinition, passed through as it is.
struct CustomResourceDefinition: KubernetesResource {
    static let definition = ResourceDefinition(
        group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions",
        kind: "CustomResourceDefinition", namespaced: false)

    var metadata: ObjectMeta
    var spec: JSONTree

    /// `crds/gatewayroutes.yaml`.
    static func gatewayRoutes() throws -> CustomResourceDefinition {
        try YAMLDecoder().decode(Self.self, from: CustomResourceDefinitionTests.definition())
    }
}

/// Any JSON.
indirect enum JSONTree: Codable, Sendable {
    case null
    case bool(Bool)
    case integer(Int)
    case string(String)
    case array([JSONTree])
    case object([String: JSONTree])

    init(from decoder: any Decoder) throws {
        if let container = try? decoder.container(keyedBy: Key.self) {
            var fields: [String: JSONTree] = [:]
            for key in container.allKeys { fields[key.stringValue] = try container.decode(JSONTree.self, forKey: key) }
            self = .object(fields)
        } else if var container = try? decoder.unkeyedContainer() {
            var items: [JSONTree] = []
            while !container.isAtEnd { items.append(try container.decode(JSONTree.self)) }
            self = .array(items)
        } else {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                self = .null
            } else if let value = try? container.decode(Bool.self) {
                self = .bool(value)
            } else if let value = try? container.decode(Int.self) {
                self = .integer(value)
            } else {
                self = .string(try container.decode(String.self))
            }
        }
    }

    func encode(to encoder: any Encoder) throws {
        switch self {
        case .null:
            var container = encoder.singleValueContainer()
            try container.encodeNil()
        case .bool(let value): try value.encode(to: encoder)
        case .integer(let value): try value.encode(to: encoder)
        case .string(let value): try value.encode(to: encoder)
        case .array(let items): try items.encode(to: encoder)
        case .object(let fields): try fields.encode(to: encoder)
        }
    }

    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }

        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}
