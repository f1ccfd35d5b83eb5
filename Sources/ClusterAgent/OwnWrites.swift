import KubernetesAPI
import Synchronization

/// The GatewayRoutes as this agent has written them, where the watch has not shown them yet.
///
/// Without it a reconciliation that follows at once on a write would look at the state before the write, and write
/// again. Resource versions of one resource type are compared as numbers, which the API allows.
final class OwnWrites: Sendable {
    private enum Write {
        case wrote(GatewayRoute)
        case deleted(uid: String?)
    }

    private let writes = Mutex<[ObjectKey: Write]>([:])

    /// The newer of what the cache has and what was written.
    func newest(_ key: ObjectKey, cached: GatewayRoute?) -> GatewayRoute? {
        writes.withLock { writes in
            switch writes[key] {
            case nil: return cached
            case .wrote(let written):
                guard let cached else { return written }
                return Self.isNewer(cached, than: written) ? cached : written
            case .deleted(let uid):
                return cached?.metadata.uid == uid ? nil : cached
            }
        }
    }

    func wrote(_ object: GatewayRoute) { writes.withLock { $0[object.key] = .wrote(object) } }

    func deleted(_ object: GatewayRoute) { writes.withLock { $0[object.key] = .deleted(uid: object.metadata.uid) } }

    /// The server has no such object after all.
    func forget(_ key: ObjectKey) { writes.withLock { $0[key] = nil } }

    /// The watch has shown an object.
    ///
    /// - Returns: whether it is only the echo of a write, which nobody has to look at.
    func observed(_ object: GatewayRoute) -> Bool {
        writes.withLock { writes in
            switch writes[object.key] {
            case nil: return false
            case .wrote(let written):
                if written.metadata.resourceVersion == object.metadata.resourceVersion {
                    writes[object.key] = nil
                    return true
                }
                guard Self.isNewer(object, than: written) else { return true }
                writes[object.key] = nil
                return false
            case .deleted(let uid):
                if object.metadata.uid != uid { writes[object.key] = nil }
                return object.metadata.uid == uid
            }
        }
    }

    /// The watch has shown that an object is gone.
    func observedDeletion(of object: GatewayRoute) {
        writes.withLock { writes in
            switch writes[object.key] {
            case .wrote(let written) where written.metadata.uid == object.metadata.uid: writes[object.key] = nil
            case .deleted(let uid) where uid == object.metadata.uid: writes[object.key] = nil
            default: break
            }
        }
    }

    private static func isNewer(_ object: GatewayRoute, than other: GatewayRoute) -> Bool {
        guard let version = UInt64(object.metadata.resourceVersion ?? ""),
            let reference = UInt64(other.metadata.resourceVersion ?? "")
        // Without numbers the watch is believed, which costs a write at worst.
        else { return object.metadata.resourceVersion != other.metadata.resourceVersion }
        return version >= reference
    }
}
