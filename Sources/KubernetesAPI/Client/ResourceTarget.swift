import Logging

/// What a request is about, in the words of RBAC.
struct ResourceTarget: Hashable, Sendable {
    var definition: ResourceDefinition
    /// Nil or empty for cluster-scoped types, and for a collection in all namespaces.
    var namespace: String?
    /// Nil for a collection.
    var name: String?
    var subresource: String?

    /// Below the server's address.
    var path: String {
        ResourcePath.path(definition, namespace: namespace, name: name, subresource: subresource)
    }

    /// The fields of the log line that tells of an answer with HTTP status `code`; 0 where there was none.
    func logFields(_ verb: KubernetesError.Verb, code: Int) -> Logger.Metadata {
        [
            "verb": "\(verb.authorized)", "group": "\(definition.group)", "resource": "\(definition.plural)",
            "subresource": "\(subresource ?? "")", "namespace": "\(namespace ?? "")", "name": "\(name ?? "")",
            "code": "\(code)",
        ]
    }
}

extension KubernetesError.Verb {
    /// The verb that a role must allow. Server-side apply is a kind of patch; where it creates the object, the server
    /// asks for `create` as well.
    var authorized: String { self == .apply ? "patch" : rawValue }
}
