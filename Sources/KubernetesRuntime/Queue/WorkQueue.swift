import DequeModule
import KubernetesAPI
import ServiceLifecycle
import Synchronization

/// A queue of keys that need work: each at most once, never two workers at one key, failing ones later and later.
///
/// `run()` must be running for delayed keys to become due; a `Controller` sees to that.
package final class WorkQueue<Key: Hashable & Sendable>: ServiceLifecycle.Service {
    private struct Waiter {
        var id: UInt64
        var continuation: CheckedContinuation<Key?, Never>
    }

    private struct State {
        var core: WorkQueueState<Key>
        var waiters = Deque<Waiter>()
        var nextID: UInt64 = 0
    }

    /// Names the queue in metrics.
    package let name: String
    private let state: Mutex<State>
    private let timer = Wakeup()
    private let time: MonotonicTime
    private let metrics: WorkQueueMetrics

    package init(
        name: String, backoff: WorkQueueState<Key>.Backoff = .init(), clock: any Clock<Duration> = ContinuousClock()
    ) {
        self.name = name
        time = MonotonicTime(clock)
        state = Mutex(State(core: WorkQueueState(backoff: backoff)))
        metrics = WorkQueueMetrics(name: name)
    }

    /// Marks `key` as in need of work. Does not block.
    package func add(_ key: Key) {
        let now = time.now
        change { state in
            if state.core.add(key, now: now) { self.metrics.added() }
        }
    }

    /// As `add`, once `delay` has passed; of several times for one key the earliest counts.
    package func add(_ key: Key, after delay: Duration) {
        let now = time.now
        var mustWake = false
        change { state in mustWake = state.core.add(key, after: delay, now: now) }
        if mustWake { timer.wake() }
    }

    /// Counts a failure of `key` and adds it again after its backoff, which is returned.
    @discardableResult
    package func addRateLimited(_ key: Key) -> Duration {
        let delay = state.withLock { $0.core.failed(key, now: time.now) }
        metrics.retried()
        add(key, after: delay)
        return delay
    }

    /// `key` is well: its next failure is its first.
    package func forget(_ key: Key) { state.withLock { $0.core.forget(key) } }

    /// How often in a row `key` has failed.
    package func retries(of key: Key) -> Int { state.withLock { $0.core.retries(of: key) } }

    /// The number of keys ready to be worked on.
    package var depth: Int { state.withLock { $0.core.depth } }

    /// The next key, when there is one; nil when the queue is shut down and empty, or the task is cancelled. Whoever
    /// gets a key must call `done` with it.
    package func next() async -> Key? {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let now = time.now
                let outcome: Key?? = state.withLock { state in
                    if Task.isCancelled { return .some(nil) }
                    if let next = state.core.next(now: now) {
                        handedOut(next.waited, state)
                        return .some(next.key)
                    }
                    if state.core.isShutDown { return .some(nil) }
                    state.waiters.append(Waiter(id: id, continuation: continuation))
                    return nil
                }
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
                return state.waiters.remove(at: index)
            }
            waiter?.continuation.resume(returning: nil)
        }
    }

    /// Work on `key` is over, however it went; it is handed out again if it was added meanwhile.
    package func done(_ key: Key) {
        let now = time.now
        change { state in
            if let took = state.core.done(key, now: now) { self.metrics.worked(took) }
        }
    }

    /// Takes no more keys. What is queued is still handed out; after that `next()` returns nil.
    package func shutDown() {
        change { $0.core.shutDown() }
        timer.wake()
    }

    /// Hands delayed keys over when they are due, until the queue is shut down, the task is cancelled, or a graceful
    /// shutdown begins.
    package func run() async throws {
        try await untilShutdown {
            while !Task.isCancelled {
                let now = self.time.now
                var due: Duration?
                var isOver = false
                self.change { state in
                    _ = state.core.promote(now: now)
                    due = state.core.nextDue
                    isOver = state.core.isShutDown
                }
                if isOver { return }
                await self.timer.wait(until: due, self.time)
            }
        }
    }

    /// Brings the gauges that depend on the time up to date.
    func publishGauges() {
        let unfinished = state.withLock { $0.core.unfinished(now: time.now) }
        metrics.unfinished(total: unfinished.total, longest: unfinished.longest)
    }

    /// Decides under the lock, resumes those who get a key after it.
    private func change(_ body: (inout State) -> Void) {
        let now = time.now
        let resumed = state.withLock { state -> [(CheckedContinuation<Key?, Never>, Key?)] in
            body(&state)
            var resumed: [(CheckedContinuation<Key?, Never>, Key?)] = []
            while !state.waiters.isEmpty {
                if let next = state.core.next(now: now) {
                    handedOut(next.waited, state)
                    resumed.append((state.waiters.removeFirst().continuation, next.key))
                } else if state.core.isShutDown {
                    resumed.append((state.waiters.removeFirst().continuation, nil))
                } else {
                    break
                }
            }
            metrics.depth(state.core.depth)
            return resumed
        }
        for (continuation, key) in resumed { continuation.resume(returning: key) }
    }

    private func handedOut(_ waited: Duration, _ state: State) {
        metrics.handedOut(waited: waited)
        metrics.depth(state.core.depth)
    }
}
