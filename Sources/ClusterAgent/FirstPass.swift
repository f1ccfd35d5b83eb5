import KubernetesAPI
import KubernetesRuntime
import ServiceLifecycle
import Synchronization

/// Notices when every Ingress there was at the start has been looked at once.
///
/// Until then the ledger is a part of the truth, and publishing it would withdraw the rest.
final class FirstPass: ServiceLifecycle.Service {
    private enum State {
        /// The keys are not known yet; some may already have been looked at.
        case counting(attempted: Set<ObjectKey>)
        case remaining(Set<ObjectKey>)
        case complete
    }

    private let ingresses: Informer<Ingress>
    private let onComplete: @Sendable () -> Void
    private let state = Mutex(State.counting(attempted: []))

    init(ingresses: Informer<Ingress>, onComplete: @escaping @Sendable () -> Void) {
        self.ingresses = ingresses
        self.onComplete = onComplete
    }

    /// Returns once the keys are known, or on graceful shutdown.
    func run() async throws {
        await cancelWhenGracefulShutdown {
            guard (try? await self.ingresses.waitUntilSynced()) != nil else { return }
            let keys = Set(self.ingresses.store.all().map(\.key))
            self.change { state in
                guard case .counting(let attempted) = state else { return }
                state = .remaining(keys.subtracting(attempted))
            }
        }
        try Task.checkCancellation()
    }

    /// An Ingress has been looked at, with whatever success.
    func attempted(_ key: ObjectKey) {
        change { state in
            switch state {
            case .counting(var attempted):
                attempted.insert(key)
                state = .counting(attempted: attempted)
            case .remaining(var keys):
                keys.remove(key)
                state = .remaining(keys)
            case .complete: break
            }
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let isCompleteNow = state.withLock { state in
            if case .complete = state { return false }
            body(&state)
            guard case .remaining(let keys) = state, keys.isEmpty else { return false }
            state = .complete
            return true
        }
        if isCompleteNow { onComplete() }
    }
}
