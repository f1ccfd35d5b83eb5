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

    /// What the watch showed of an object while a write of it was under way.
    private struct Overtaken {
        var newest: GatewayRoute?
        var deletedUIDs: Set<String?> = []
    }

    private struct State {
        var writes: [ObjectKey: Write] = [:]
        var underWay: [ObjectKey: Overtaken] = [:]
    }

    private let state = Mutex(State())

    /// The newer of what the cache has and what was written.
    func newest(_ key: ObjectKey, cached: GatewayRoute?) -> GatewayRoute? {
        state.withLock { state in
            switch state.writes[key] {
            case nil: return cached
            case .wrote(let written):
                guard let cached, Self.isNewer(cached, than: written) else { return written }
                state.writes[key] = nil
                return cached
            case .deleted(let uid):
                return cached?.metadata.uid == uid ? nil : cached
            }
        }
    }

    /// Writes, and remembers what the server made of it, unless the watch was quicker than the answer. One write of a
    /// key at a time.
    func write(
        _ key: ObjectKey, _ operation: () async throws -> GatewayRoute
    ) async throws -> GatewayRoute {
        begin(key)
        do {
            let written = try await operation()
            end(key, written)
            return written
        } catch {
            end(key, nil)
            throw error
        }
    }

    func begin(_ key: ObjectKey) { state.withLock { $0.underWay[key] = Overtaken() } }

    func end(_ key: ObjectKey, _ written: GatewayRoute?) {
        state.withLock { state in
            let overtaken = state.underWay.removeValue(forKey: key)
            guard let written, overtaken?.deletedUIDs.contains(written.metadata.uid) != true else { return }
            if let newest = overtaken?.newest, Self.isNewer(newest, than: written) { return }
            state.writes[key] = .wrote(written)
        }
    }

    /// A deletion is asked for.
    func deleted(_ object: GatewayRoute) {
        state.withLock { $0.writes[object.key] = .deleted(uid: object.metadata.uid) }
    }

    /// What was written, or is deleted, turned out otherwise: the cache is right again.
    func forget(_ key: ObjectKey) { state.withLock { $0.writes[key] = nil } }

    /// The watch has shown an object.
    ///
    /// - Returns: whether it is only the echo of a write, which nobody has to look at.
    func observed(_ object: GatewayRoute) -> Bool {
        let key = object.key
        return state.withLock { state in
            state.underWay[key]?.newest = object
            switch state.writes[key] {
            case nil: return false
            case .wrote(let written):
                if written.metadata.resourceVersion == object.metadata.resourceVersion {
                    state.writes[key] = nil
                    return true
                }
                guard Self.isNewer(object, than: written) else { return true }
                state.writes[key] = nil
                return false
            case .deleted(let uid):
                if object.metadata.uid != uid { state.writes[key] = nil }
                return object.metadata.uid == uid
            }
        }
    }

    /// The watch has shown that an object is gone.
    func observedDeletion(of object: GatewayRoute) {
        let (key, gone) = (object.key, object.metadata.uid)
        state.withLock { state in
            state.underWay[key]?.newest = nil
            state.underWay[key]?.deletedUIDs.insert(gone)
            switch state.writes[key] {
            case .wrote(let written) where written.metadata.uid == gone: state.writes[key] = nil
            case .deleted(let uid) where uid == gone: state.writes[key] = nil
            default: break
            }
        }
    }

    private static func isNewer(_ object: GatewayRoute, than other: GatewayRoute) -> Bool {
        guard let version = UInt64(object.metadata.resourceVersion ?? ""),
            let reference = UInt64(other.metadata.resourceVersion ?? "")
        else {
            // Without numbers the watch is believed, which costs a write at worst.
            return object.metadata.resourceVersion != other.metadata.resourceVersion
        }
        return version >= reference
    }
}
