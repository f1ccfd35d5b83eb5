package import KubernetesAPI

/// What a watcher is told; one line of a watch response.
package struct WatchEvent: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable {
        case added = "ADDED"
        case modified = "MODIFIED"
        case deleted = "DELETED"
        case bookmark = "BOOKMARK"
        case error = "ERROR"
    }

    package var kind: Kind
    /// The object in the spelling of the watched version, a bookmark, or a Status.
    package var object: JSONValue
}

/// Which objects a list or a watch is about.
package struct ObjectSelection: Sendable {
    package var resource: APIResource
    /// nil for all namespaces.
    package var namespace: String?
    package var labels: LabelSelector
    package var fields: FieldSelector

    package init(
        resource: APIResource, namespace: String?, labels: LabelSelector = .everything,
        fields: FieldSelector = .everything
    ) {
        self.resource = resource
        self.namespace = namespace ?? fields.namespace
        self.labels = labels
        self.fields = fields
    }

    /// The object as served, if it is selected.
    package func served(_ stored: JSONValue, _ name: ObjectName) -> JSONValue? {
        if let namespace, name.namespace != namespace { return nil }
        if !labels.isEmpty {
            let given = stored[path: ["metadata", "labels"]]
            guard labels.matches({ given?[$0]?.stringValue }) else { return nil }
        }
        let object = resource.served(stored)
        return fields.isEmpty || fields.matches(object) ? object : nil
    }
}

/// A watcher's place in the history: reads on from there whenever it is woken.
///
/// The cursor pulls. A slow connection therefore holds back nobody, costs no memory, and if it falls out of the history is
/// told so with 410, like any watcher of a real server.
package struct WatchCursor: Sendable {
    /// Where a watch begins.
    package enum Start: Hashable, Sendable {
        /// With the objects there are, as ADDED; then the changes.
        case now(bookmarkWhenDone: Bool)
        /// With the changes after a revision.
        case after(Int64)
    }

    package let selection: ObjectSelection
    private var start: Start?
    /// Everything up to here has been seen.
    package private(set) var revision: Int64 = 0
    /// Whether an ERROR has been given: the watch is over.
    package private(set) var isFinished = false

    package init(selection: ObjectSelection, start: Start) {
        self.selection = selection
        self.start = start
        if case .after(let revision) = start { self.revision = revision }
    }

    /// What has happened since the last call.
    package mutating func next(from store: ObjectStore) -> [WatchEvent] {
        guard !isFinished else { return [] }
        switch start {
        case .now(let bookmark)?:
            start = nil
            return initialEvents(store, bookmark: bookmark)
        case .after?, nil:
            start = nil
            return changes(store)
        }
    }

    private mutating func initialEvents(_ store: ObjectStore, bookmark: Bool) -> [WatchEvent] {
        revision = store.revision
        var events = store.objects(selection.resource.storage, namespace: selection.namespace)
            .compactMap { stored in
                selection.served(stored.value, stored.name).map { WatchEvent(kind: .added, object: $0) }
            }
        if bookmark { events.append(self.bookmark(endsInitialEvents: true)) }
        return events
    }

    private mutating func changes(_ store: ObjectStore) -> [WatchEvent] {
        guard revision < store.revision else { return [] }
        do throws(APIStatus) {
            var events: [WatchEvent] = []
            for change in try store.changes(after: revision) where change.storage == selection.resource.storage {
                if let event = event(for: change) { events.append(event) }
            }
            revision = store.revision
            return events
        } catch {
            isFinished = true
            return [WatchEvent(kind: .error, object: error.json)]
        }
    }

    /// What a change is to somebody who sees only the selected objects: one that leaves the selection is deleted for them,
    /// one that enters it is added.
    private func event(for change: StoreChange) -> WatchEvent? {
        if let namespace = selection.namespace, change.name.namespace != namespace { return nil }
        let old = change.old.flatMap { selection.served($0.value, change.name) }
        let new = change.new.flatMap { selection.served($0.value, change.name) }
        switch (old, new) {
        case (nil, let new?): return WatchEvent(kind: .added, object: new)
        case (_?, let new?): return WatchEvent(kind: .modified, object: new)
        case (var old?, nil):
            old[path: ["metadata", "resourceVersion"]] = .string(String(change.revision))
            return WatchEvent(kind: .deleted, object: old)
        case (nil, nil): return nil
        }
    }

    /// A bookmark of the place reached.
    package func bookmark(endsInitialEvents: Bool = false) -> WatchEvent {
        var metadata: JSONValue = ["resourceVersion": .string(String(revision))]
        if endsInitialEvents { metadata["annotations"] = ["k8s.io/initial-events-end": "true"] }
        return WatchEvent(
            kind: .bookmark,
            object: [
                "kind": .string(selection.resource.kind), "apiVersion": .string(selection.resource.apiVersion),
                "metadata": metadata,
            ])
    }
}
