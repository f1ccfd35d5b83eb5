/// A write on its way: what, through which door, by whom, when.
struct WriteContext: Sendable {
    let resource: APIResource
    let namespace: String
    let scope: FieldScope
    let manager: FieldManager
    let now: Timestamp
    let fieldValidation: String

    init(
        request: APIRequest, resource: APIResource, path: APIPath.Resource, operation: FieldManager.Operation,
        now: Timestamp
    ) {
        self.resource = resource
        self.namespace = path.namespace ?? ""
        self.scope = path.subresource == "status" ? .onlyStatus : resource.hasStatus ? .exceptStatus : .everything
        self.manager = FieldManager(
            name: request.fieldManager, operation: operation, apiVersion: resource.apiVersion,
            subresource: path.subresource ?? "")
        self.now = now
        self.fieldValidation = request.query["fieldValidation"] ?? "Warn"
    }
}

/// What a write leaves behind.
struct WriteOutcome: Sendable {
    /// As served.
    var object: JSONValue
    var created = false
    var warnings: [String] = []
}

extension ClusterState {
    /// Creates an object from a request body.
    mutating func create(_ body: JSONValue, _ context: WriteContext) throws(APIStatus) -> WriteOutcome {
        try create(body, context, applied: nil)
    }

    /// Creates an object.
    ///
    /// - Parameter applied: The ownership recorded by a server-side apply, if it is one that creates.
    private mutating func create(
        _ body: JSONValue, _ context: WriteContext, applied: ManagedFields?
    ) throws(APIStatus) -> WriteOutcome {
        let resource = context.resource
        var object = body
        try Self.checkType(&object, resource)
        try Self.checkNamespace(&object, context)
        var metadata = object["metadata"] ?? [:]
        if metadata.text("name").isEmpty, !metadata.text("generateName").isEmpty {
            metadata["name"] = .string(String(metadata.text("generateName").prefix(58)) + newSuffix())
        }
        let name = ObjectName(namespace: context.namespace, name: metadata.text("name"))
        if !metadata.text("resourceVersion").isEmpty {
            throw .badRequest("resourceVersion should not be set on objects to be created")
        }
        if resource.isNamespaced { try checkNamespaceAcceptsObjects(context, name: name.name) }
        for field in ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "generation"] {
            metadata[field] = nil
        }
        metadata["uid"] = .string(newUID())
        metadata["creationTimestamp"] = .string(context.now.time)
        if resource.raisesGeneration { metadata["generation"] = 1 }
        object["metadata"] = metadata
        if resource.hasStatus { object["status"] = nil }

        var warnings: [String] = []
        object = try prepare(object, old: nil, context, warnings: &warnings)

        var ownership = applied ?? ManagedFields()
        if applied == nil {
            ownership.recordUpdate(
                by: context.manager, from: [:], to: object, shape: resource.shape, scope: context.scope,
                time: context.now.time)
        }
        object = try allocate(object, old: nil, resource)
        object[path: ["metadata", "managedFields"]] = ownership.json
        try validate(object, old: nil, context, name: name)

        if store.object(resource.storage, name) != nil { throw .alreadyExists(resource, name.name) }
        let stored = store.put(resource.storage, name, resource.stored(object))
        didWrite(stored, old: nil, resource)
        return WriteOutcome(object: resource.served(stored.value), created: true, warnings: warnings)
    }

    /// Changes an object.
    ///
    /// - Parameter change: Makes the wanted object from the live one, as served.
    mutating func update(
        named name: String, _ context: WriteContext, change: (JSONValue) throws(APIStatus) -> JSONValue
    ) throws(APIStatus) -> WriteOutcome {
        try update(named: name, context, applied: nil, change: change)
    }

    private mutating func update(
        named text: String, _ context: WriteContext, applied: ManagedFields?,
        change: (JSONValue) throws(APIStatus) -> JSONValue
    ) throws(APIStatus) -> WriteOutcome {
        let resource = context.resource
        let name = ObjectName(namespace: context.namespace, name: text)
        guard let current = store.object(resource.storage, name) else { throw .notFound(resource, text) }
        let live = resource.served(current.value)
        var object = try change(live)
        try Self.checkType(&object, resource)
        try Self.checkNamespace(&object, context)
        let requested = object["metadata"] ?? [:]
        if requested.text("name").isEmpty { object[path: ["metadata", "name"]] = .string(text) }
        guard object.text("metadata", "name") == text else {
            throw .badRequest(
                "the name of the object (\(requested.text("name"))) does not match the name on the URL (\(text))")
        }
        try Self.checkVersion(requested, live: live, context, name: text)

        object = Self.restrict(object, to: context.scope, live: live)
        var warnings: [String] = []
        object = try prepare(object, old: live, context, warnings: &warnings)
        object = try allocate(object, old: live, resource)
        if resource.raisesGeneration, Self.specChanged(from: live, to: object, resource) {
            object[path: ["metadata", "generation"]] = .integer((live.integer("metadata", "generation") ?? 0) + 1)
        }

        // Ownership the caller sends replaces the live one: that is how kubectl moves fields from one manager to another.
        var ownership =
            applied ?? ManagedFields(json: requested["managedFields"] ?? live[path: ["metadata", "managedFields"]])
        if applied == nil {
            ownership.recordUpdate(
                by: context.manager, from: live, to: object, shape: resource.shape, scope: context.scope,
                time: context.now.time)
        }
        object[path: ["metadata", "managedFields"]] = ownership.entries.isEmpty ? nil : ownership.json
        try validate(object, old: live, context, name: name)

        let deletes =
            !object.text("metadata", "deletionTimestamp").isEmpty
            && object.list("metadata", "finalizers").isEmpty
        if deletes {
            store.remove(resource.storage, name)
            didRemove(current, resource)
            return WriteOutcome(object: object, warnings: warnings)
        }
        // A write that changes nothing is none: no new version, nobody is told.
        if Self.isSame(live, object) { return WriteOutcome(object: live, warnings: warnings) }
        let stored = store.put(resource.storage, name, resource.stored(object))
        didWrite(stored, old: current, resource)
        return WriteOutcome(object: resource.served(stored.value), warnings: warnings)
    }

    /// Answers a PATCH, by its content type.
    mutating func patch(
        named name: String, request: APIRequest, resource: APIResource, path: APIPath.Resource, now: Timestamp
    ) throws(APIStatus) -> WriteOutcome {
        var accepted = [
            "application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml",
        ]
        if resource.allowsStrategicMerge { accepted.insert("application/strategic-merge-patch+json", at: 2) }
        guard accepted.contains(request.mediaType) else { throw .unsupportedMediaType(accepted) }
        let body: JSONValue
        do {
            body = try JSONValue(parsingYAML: request.body)
        } catch {
            throw .badRequest("the patch cannot be read: \(error)")
        }
        if request.mediaType == "application/apply-patch+yaml" {
            return try apply(body, named: name, request: request, resource: resource, path: path, now: now)
        }
        let context = WriteContext(request: request, resource: resource, path: path, operation: .update, now: now)
        if request.mediaType == "application/json-patch+json" {
            let patch: JSONPatch
            do { patch = try JSONPatch(body) } catch { throw .badRequest("\(error)") }
            return try update(named: name, context) { (live) throws(APIStatus) in
                do {
                    return try patch.apply(to: live)
                } catch {
                    throw APIStatus(code: 422, reason: "Invalid", message: "the patch cannot be applied: \(error)")
                }
            }
        }
        guard case .object = body else { throw .badRequest("the patch must be an object") }
        return try update(named: name, context) { (live) in
            request.mediaType == "application/merge-patch+json"
                ? live.merged(with: body) : live.strategicallyMerged(with: body, shape: resource.shape)
        }
    }

    private mutating func apply(
        _ body: JSONValue, named name: String, request: APIRequest, resource: APIResource, path: APIPath.Resource,
        now: Timestamp
    ) throws(APIStatus) -> WriteOutcome {
        guard request.query["fieldManager"] != nil else {
            throw .invalid(
                kind: "PatchOptions", group: "meta.k8s.io", name: "",
                [.required("fieldManager", "is required for apply patch")])
        }
        guard case .object = body else { throw .badRequest("the applied configuration must be an object") }
        var body = body
        try Self.checkType(&body, resource)
        if !(body[path: ["metadata", "managedFields"]]?.isEmptyOrNull ?? true) {
            throw .badRequest("metadata.managedFields must be nil")
        }
        let context = WriteContext(request: request, resource: resource, path: path, operation: .apply, now: now)
        try Self.checkNamespace(&body, context)
        let version = body.text("metadata", "resourceVersion")
        let current = store.object(resource.storage, ObjectName(namespace: context.namespace, name: name))
        let live = current.map { resource.served($0.value) }
        if live == nil, path.subresource != nil { throw .notFound(resource, name) }
        if !version.isEmpty, let live, live.text("metadata", "resourceVersion") != version {
            throw .conflict(resource, name)
        }
        if body.text("metadata", "name").isEmpty { body[path: ["metadata", "name"]] = .string(name) }

        var engine = ServerSideApply(
            manager: context.manager, force: request.query.flag("force"), shape: resource.shape, scope: context.scope)
        let managedFields = ManagedFields(json: live?[path: ["metadata", "managedFields"]])
        let result: ServerSideApply.Result
        do {
            result = try engine.apply(body, to: live ?? [:], managedFields: managedFields, time: now.time)
        } catch {
            // kubectl going over from client-side apply may take back what it applied that way.
            guard context.manager.name == "kubectl",
                error.isCovered(by: Self.fieldsLastApplied(live ?? [:], shape: resource.shape))
            else { throw error.status }
            engine.force = true
            do {
                result = try engine.apply(body, to: live ?? [:], managedFields: managedFields, time: now.time)
            } catch {
                throw error.status
            }
        }
        guard live != nil else {
            return try create(result.object, context, applied: result.managedFields)
        }
        return try update(named: name, context, applied: result.managedFields) { (_) in result.object }
    }
}

extension ClusterState {
    /// What client-side apply last applied, from the annotation in which kubectl keeps it.
    private static func fieldsLastApplied(_ live: JSONValue, shape: MergeShape) -> FieldSet {
        let text = live.text("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration")
        guard let applied = try? JSONValue(parsing: text) else { return FieldSet() }
        return FieldSet(of: ManagedFields.withoutServerFields(applied), shape: shape)
    }

    /// The object's type must be the one the URL names; left out, it is filled in.
    static func checkType(_ object: inout JSONValue, _ resource: APIResource) throws(APIStatus) {
        for (field, expected) in [("apiVersion", resource.apiVersion), ("kind", resource.kind)] {
            let given = object.text(field)
            if given.isEmpty {
                object[field] = .string(expected)
            } else if given != expected {
                throw .badRequest(
                    "the object provided is unrecognized (must be of type \(resource.kind)): \(field) is \"\(given)\", "
                        + "expected \"\(expected)\"")
            }
        }
        if let metadata = object["metadata"], metadata.objectValue == nil, !metadata.isNull {
            throw .badRequest("metadata must be an object")
        }
    }

    private static func checkNamespace(_ object: inout JSONValue, _ context: WriteContext) throws(APIStatus) {
        guard context.resource.isNamespaced else {
            object[path: ["metadata", "namespace"]] = nil
            return
        }
        let given = object.text("metadata", "namespace")
        guard given.isEmpty || given == context.namespace else {
            throw .badRequest(
                "the namespace of the provided object does not match the namespace sent on the request")
        }
        object[path: ["metadata", "namespace"]] = .string(context.namespace)
    }

    private func checkNamespaceAcceptsObjects(_ context: WriteContext, name: String) throws(APIStatus) {
        guard let namespaces = catalog.resource(group: "", version: "v1", plural: "namespaces") else { return }
        let found = store.object("namespaces", ObjectName(namespace: "", name: context.namespace))
        guard let found else { throw .notFound(namespaces, context.namespace) }
        if !found.value.text("metadata", "deletionTimestamp").isEmpty {
            throw .forbidden(
                context.resource, name,
                "unable to create new content in namespace \(context.namespace) because it is being terminated")
        }
    }

    private static func checkVersion(
        _ requested: JSONValue, live: JSONValue, _ context: WriteContext, name: String
    ) throws(APIStatus) {
        let version = requested.text("resourceVersion")
        if version.isEmpty || version == "0" {
            guard context.resource.allowsUnconditionalUpdate || context.manager.operation == .apply else {
                throw .invalid(
                    kind: context.resource.kind, group: context.resource.group, name: name,
                    [.invalid("metadata.resourceVersion", 0, "must be specified for an update")])
            }
        } else if version != live.text("metadata", "resourceVersion") {
            throw .conflict(context.resource, name)
        }
        let uid = requested.text("uid")
        if !uid.isEmpty, uid != live.text("metadata", "uid") {
            throw .conflict(
                context.resource, name,
                "Precondition failed: UID in precondition: \(uid), UID in object meta: \(live.text("metadata", "uid"))")
        }
    }

    /// The wanted object with everything taken from the live one that a request of this scope cannot change.
    private static func restrict(_ object: JSONValue, to scope: FieldScope, live: JSONValue) -> JSONValue {
        var result = object
        switch scope {
        case .onlyStatus:
            result = live
            result["status"] = object["status"]
            return result
        case .exceptStatus: result["status"] = live["status"]
        case .everything: break
        }
        for field in [
            "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds",
            "resourceVersion", "generateName", "selfLink",
        ] {
            result[path: ["metadata", field]] = live[path: ["metadata", field]]
        }
        return result
    }

    private static func specChanged(from old: JSONValue, to new: JSONValue, _ resource: APIResource) -> Bool {
        func relevant(_ object: JSONValue) -> JSONValue {
            guard resource.rules == .custom else { return object["spec"] ?? .null }
            var rest = object
            rest["metadata"] = nil
            if resource.hasStatus { rest["status"] = nil }
            return rest
        }
        return relevant(old) != relevant(new)
    }

    private static func isSame(_ old: JSONValue, _ new: JSONValue) -> Bool {
        func comparable(_ object: JSONValue) -> JSONValue {
            var result = object
            result[path: ["metadata", "managedFields"]] = object[path: ["metadata", "managedFields"]].map { fields in
                .array(
                    fields.elements.map { entry in
                        var entry = entry
                        entry["time"] = nil
                        return entry
                    })
            }
            return result
        }
        return comparable(old) == comparable(new)
    }
}
