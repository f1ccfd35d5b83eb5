import KubernetesAPI

extension ClusterState {
    /// Answers a list, whole or a piece of it.
    func list(
        _ request: APIRequest, resource: APIResource, path: APIPath.Resource, presentation: Presentation,
        now: Timestamp
    ) throws(APIStatus) -> APIReply {
        let selection = try selection(request, resource: resource, path: path)
        let limit = request.query["limit"].flatMap { Int($0) } ?? 0
        let requested = try Self.resourceVersion(request)
        if let requested, requested > store.revision {
            throw .resourceVersionTooLarge(requested: requested, current: store.revision)
        }

        var revision = store.revision
        var objects: [StoredObject]
        if let text = request.query["continue"] {
            let token = try ContinueToken(text)
            guard token.revision >= store.compactedRevision else { throw .expiredContinueToken }
            revision = token.revision
            objects = try store.objects(resource.storage, namespace: selection.namespace, at: revision)
                .filter { $0.name > token.after }
        } else if request.query["resourceVersionMatch"] == "Exact", let requested, requested > 0 {
            revision = requested
            objects = try store.objects(resource.storage, namespace: selection.namespace, at: requested)
        } else {
            objects = store.objects(resource.storage, namespace: selection.namespace)
        }

        var items: [JSONValue] = []
        var metadata: JSONValue = ["resourceVersion": .string(String(revision))]
        for (index, stored) in objects.enumerated() {
            guard let item = selection.served(stored.value, stored.name) else { continue }
            items.append(item)
            let remaining = objects.count - index - 1
            if limit > 0, items.count == limit, remaining > 0 {
                metadata["continue"] = .string(ContinueToken(revision: revision, after: stored.name).text)
                if selection.labels.isEmpty, selection.fields.isEmpty {
                    metadata["remainingItemCount"] = .integer(Int64(remaining))
                }
                break
            }
        }
        return .document(
            presentation.list(items, metadata: metadata, resource: resource, now: now), code: 200)
    }

    /// Accepts a watch.
    func watch(
        _ request: APIRequest, resource: APIResource, path: APIPath.Resource, presentation: Presentation
    ) throws(APIStatus) -> APIReply {
        let selection = try selection(request, resource: resource, path: path)
        let match = request.query["resourceVersionMatch"]
        let bookmarks = request.query.flag("allowWatchBookmarks")
        let requested = try Self.resourceVersion(request) ?? 0
        let start: WatchCursor.Start
        if let initial = request.query["sendInitialEvents"] {
            guard match == "NotOlderThan" else {
                throw Self.forbiddenOption("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
            }
            if initial == "true" {
                if requested > store.revision {
                    throw .resourceVersionTooLarge(requested: requested, current: store.revision)
                }
                start = .now(bookmarkWhenDone: bookmarks)
            } else {
                start = .after(requested == 0 ? store.revision : requested)
            }
        } else {
            if match != nil {
                throw Self.forbiddenOption(
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
            }
            start = requested == 0 ? .now(bookmarkWhenDone: false) : .after(requested)
        }
        return .watch(
            WatchPlan(
                cursor: WatchCursor(selection: selection, start: start), presentation: presentation,
                sendsBookmarks: bookmarks, timeoutSeconds: request.query["timeoutSeconds"].flatMap { Int64($0) }))
    }

    private func selection(
        _ request: APIRequest, resource: APIResource, path: APIPath.Resource
    ) throws(APIStatus) -> ObjectSelection {
        let labels = try request.query["labelSelector"].map { (text) throws(APIStatus) in
            do {
                return try LabelSelector(text)
            } catch {
                throw .badRequest("unable to parse requirement: the label selector \"\(text)\" \(error)")
            }
        }
        var text = request.query["fieldSelector"] ?? ""
        if let name = path.name { text = "metadata.name=\(name)" + (text.isEmpty ? "" : ",\(text)") }
        return ObjectSelection(
            resource: resource, namespace: path.namespace, labels: labels ?? .everything,
            fields: try FieldSelector(text, resource: resource))
    }

    /// The `resourceVersion` parameter; nil where it is absent.
    static func resourceVersion(_ request: APIRequest) throws(APIStatus) -> Int64? {
        guard let text = request.query["resourceVersion"] else { return nil }
        guard let value = Int64(text), value >= 0 else {
            throw .badRequest("Invalid value: \"\(text)\": the resource version must be a number")
        }
        return value
    }

    private static func forbiddenOption(_ message: String) -> APIStatus {
        .invalid(
            kind: "ListOptions", group: "meta.k8s.io", name: "",
            [.forbidden("resourceVersionMatch", message)])
    }
}
