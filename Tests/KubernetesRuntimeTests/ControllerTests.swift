import KubernetesAPI
import Logging
import Metrics
import MetricsTestKit
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import KubernetesRuntime

@Suite("Controller")
struct ControllerTests {
    private struct Failure: Error {}

    /// A reconciler made of a closure.
    private struct ClosureReconciler: Reconciler {
        let body: @Sendable (String) async throws -> ReconcileResult
        func reconcile(_ key: String) async throws -> ReconcileResult { try await body(key) }
    }

    private func controller(
        workers: Int = 1, queue: WorkQueue<String>, waitFor caches: [any CacheSync] = [],
        _ body: @escaping @Sendable (String) async throws -> ReconcileResult
    ) -> Controller<String> {
        Controller(
            name: "test", workers: workers, queue: queue, reconciler: ClosureReconciler(body: body), waitFor: caches,
            logger: .silent)
    }

    private func quickQueue() -> WorkQueue<String> {
        WorkQueue(name: "test", backoff: .init(initial: .milliseconds(1), overallRate: 10_000, overallBurst: 1000))
    }

    @Test("changes that come while a key is worked on lead to one more round")
    func coalescing() async throws {
        let queue = quickQueue()
        let rounds = Mutex(0)
        let (gate, open) = AsyncStream<Void>.makeStream()
        let controller = controller(queue: queue) { _ in
            rounds.withLock { $0 += 1 }
            for await _ in gate { break }
            return .done
        }
        try await withRunning(controller.run) {
            queue.add("a")
            try await eventually("the first round") { rounds.withLock { $0 } == 1 }
            for _ in 0..<10 { queue.add("a") }
            open.yield()
            try await eventually("the second round") { rounds.withLock { $0 } == 2 }
            open.finish()
            queue.add("b")
            try await eventually("another key") { rounds.withLock { $0 } == 3 }
        }
    }

    @Test("workers work side by side, as many as there are and no more")
    func workers() async throws {
        let queue = quickQueue()
        let active = Mutex((now: 0, most: 0, done: 0))
        let controller = controller(workers: 3, queue: queue) { _ in
            active.withLock {
                $0.now += 1
                $0.most = max($0.most, $0.now)
            }
            try await Task.sleep(for: .milliseconds(5))
            active.withLock {
                $0.now -= 1
                $0.done += 1
            }
            return .done
        }
        try await withRunning(controller.run) {
            for index in 0..<30 { queue.add("\(index)") }
            try await eventually("all") { active.withLock { $0.done } == 30 }
        }
        #expect(active.withLock { $0.most } == 3)
    }

    @Test("a failure is tried again with backoff and forgotten on success")
    func failure() async throws {
        let queue = quickQueue()
        let attempts = CallCount()
        let controller = controller(queue: queue) { _ in
            if attempts.next() < 4 { throw Failure() }
            return .done
        }
        try await withRunning(controller.run) {
            queue.add("a")
            try await eventually("success") { attempts.value == 4 && queue.retries(of: "a") == 0 }
        }
    }

    @Test("a terminal failure is not tried again until the key is added anew")
    func terminal() async throws {
        let queue = quickQueue()
        let attempts = Mutex<[String]>([])
        let controller = controller(queue: queue) { key in
            attempts.withLock { $0.append(key) }
            if key == "a" { throw TerminalError(Failure()) }
            throw Failure()
        }
        try await withRunning(controller.run) {
            queue.add("a")
            queue.add("b")
            try await eventually("b is tried again") { attempts.withLock { $0.count { $0 == "b" } } >= 4 }
            #expect(attempts.withLock { $0.count { $0 == "a" } } == 1)
            queue.add("a")
            try await eventually("a is tried again") { attempts.withLock { $0.count { $0 == "a" } } == 2 }
        }
    }

    @Test("requeue brings the key back after its time")
    func requeue() async throws {
        let clock = ManualClock()
        let queue = WorkQueue<String>(name: "test", clock: clock)
        let rounds = Mutex(0)
        let controller = controller(queue: queue) { _ in
            rounds.withLock { $0 += 1 }
            return .requeue(after: .seconds(60))
        }
        try await withRunning(controller.run) {
            queue.add("a")
            for round in 1...3 {
                try await eventually("round \(round)") {
                    rounds.withLock { $0 } == round && clock.deadlines.contains(.seconds(60 * round))
                }
                clock.advance(by: .seconds(60))
            }
        }
    }

    @Test("nothing is reconciled before the caches have synced")
    func waitsForCaches() async throws {
        final class Cache: CacheSync {
            private let latch = Latch()
            private let asked = Mutex(false)
            var isAwaited: Bool { asked.withLock { $0 } }
            var hasSynced: Bool { latch.isOpen }
            func waitUntilSynced() async throws {
                asked.withLock { $0 = true }
                try await latch.wait()
            }
            func sync() { latch.open() }
        }
        let caches = [Cache(), Cache()]
        let queue = quickQueue()
        let rounds = CallCount()
        let controller = controller(queue: queue, waitFor: caches) { _ in
            _ = rounds.next()
            return .done
        }
        queue.add("a")
        try await withRunning(controller.run) {
            for cache in caches {
                try await eventually("the controller waits for the cache") { cache.isAwaited }
                #expect(queue.depth == 1)
                #expect(rounds.value == 0)
                cache.sync()
            }
            try await eventually("the key") { rounds.value == 1 }
        }
    }

    @Test("a shutdown cancels what is in hand and ends promptly, without counting it as a failure")
    func shutdown() async throws {
        let queue = quickQueue()
        let hasStarted = Mutex(false)
        let controller = controller(queue: queue) { _ in
            hasStarted.withLock { $0 = true }
            try await Task.sleep(for: .seconds(60))
            return .done
        }
        let group = ServiceGroup(services: [controller], logger: Logger(label: "test"))
        try await within(.seconds(5)) {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                queue.add("a")
                try await eventually("work") { hasStarted.withLock { $0 } }
                await group.triggerGracefulShutdown()
                try await tasks.next()
            }
        }
        #expect(queue.retries(of: "a") == 0)
    }

    @Test("work that hangs shows in the gauges: how long the longest takes, and all together")
    func hangingWork() async throws {
        let factory = TestMetrics()
        let clock = ManualClock()
        let queue = withMetricsFactory(factory) { WorkQueue<String>(name: "test", clock: clock) }
        let reconciler = ClosureReconciler { _ in
            try await Task.sleep(for: .seconds(60))
            return .done
        }
        let controller = withMetricsFactory(factory) {
            Controller(
                name: "test", workers: 2, queue: queue, reconciler: reconciler, logger: .silent, clock: clock)
        }
        func gauge(_ label: String) -> Double? { factory.meters(label: label).first?.values.last }
        #expect(gauge("workqueue_longest_running_processor_seconds") == 0)
        try await withRunning(controller.run) {
            for (key, longest, total) in [("a", 1.0, 1.0), ("b", 2.0, 3.0)] {
                queue.add(key)
                try await eventually("it is worked on") { queue.depth == 0 && clock.sleepers == 1 }
                clock.advance(by: .seconds(1))
                try await eventually("the gauges tell of it") {
                    gauge("workqueue_longest_running_processor_seconds") == longest
                        && gauge("workqueue_unfinished_work_seconds") == total
                }
            }
        }
    }

    @Test("metrics have the names that operators know, all of them from the start")
    func metrics() async throws {
        let factory = TestMetrics()
        let attempts = CallCount()
        let reconcile: @Sendable (String) async throws -> ReconcileResult = { key in
            if key == "terminal" { throw TerminalError(Failure()) }
            if key == "requeue" { return .requeue(after: .seconds(3600)) }
            if attempts.next() == 1 { throw Failure() }
            return .done
        }
        let queue = withMetricsFactory(factory) { quickQueue() }
        let controller = withMetricsFactory(factory) { self.controller(workers: 2, queue: queue, reconcile) }
        func total(_ result: String) -> Int64? {
            factory.counters(
                label: "controller_runtime_reconcile_total", dimensions: [("controller", "test"), ("result", result)]
            ).first?.totalValue
        }
        #expect(["success", "error", "requeue_after"].map(total) == [0, 0, 0])
        try await withRunning(controller.run) {
            for key in ["a", "terminal", "requeue"] { queue.add(key) }
            try await eventually("all") { total("success") == 1 && total("error") == 2 && total("requeue_after") == 1 }
        }
        func counter(_ label: String) -> Int64 { factory.counterTotal(label: label) }
        #expect(counter("controller_runtime_reconcile_errors_total") == 2)
        #expect(counter("controller_runtime_terminal_reconcile_errors_total") == 1)
        #expect(counter("workqueue_adds_total") == 3)
        #expect(counter("workqueue_retries_total") == 1)
        #expect(factory.meters(label: "workqueue_depth").first?.values.last == 0)
        #expect(factory.meters(label: "controller_runtime_max_concurrent_reconciles").first?.values == [2])
        #expect(factory.timers(label: "controller_runtime_reconcile_time_seconds").first?.values.count == 4)
        #expect(factory.timers(label: "workqueue_queue_duration_seconds").first?.values.count == 4)
        #expect(factory.timers(label: "workqueue_work_duration_seconds").first?.values.count == 4)
    }
}
