// Where a write meets the rules of its type: defaulting, allocation, validation, and what follows from it.

extension APIResource {
    /// Whether `metadata.generation` counts the changes of the specification.
    var raisesGeneration: Bool {
        switch rules {
        case .ingress, .specAndStatus, .custom, .customResourceDefinition: true
        case .plain: ["NetworkPolicy", "IngressClass", "EndpointSlice"].contains(kind)
        case .namespace, .service, .event, .review: false
        }
    }
}

extension ClusterState {
    /// The object with the defaults of its type, and without what its schema does not know.
    func prepare(
        _ object: JSONValue, old: JSONValue?, _ context: WriteContext, warnings: inout [String]
    ) throws(APIStatus) -> JSONValue {
        let resource = context.resource
        var result = object
        switch resource.rules {
        case .namespace: NamespaceRules.setDefaults(&result, old: old)
        case .service: ServiceRules.setDefaults(&result, old: old, changesSpec: context.scope != .onlyStatus)
        case .ingress:
            if old == nil { IngressRules.setDefaults(&result, defaultClass: defaultIngressClass) }
        case .customResourceDefinition:
            DefinitionRules.setDefaults(&result, old: old, time: context.now.time)
        case .custom:
            result = try conform(result, context, warnings: &warnings)
        case .plain where resource.kind == "Secret":
            Self.encodeStringData(&result)
        case .specAndStatus where resource.kind == "Pod":
            if old == nil { result["status"] = ["phase": "Pending"] }
        case .plain, .specAndStatus, .event, .review: break
        }
        return result
    }

    private func conform(
        _ object: JSONValue, _ context: WriteContext, warnings: inout [String]
    ) throws(APIStatus) -> JSONValue {
        let resource = context.resource
        guard let schema = resource.schema else { return object }
        let header = object.members.filter { ["apiVersion", "kind", "metadata"].contains($0.key) }
        var unknown: [String] = []
        let body = JSONValue.object(object.members.filter { header[$0.key] == nil })
        let pruned = schema.pruned(body, removed: &unknown)
        if !unknown.isEmpty {
            let texts = unknown.map { "unknown field \"\($0)\"" }
            switch context.fieldValidation {
            case "Strict":
                throw .badRequest(
                    "\(resource.kind) in version \"\(resource.version)\" cannot be handled as a \(resource.kind): "
                        + "strict decoding error: " + texts.joined(separator: ", "))
            case "Ignore": break
            default: warnings += texts
            }
        }
        var result = schema.defaulted(pruned)
        for (name, value) in header { result[name] = value }
        return result
    }

    private static func encodeStringData(_ secret: inout JSONValue) {
        if let plain = secret["stringData"]?.objectValue {
            var data = secret["data"]?.members ?? [:]
            for (key, value) in plain {
                data[key] = .string(Base64.encode(Array((value.stringValue ?? "").utf8)))
            }
            secret["data"] = .object(data)
            secret["stringData"] = nil
        }
        if secret.text("type").isEmpty { secret["type"] = "Opaque" }
    }

    private var defaultIngressClass: String? {
        store.objects("ingressclasses.networking.k8s.io").first { stored in
            stored.value.text("metadata", "annotations", "ingressclass.kubernetes.io/is-default-class") == "true"
        }?.name.name
    }

    /// The object with what only the server can give it: addresses and node ports.
    mutating func allocate(
        _ object: JSONValue, old: JSONValue?, _ resource: APIResource
    ) throws(APIStatus) -> JSONValue {
        guard resource.rules == .service else { return object }
        return try services.allocate(object, old: old, in: store, resource: resource)
    }

    /// Refuses an object that breaks a rule of its type.
    func validate(
        _ object: JSONValue, old: JSONValue?, _ context: WriteContext, name: ObjectName
    ) throws(APIStatus) {
        let resource = context.resource
        var causes = ObjectMetaRules.problems(object["metadata"] ?? [:], resource: resource)
        switch resource.rules {
        case .service: causes += ServiceRules.problems(object, old: old)
        case .ingress: causes += IngressRules.problems(object, old: old)
        case .customResourceDefinition: causes += DefinitionRules.problems(object, old: old)
        case .custom: causes += resource.schema?.validate(object, at: "") ?? []
        case .event:
            if old == nil {
                causes +=
                    resource.group.isEmpty
                    ? EventConversion.namespaceProblems(
                        name.namespace, object: object["involvedObject"], field: "involvedObject.namespace")
                    : EventConversion.problems(ofNew: object)
            }
        case .plain, .namespace, .specAndStatus, .review: break
        }
        try resource.check(causes, name: name.name)
    }

    /// What else changes when an object has been written.
    mutating func didWrite(_ stored: StoredObject, old: StoredObject?, _ resource: APIResource) {
        if resource.rules == .customResourceDefinition { catalog.install(stored.value) }
        if old == nil, isOrphan(stored) { hasGarbage = true }
    }

    /// Whether an object that has just been created names owners of which none exists. Looking them up keeps the
    /// garbage collector, which looks at everything, from running for each one that is born well.
    private func isOrphan(_ stored: StoredObject) -> Bool {
        let references = stored.value.list("metadata", "ownerReferences")
        return !references.isEmpty && !references.contains { exists($0, besides: stored) }
    }

    private func exists(_ reference: JSONValue, besides stored: StoredObject) -> Bool {
        let parts = reference.text("apiVersion").split(separator: "/", maxSplits: 1)
        guard let version = parts.last,
            let owner = catalog.resources(group: parts.count == 2 ? String(parts[0]) : "", version: String(version))
                .first(where: { $0.kind == reference.text("kind") })
        else { return false }
        let name = ObjectName(
            namespace: owner.isNamespaced ? stored.name.namespace : "", name: reference.text("name"))
        return store.object(owner.storage, name)?.value.text("metadata", "uid") == reference.text("uid")
    }

    /// What else changes when an object has been removed.
    mutating func didRemove(_ stored: StoredObject, _ resource: APIResource) {
        hasGarbage = true
        if resource.rules == .customResourceDefinition {
            for instance in store.objects(stored.name.name) { store.remove(stored.name.name, instance.name) }
            catalog.uninstall(stored.value)
        }
    }
}
