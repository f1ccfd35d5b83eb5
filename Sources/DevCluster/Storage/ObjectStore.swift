import DequeModule

/// Where an object is within its type. Cluster-scoped objects have the namespace "".
package struct ObjectName: Hashable, Comparable, Sendable {
    package var namespace: String
    package var name: String

    package init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    package static func < (left: ObjectName, right: ObjectName) -> Bool {
        (left.namespace, left.name) < (right.namespace, right.name)
    }
}

/// One version of one object.
package struct StoredObject: Hashable, Sendable {
    package let name: ObjectName
    /// The version at which it was written.
    package let revision: Int64
    /// The whole object, `metadata.resourceVersion` included.
    package let value: JSONValue
}

/// One step of the store's history.
package struct StoreChange: Hashable, Sendable {
    package let revision: Int64
    /// The type's storage, as ``APIResource/storage``.
    package let storage: String
    package let name: ObjectName
    /// nil when the object was created.
    package let old: StoredObject?
    /// nil when the object was removed.
    package let new: StoredObject?

    /// The last form of a removed object: what it was, at the revision of its removal.
    package var tombstone: JSONValue? {
        guard new == nil, var value = old?.value else { return nil }
        value[path: ["metadata", "resourceVersion"]] = .string(String(revision))
        return value
    }
}

/// All objects, their single sequence of versions, and the recent history of changes.
///
/// The revision is one counter for the whole store, as etcd has it. The history is bounded; who asks for what has left it
/// gets ``APIStatus`` 410 and must list anew.
package struct ObjectStore: Sendable {
    /// The version of the newest change.
    package private(set) var revision: Int64
    /// Changes at or before this revision are forgotten.
    package private(set) var compactedRevision: Int64
    private var collections: [String: [ObjectName: StoredObject]] = [:]
    private var history: Deque<StoreChange> = []
    private let historyLimit: Int

    /// - Parameters:
    ///   - firstRevision: The revision before the first change.
    ///   - historyLimit: How many changes are remembered at most.
    package init(firstRevision: Int64 = 0, historyLimit: Int = 10_000) {
        self.revision = firstRevision
        self.compactedRevision = firstRevision
        self.historyLimit = max(1, historyLimit)
    }

    package func object(_ storage: String, _ name: ObjectName) -> StoredObject? {
        collections[storage]?[name]
    }

    /// The objects of a type in the order of their names.
    ///
    /// - Parameter namespace: Only this namespace's, unless nil.
    package func objects(_ storage: String, namespace: String? = nil) -> [StoredObject] {
        guard let collection = collections[storage] else { return [] }
        return collection.values.filter { namespace == nil || $0.name.namespace == namespace }
            .sorted { $0.name < $1.name }
    }

    /// The objects of a type as they were at an earlier revision.
    ///
    /// - Throws: ``APIStatus`` 410 when the history does not reach back that far.
    package func objects(
        _ storage: String, namespace: String?, at revision: Int64
    ) throws(APIStatus) -> [StoredObject] {
        guard revision >= compactedRevision else {
            throw .expired(requested: revision, oldest: compactedRevision)
        }
        guard revision < self.revision else { return objects(storage, namespace: namespace) }
        var collection = collections[storage] ?? [:]
        for change in history.reversed() {
            guard change.revision > revision else { break }
            if change.storage == storage { collection[change.name] = change.old }
        }
        return collection.values.filter { namespace == nil || $0.name.namespace == namespace }
            .sorted { $0.name < $1.name }
    }

    /// Every object of every type, in no order.
    package func forEach(_ body: (_ storage: String, _ object: StoredObject) -> Void) {
        for (storage, collection) in collections {
            for object in collection.values { body(storage, object) }
        }
    }

    /// Creates or replaces an object, giving it the next revision.
    @discardableResult
    package mutating func put(_ storage: String, _ name: ObjectName, _ value: JSONValue) -> StoredObject {
        revision += 1
        var value = value
        value[path: ["metadata", "resourceVersion"]] = .string(String(revision))
        let new = StoredObject(name: name, revision: revision, value: value)
        let old = collections[storage, default: [:]].updateValue(new, forKey: name)
        record(StoreChange(revision: revision, storage: storage, name: name, old: old, new: new))
        return new
    }

    /// Removes an object; its removal has a revision too.
    @discardableResult
    package mutating func remove(_ storage: String, _ name: ObjectName) -> StoreChange? {
        guard let old = collections[storage]?.removeValue(forKey: name) else { return nil }
        revision += 1
        let change = StoreChange(revision: revision, storage: storage, name: name, old: old, new: nil)
        record(change)
        return change
    }

    private mutating func record(_ change: StoreChange) {
        history.append(change)
        while history.count > historyLimit {
            compactedRevision = history.removeFirst().revision
        }
    }

    /// Forgets the whole history: every resume from an earlier revision then answers 410.
    package mutating func compact() {
        history.removeAll()
        compactedRevision = revision
    }

    /// The changes after `revision`, of every type, oldest first.
    ///
    /// - Throws: ``APIStatus`` 410 when some of them are forgotten.
    package func changes(after revision: Int64) throws(APIStatus) -> [StoreChange] {
        guard revision >= compactedRevision else {
            throw .expired(requested: revision, oldest: compactedRevision)
        }
        var low = 0
        var high = history.count
        while low < high {
            let middle = (low + high) / 2
            if history[middle].revision <= revision { low = middle + 1 } else { high = middle }
        }
        return Array(history[low...])
    }
}
