package import KubernetesAPI
import Synchronization

/// What is known of the objects of one type: the reading side of a cache that a reflector fills.
///
/// Every read sees one whole state. Nothing is in it before the first list is complete.
package final class Store<R: KubernetesResource>: Sendable {
    fileprivate let state: Mutex<StoreSnapshot<R>>

    fileprivate init(_ snapshot: StoreSnapshot<R>) { state = Mutex(snapshot) }

    /// The object with this key.
    package func get(_ key: ObjectKey) -> R? { state.withLock { $0[key] } }

    /// All objects, in no particular order.
    package func all() -> [R] { Array(snapshot().objects.values) }

    /// The number of objects.
    package var count: Int { state.withLock { $0.objects.count } }

    /// The keys of the objects that have `value` in `index`, in order.
    package func keys(index: String, value: String) -> [ObjectKey] {
        state.withLock { $0.keys(index: index, value: value) }.sorted()
    }

    /// The objects that have `value` in `index`, in the order of their keys.
    package func objects(index: String, value: String) -> [R] {
        state.withLock { state in
            state.keys(index: index, value: value).sorted().compactMap { state[$0] }
        }
    }

    /// The state as it is now, for several reads that belong together. Hold it briefly: while it is held, the next
    /// change has to copy.
    package func snapshot() -> StoreSnapshot<R> { state.withLock { $0 } }
}

/// The writing side of a store; there is one for each.
package struct StoreWriter<R: KubernetesResource>: Sendable {
    /// The side to hand out.
    package let store: Store<R>
    private let indices: [String: StoreSnapshot<R>.Index]

    /// An empty store. `indices` compute, for each index name, the values under which an object is found.
    package init(indices: [String: StoreSnapshot<R>.Index] = [:]) {
        self.indices = indices
        store = Store(StoreSnapshot(indices: indices))
    }

    /// Swaps in a whole new state and returns how it differs from the one before: deletions first, then additions and
    /// updates, each in the order of keys. Objects with an unchanged resource version are no difference. Those of `kept`
    /// that are known stay as they are.
    package func replace(with objects: [R], keeping kept: KeptObjects = []) -> [ObjectChange<R>] {
        // There is one writer, so the old state cannot change meanwhile, and readers need not wait for the comparison.
        let state = store.snapshot()
        var next = StoreSnapshot<R>(indices: indices)
        for object in objects { _ = next.set(object) }
        let spared: any Sequence<ObjectKey> =
            switch kept {
            case .these(let keys): keys
            case .all: state.objects.keys
            }
        for key in spared where next[key] == nil {
            if let old = state[key] { _ = next.set(old) }
        }
        var changes: [ObjectChange<R>] = []
        for (key, old) in state.objects.sorted(by: { $0.key < $1.key }) where next[key] == nil {
            changes.append(.deleted(old))
        }
        for (key, new) in next.objects.sorted(by: { $0.key < $1.key }) {
            guard let old = state[key] else {
                changes.append(.added(new))
                continue
            }
            if old.metadata.resourceVersion == nil || old.metadata.resourceVersion != new.metadata.resourceVersion
                || old.metadata.uid != new.metadata.uid
            {
                changes.append(.updated(old: old, new: new))
            }
        }
        store.state.withLock { $0 = next }
        return changes
    }

    /// Adds or replaces one object.
    package func set(_ object: R) -> ObjectChange<R> { store.state.withLock { $0.set(object) } }

    /// Removes one object; nil if there was none. `last` is its last state, where the server told it.
    package func remove(_ key: ObjectKey, last: R?) -> ObjectChange<R>? {
        store.state.withLock { $0.remove(key) }.map { .deleted(last ?? $0) }
    }
}
