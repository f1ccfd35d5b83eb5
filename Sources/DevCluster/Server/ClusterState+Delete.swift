extension ClusterState {
    /// `DeleteOptions`, from the body or the query.
    private struct DeleteOptions {
        var propagation: String
        var uid: String
        var resourceVersion: String

        init(_ request: APIRequest) throws(APIStatus) {
            let body = request.body.isEmpty ? [:] : try ClusterState.decodeObject(request)
            propagation = request.query["propagationPolicy"] ?? body.text("propagationPolicy")
            if propagation.isEmpty {
                propagation =
                    switch body["orphanDependents"] ?? .null {
                    case true: "Orphan"
                    default: "Background"
                    }
            }
            guard ["Background", "Foreground", "Orphan"].contains(propagation) else {
                throw .invalid(
                    kind: "DeleteOptions", group: "meta.k8s.io", name: "",
                    [
                        .notSupported(
                            "propagationPolicy", .string(propagation), ["Foreground", "Background", "Orphan"])
                    ])
            }
            uid = body.text("preconditions", "uid")
            resourceVersion = body.text("preconditions", "resourceVersion")
        }
    }

    /// Answers a DELETE of one object or of a collection.
    mutating func delete(
        _ request: APIRequest, resource: APIResource, path: APIPath.Resource, presentation: Presentation,
        now: Timestamp
    ) throws(APIStatus) -> APIReply {
        guard path.subresource == nil else { throw .methodNotAllowed("a subresource cannot be deleted") }
        let options = try DeleteOptions(request)
        if let name = path.name {
            let outcome = try delete(
                resource, ObjectName(namespace: path.namespace ?? "", name: name), options, now: now)
            return .document(outcome, code: 200)
        }
        guard resource.verbs.contains("deletecollection") else {
            throw .methodNotAllowed("the server does not allow this method on the requested resource")
        }
        let listed = try list(
            request, resource: resource, path: path, presentation: .objects, now: now)
        guard case .document(let collection, _, _, _) = listed else { return listed }
        for item in collection.list("items") {
            let name = ObjectName(namespace: item.text("metadata", "namespace"), name: item.text("metadata", "name"))
            _ = try delete(resource, name, options, now: now)
        }
        return .document(collection, code: 200)
    }

    private mutating func delete(
        _ resource: APIResource, _ name: ObjectName, _ options: DeleteOptions, now: Timestamp
    ) throws(APIStatus) -> JSONValue {
        guard let stored = store.object(resource.storage, name) else { throw .notFound(resource, name.name) }
        let live = resource.served(stored.value)
        for (kind, wanted, actual) in [
            ("UID", options.uid, live.text("metadata", "uid")),
            ("ResourceVersion", options.resourceVersion, live.text("metadata", "resourceVersion")),
        ] where !wanted.isEmpty && wanted != actual {
            throw .conflict(
                resource, name.name,
                "Precondition failed: \(kind) in precondition: \(wanted), \(kind) in object meta: \(actual)")
        }
        if resource.rules == .namespace, ["default", "kube-system", "kube-public"].contains(name.name) {
            throw .forbidden(resource, name.name, "this namespace may not be deleted")
        }

        var value = stored.value
        var finalizers = value.list("metadata", "finalizers").compactMap(\.stringValue)
        switch options.propagation {
        case "Foreground" where !finalizers.contains(Finalizers.foreground): finalizers.append(Finalizers.foreground)
        case "Orphan" where !finalizers.contains(Finalizers.orphan): finalizers.append(Finalizers.orphan)
        default: break
        }
        let staysForNow = !finalizers.isEmpty || resource.rules == .namespace
        guard staysForNow else {
            store.remove(resource.storage, name)
            didRemove(stored, resource)
            var details = resource.details(name.name)
            details["uid"] = live[path: ["metadata", "uid"]]
            return [
                "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success",
                "details": .object(details),
            ]
        }
        if value.text("metadata", "deletionTimestamp").isEmpty {
            value[path: ["metadata", "deletionTimestamp"]] = .string(now.time)
            value[path: ["metadata", "deletionGracePeriodSeconds"]] = 0
            if let generation = value.integer("metadata", "generation") {
                value[path: ["metadata", "generation"]] = .integer(generation + 1)
            }
            if !finalizers.isEmpty { value[path: ["metadata", "finalizers"]] = .strings(finalizers) }
            if resource.rules == .namespace { value[path: ["status", "phase"]] = "Terminating" }
            hasGarbage = true
            return resource.served(store.put(resource.storage, name, value).value)
        }
        return live
    }
}

/// The finalizers that the garbage collector itself sets and removes.
enum Finalizers {
    static let foreground = "foregroundDeletion"
    static let orphan = "orphan"
}

extension ClusterState {
    /// One round of what controllers of a real cluster do after deletions: empties namespaces that are being deleted,
    /// deletes objects all of whose owners are gone, and finishes foreground and orphaning deletions.
    ///
    /// - Returns: Whether anything changed, so that another round may find more.
    package mutating func collectGarbage(now: Timestamp) -> Bool {
        let before = store.revision
        emptyTerminatingNamespaces(now: now)
        var owners: Set<String> = []
        var dependents: [(storage: String, object: StoredObject)] = []
        var waiting: [(storage: String, object: StoredObject)] = []
        store.forEach { storage, object in
            owners.insert(object.value.text("metadata", "uid"))
            if !object.value.list("metadata", "ownerReferences").isEmpty { dependents.append((storage, object)) }
            let finalizers = object.value.list("metadata", "finalizers")
            if !object.value.text("metadata", "deletionTimestamp").isEmpty,
                finalizers.contains(.string(Finalizers.foreground)) || finalizers.contains(.string(Finalizers.orphan))
            {
                waiting.append((storage, object))
            }
        }
        for (storage, object) in dependents {
            let references = object.value.list("metadata", "ownerReferences")
            if references.allSatisfy({ !owners.contains($0.text("uid")) }) {
                remove(storage, object.name, now: now)
            }
        }
        for (storage, object) in waiting { finish(storage, object, dependents: dependents, now: now) }
        return store.revision != before
    }

    private mutating func emptyTerminatingNamespaces(now: Timestamp) {
        for namespace in store.objects("namespaces") {
            guard !namespace.value.text("metadata", "deletionTimestamp").isEmpty else { continue }
            var isEmpty = true
            for storage in catalog.namespacedStorages {
                for object in store.objects(storage, namespace: namespace.name.name) {
                    remove(storage, object.name, now: now)
                    if store.object(storage, object.name) != nil { isEmpty = false }
                }
            }
            if isEmpty, namespace.value.list("metadata", "finalizers").isEmpty {
                store.remove("namespaces", namespace.name)
            }
        }
    }

    private mutating func finish(
        _ storage: String, _ object: StoredObject, dependents: [(storage: String, object: StoredObject)],
        now: Timestamp
    ) {
        let uid = object.value.text("metadata", "uid")
        let orphans = object.value.list("metadata", "finalizers").contains(.string(Finalizers.orphan))
        var blocked = false
        for (kind, dependent) in dependents {
            guard let current = store.object(kind, dependent.name) else { continue }
            let references = current.value.list("metadata", "ownerReferences")
            guard references.contains(where: { $0.text("uid") == uid }) else { continue }
            if orphans {
                var value = current.value
                value[path: ["metadata", "ownerReferences"]] = .array(references.filter { $0.text("uid") != uid })
                store.put(kind, current.name, value)
            } else {
                remove(kind, current.name, now: now)
                if store.object(kind, current.name) != nil { blocked = true }
            }
        }
        guard !blocked, let current = store.object(storage, object.name) else { return }
        let own: Set<JSONValue> = [.string(Finalizers.foreground), .string(Finalizers.orphan)]
        let rest = current.value.list("metadata", "finalizers").filter { !own.contains($0) }
        if rest.isEmpty {
            store.remove(storage, object.name)
            if let resource = catalog.anyResource(storage: storage) { didRemove(current, resource) }
        } else {
            var value = current.value
            value[path: ["metadata", "finalizers"]] = .array(rest)
            store.put(storage, object.name, value)
        }
    }

    /// Deletes an object in the name of the cluster: at once, or by marking it where finalizers hold it.
    private mutating func remove(_ storage: String, _ name: ObjectName, now: Timestamp) {
        guard let current = store.object(storage, name) else { return }
        if current.value.list("metadata", "finalizers").isEmpty {
            store.remove(storage, name)
            if let resource = catalog.anyResource(storage: storage) { didRemove(current, resource) }
        } else if current.value.text("metadata", "deletionTimestamp").isEmpty {
            var value = current.value
            value[path: ["metadata", "deletionTimestamp"]] = .string(now.time)
            value[path: ["metadata", "deletionGracePeriodSeconds"]] = 0
            store.put(storage, name, value)
        }
    }
}
