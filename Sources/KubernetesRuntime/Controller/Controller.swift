import KubernetesAPI
package import Logging
import ServiceLifecycle

/// Workers that take keys from a queue and reconcile them.
///
/// One-shot: `run()` waits until the caches it was given have synced, works until it is cancelled or shut down, and then
/// cancels what is in hand.
package final class Controller<Key: Hashable & Sendable>: ServiceLifecycle.Service {
    /// The keys to be reconciled; informers' handlers add to it.
    package let queue: WorkQueue<Key>
    private let name: String
    private let workers: Int
    private let reconciler: any Reconciler<Key>
    private let caches: [any CacheSync]
    private let logger: Logger
    private let clock: any Clock<Duration>
    private let metrics: ControllerMetrics

    /// `name` names the controller in logs and metrics; `workers` reconcile at once, each another key; `caches` must
    /// have synced before the first of them starts.
    package init(
        name: String, workers: Int = 1, queue: WorkQueue<Key>, reconciler: any Reconciler<Key>,
        waitFor caches: [any CacheSync] = [], logger: Logger, clock: any Clock<Duration> = ContinuousClock()
    ) {
        precondition(workers > 0, "a controller needs a worker")
        self.name = name
        self.workers = workers
        self.queue = queue
        self.reconciler = reconciler
        self.caches = caches
        var logger = logger
        logger[metadataKey: "controller"] = "\(name)"
        self.logger = logger
        self.clock = clock
        metrics = ControllerMetrics(name: name, workers: workers)
    }

    /// Works. Returns on graceful shutdown, throws `CancellationError` on cancellation.
    package func run() async throws {
        try await untilShutdown {
            for cache in self.caches { try await cache.waitUntilSynced() }
            self.logger.debug("Controller started", metadata: ["workers": "\(self.workers)"])
            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await self.queue.run() }
                group.addTask {
                    while (try? await self.clock.sleep(for: .seconds(1))) != nil { self.queue.publishGauges() }
                }
                // The workers end when the queue is shut down; the others only serve them.
                await withTaskGroup(of: Void.self) { workers in
                    for _ in 0..<self.workers { workers.addTask { await self.work() } }
                }
                group.cancelAll()
            }
            try Task.checkCancellation()
        }
    }

    private func work() async {
        while let key = await queue.next() {
            // The key may have been handed over in the moment of the cancellation.
            if !Task.isCancelled { await reconcile(key) }
            queue.done(key)
        }
    }

    private func reconcile(_ key: Key) async {
        let time = MonotonicTime(clock)
        metrics.started()
        defer { metrics.ended(after: time.now) }
        do {
            switch try await reconciler.reconcile(key) {
            case .done:
                queue.forget(key)
                metrics.count(.success)
            case .requeue(let delay):
                queue.forget(key)
                queue.add(key, after: delay)
                metrics.count(.requeueAfter)
            }
        } catch let error as TerminalError {
            queue.forget(key)
            metrics.count(.error)
            metrics.countTerminal()
            logger.error(
                "Reconcile failed, not retried", metadata: ["key": "\(key)", "error": "\(error.underlying)"])
        } catch {
            // What a shutdown has cut short has not failed.
            guard !Task.isCancelled else { return }
            let delay = queue.addRateLimited(key)
            metrics.count(.error)
            logger.warning(
                "Reconcile failed",
                metadata: [
                    "key": "\(key)", "error": "\(error)", "failures": "\(queue.retries(of: key))",
                    "retry_in_ms": "\(Int(delay / .milliseconds(1)))",
                ])
        }
    }
}
