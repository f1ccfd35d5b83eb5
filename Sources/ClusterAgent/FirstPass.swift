import KubernetesAPI
import Synchronization

/// Notices when every Ingress there was at the start of a term has been looked at once.
///
/// Until then the ledger is a part of the truth, and publishing it would withdraw the rest.
final class FirstPass: Sendable {
    private let remaining: Mutex<Set<ObjectKey>>
    private let onComplete: @Sendable () -> Void

    /// `onComplete` is called once; at once if there is nothing to look at.
    init(_ keys: Set<ObjectKey>, onComplete: @escaping @Sendable () -> Void) {
        remaining = Mutex(keys)
        self.onComplete = onComplete
        if keys.isEmpty { onComplete() }
    }

    /// An Ingress has been looked at, with whatever success.
    func attempted(_ key: ObjectKey) {
        let isCompleteNow = remaining.withLock { $0.remove(key) != nil && $0.isEmpty }
        if isCompleteNow { onComplete() }
    }
}
