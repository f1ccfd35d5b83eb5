package import struct Foundation.Date

/// A Kubernetes object that the client can list, watch, read and write.
///
/// Only the fields this project reads or writes are declared; unknown ones are ignored when decoding, so a type here
/// must never be used to `PUT` an object somebody else owns (use server-side apply or a patch).
package protocol KubernetesResource: Codable, Sendable {
    /// Where objects of this type live in the API.
    static var definition: ResourceDefinition { get }
    var metadata: ObjectMeta { get set }
}

/// The API coordinates of a resource type: group, version, plural name, kind and scope.
package struct ResourceDefinition: Hashable, Sendable {
    /// Empty for the core group.
    package var group: String
    package var version: String
    /// The lower-case plural used in paths, for example `ingresses`.
    package var plural: String
    package var kind: String
    package var namespaced: Bool

    package init(group: String, version: String, plural: String, kind: String, namespaced: Bool = true) {
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.namespaced = namespaced
    }

    /// `group/version`, or `version` alone for the core group, as written in `apiVersion`.
    package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
}

/// Namespace and name: what identifies an object among those of its type.
package struct ObjectKey: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// Empty for cluster-scoped objects.
    package var namespace: String
    package var name: String

    package init(namespace: String = "", name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// `namespace/name`, or `name` for cluster-scoped objects.
    package var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }

    package static func < (lhs: Self, rhs: Self) -> Bool {
        (lhs.namespace, lhs.name) < (rhs.namespace, rhs.name)
    }
}

extension KubernetesResource {
    package var key: ObjectKey { ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name ?? "") }
}

/// `metav1.ObjectMeta`, as far as this project needs it.
package struct ObjectMeta: Codable, Hashable, Sendable {
    package var name: String?
    package var namespace: String?
    package var uid: String?
    package var resourceVersion: String?
    package var generation: Int64?
    package var creationTimestamp: Date?
    package var deletionTimestamp: Date?
    package var labels: [String: String]?
    package var annotations: [String: String]?
    package var ownerReferences: [OwnerReference]?

    package init(
        name: String? = nil, namespace: String? = nil, uid: String? = nil, resourceVersion: String? = nil,
        generation: Int64? = nil, creationTimestamp: Date? = nil, labels: [String: String]? = nil,
        annotations: [String: String]? = nil, ownerReferences: [OwnerReference]? = nil
    ) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.generation = generation
        self.creationTimestamp = creationTimestamp
        self.labels = labels
        self.annotations = annotations
        self.ownerReferences = ownerReferences
    }
}

/// `metav1.OwnerReference`: the garbage collector removes the dependent with its owner.
package struct OwnerReference: Codable, Hashable, Sendable {
    package var apiVersion: String
    package var kind: String
    package var name: String
    package var uid: String
    package var controller: Bool?
    package var blockOwnerDeletion: Bool?

    package init(
        apiVersion: String, kind: String, name: String, uid: String, controller: Bool? = nil,
        blockOwnerDeletion: Bool? = nil
    ) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.name = name
        self.uid = uid
        self.controller = controller
        self.blockOwnerDeletion = blockOwnerDeletion
    }
}

/// `metav1.Condition`.
package struct Condition: Codable, Hashable, Sendable {
    package enum Status: String, Codable, Sendable {
        case `true` = "True"
        case `false` = "False"
        case unknown = "Unknown"
    }

    package var type: String
    package var status: Status
    package var observedGeneration: Int64?
    package var lastTransitionTime: Date
    /// CamelCase, for programs.
    package var reason: String
    /// A sentence, for people.
    package var message: String

    package init(
        type: String, status: Status, observedGeneration: Int64?, lastTransitionTime: Date, reason: String,
        message: String
    ) {
        self.type = type
        self.status = status
        self.observedGeneration = observedGeneration
        self.lastTransitionTime = lastTransitionTime
        self.reason = reason
        self.message = message
    }
}

/// `intstr.IntOrString`.
package enum IntOrString: Codable, Hashable, Sendable {
    case int(Int)
    case string(String)

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(Int.self) {
            self = .int(value)
        } else {
            self = .string(try container.decode(String.self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .int(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        }
    }
}
