package import KubernetesAPI
package import Logging
import ServiceLifecycle
import Synchronization

/// Something that is of use only after it has seen the whole world once.
package protocol CacheSync: Sendable {
    /// Whether the first list is complete and has been told to all handlers.
    var hasSynced: Bool { get }
    /// Returns once `hasSynced`; throws `CancellationError` if the task is cancelled before.
    func waitUntilSynced() async throws
}

/// A reflector, its store, and those who want to hear of changes.
///
/// One-shot: `run()` keeps the store true until it is cancelled or shut down. Handlers are called in order, one change
/// at a time, after the store has changed; they must be quick (put a key into a queue) and see every change once.
package final class Informer<R: KubernetesResource>: CacheSync, ServiceLifecycle.Service {
    /// Called for each change.
    package typealias Handler = @Sendable (ObjectChange<R>) -> Void

    private struct State {
        var handlers: [Handler] = []
        var hasStarted = false
    }

    /// What is known.
    package let store: Store<R>
    private let writer: StoreWriter<R>
    private let reflector: Reflector<R>
    private let transform: (@Sendable (inout R) -> Void)?
    private let state = Mutex(State())
    private let synced = Latch()
    private let logger: Logger

    /// Prepares an informer; contacts nobody before `run()`. `namespace` nil means all. `indices` compute, for each
    /// index name, the values under which an object is found. `transform` may drop what nobody reads, to save memory.
    package init(
        client: KubernetesClient, _ type: R.Type = R.self, namespace: String? = nil,
        indices: [String: @Sendable (R) -> [String]] = [:], settings: ReflectorStateMachine<R>.Settings = .init(),
        transform: (@Sendable (inout R) -> Void)? = nil, logger: Logger,
        clock: any Clock<Duration> = ContinuousClock(),
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }
    ) {
        writer = StoreWriter(indices: indices)
        store = writer.store
        reflector = Reflector(
            client: client, namespace: namespace, settings: settings, logger: logger, clock: clock, random: random)
        self.transform = transform
        self.logger = logger
    }

    /// Adds a handler. Only before `run()`, so that every handler sees every change.
    package func addHandler(_ handler: @escaping Handler) {
        state.withLock { state in
            precondition(!state.hasStarted, "a handler must be added before the informer runs")
            state.handlers.append(handler)
        }
    }

    package var hasSynced: Bool { synced.isOpen }

    package func waitUntilSynced() async throws { try await synced.wait() }

    /// Keeps the store true. Returns on graceful shutdown, throws `CancellationError` on cancellation.
    package func run() async throws {
        let handlers = state.withLock { state in
            precondition(!state.hasStarted, "an informer runs once")
            state.hasStarted = true
            return state.handlers
        }
        try await untilShutdown {
            try await self.reflector.run { update in self.carryOut(update, handlers) }
        }
    }

    private func carryOut(_ update: ReflectorStateMachine<R>.Update, _ handlers: [Handler]) {
        switch update {
        case .replace(let objects, let kept):
            let changes = writer.replace(with: objects.map { transformed($0) }, keeping: kept)
            logger.debug(
                "Cache replaced",
                metadata: [
                    "resource": "\(R.definition.plural)", "objects": "\(objects.count)", "changes": "\(changes.count)",
                ])
            for change in changes { tell(handlers, change) }
            synced.open()
        case .set(let object):
            tell(handlers, writer.set(transformed(object)))
        case .remove(let key, let last):
            if let change = writer.remove(key, last: last.map { transformed($0) }) { tell(handlers, change) }
        }
    }

    private func transformed(_ object: R) -> R {
        guard let transform else { return object }
        var object = object
        transform(&object)
        return object
    }

    private func tell(_ handlers: [Handler], _ change: ObjectChange<R>) {
        for handler in handlers { handler(change) }
    }
}
