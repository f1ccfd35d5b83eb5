package import KubernetesAPI

/// An immutable state of a store: objects by key, and their keys by index value.
package struct StoreSnapshot<R: KubernetesResource>: Sendable {
    /// Computes the values under which an object is found in an index.
    package typealias Index = @Sendable (R) -> [String]

    /// All objects by key.
    package private(set) var objects: [ObjectKey: R] = [:]
    private var indexed: [String: [String: Set<ObjectKey>]] = [:]
    private let indices: [String: Index]

    package init(indices: [String: Index] = [:]) {
        self.indices = indices
        for name in indices.keys { indexed[name] = [:] }
    }

    /// The object with this key.
    package subscript(key: ObjectKey) -> R? { objects[key] }

    /// The keys of the objects that have `value` in `index`, in no particular order. An unknown index is a mistake of
    /// the caller.
    package func keys(index: String, value: String) -> Set<ObjectKey> {
        guard let values = indexed[index] else { preconditionFailure("no index named \(index)") }
        return values[value] ?? []
    }

    mutating func set(_ object: R) -> ObjectChange<R> {
        let key = object.key
        let old = objects.updateValue(object, forKey: key)
        if let old { unindex(old, key) }
        for (name, index) in indices {
            for value in index(object) { indexed[name, default: [:]][value, default: []].insert(key) }
        }
        return old.map { .updated(old: $0, new: object) } ?? .added(object)
    }

    mutating func remove(_ key: ObjectKey) -> R? {
        guard let old = objects.removeValue(forKey: key) else { return nil }
        unindex(old, key)
        return old
    }

    private mutating func unindex(_ object: R, _ key: ObjectKey) {
        for (name, index) in indices {
            for value in index(object) {
                guard let at = indexed[name]?.index(forKey: value) else { continue }
                indexed[name]?.values[at].remove(key)
                if indexed[name]?[value]?.isEmpty == true { indexed[name]?[value] = nil }
            }
        }
    }
}
