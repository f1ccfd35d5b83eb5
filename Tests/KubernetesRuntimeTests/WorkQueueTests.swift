import KubernetesRuntime
import Synchronization
import TestSupport
import Testing

@Suite("Work queue")
struct WorkQueueTests {
    @Test("whoever waits gets the key as soon as it is added; two who wait get one each")
    func waiting() async throws {
        let queue = WorkQueue<Int>(name: "test")
        try await withThrowingTaskGroup(of: Int?.self) { group in
            for _ in 0..<2 { group.addTask { await queue.next() } }
            queue.add(1)
            queue.add(2)
            var got: Set<Int?> = []
            for try await key in group { got.insert(key) }
            #expect(got == [1, 2])
        }
    }

    @Test("many producers and workers: every key is worked on after its last addition, never by two at once")
    func stress() async throws {
        let queue = WorkQueue<Int>(name: "test")
        let tally = Tally()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    while let key = await queue.next() {
                        let version = tally.take(key)
                        await Task.yield()
                        tally.putBack(key, version)
                        queue.done(key)
                    }
                }
            }
            await withTaskGroup(of: Void.self) { producers in
                for _ in 0..<4 {
                    producers.addTask {
                        for round in 0..<2000 {
                            tally.want(round % 37)
                            queue.add(round % 37)
                            if round % 50 == 0 { await Task.yield() }
                        }
                    }
                }
            }
            // A key in hand at the shutdown was added before it: it is dirty, and handed out once more.
            queue.shutDown()
        }
        #expect(tally.state.withLock { $0.collisions } == 0)
        #expect(tally.state.withLock { $0.seen } == tally.state.withLock { $0.wanted })
    }

    /// What was asked for, and what was seen of it.
    private final class Tally: Sendable {
        struct State {
            var wanted: [Int: Int] = [:]
            var seen: [Int: Int] = [:]
            var inHand: Set<Int> = []
            var collisions = 0
        }

        let state = Mutex(State())

        func want(_ key: Int) { state.withLock { $0.wanted[key, default: 0] += 1 } }

        func take(_ key: Int) -> Int {
            state.withLock { state in
                if !state.inHand.insert(key).inserted { state.collisions += 1 }
                return state.wanted[key] ?? 0
            }
        }

        func putBack(_ key: Int, _ version: Int) {
            state.withLock { state in
                state.seen[key] = version
                state.inHand.remove(key)
            }
        }
    }

    @Test("cancelling one who waits takes no key away from another")
    func cancelledWaiter() async throws {
        let queue = WorkQueue<Int>(name: "test")
        let cancelled = await withTaskGroup(of: Int?.self) { group in
            group.addTask { await queue.next() }
            group.cancelAll()
            return await group.next() ?? 7
        }
        #expect(cancelled == nil)
        queue.add(1)
        #expect(await queue.next() == 1)
    }

    @Test("delayed keys come when the clock says so, an earlier one sets the timer anew")
    func delays() async throws {
        let clock = ManualClock()
        let queue = WorkQueue<String>(name: "test", clock: clock)
        try await withRunning(queue.run) {
            queue.add("late", after: .seconds(10))
            try await eventually("the timer is set") { clock.deadlines == [.seconds(10)] }
            queue.add("early", after: .seconds(5))
            try await eventually("the timer is set anew") { clock.deadlines == [.seconds(5)] }
            clock.advance(by: .seconds(5))
            #expect(await queue.next() == "early")
            try await eventually("the timer is set again") { clock.deadlines == [.seconds(10)] }
            #expect(queue.depth == 0)
            clock.advance(by: .seconds(5))
            #expect(await queue.next() == "late")
        }
    }

    @Test("a failing key comes back after its backoff")
    func rateLimited() async throws {
        let clock = ManualClock()
        let queue = WorkQueue<String>(name: "test", clock: clock)
        try await withRunning(queue.run) {
            var now = 0
            for (round, wait) in [5, 10, 20].enumerated() {
                #expect(queue.addRateLimited("a") == .milliseconds(wait))
                #expect(queue.retries(of: "a") == round + 1)
                now += wait
                try await eventually("the timer is set") { clock.deadlines == [.milliseconds(now)] }
                #expect(queue.depth == 0)
                clock.advance(by: .milliseconds(wait))
                #expect(await queue.next() == "a")
                queue.done("a")
            }
        }
    }

    @Test("the shutdown releases those who wait, and ends run()")
    func shutDown() async throws {
        let queue = WorkQueue<Int>(name: "test")
        try await within(.seconds(5)) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { #expect(await queue.next() == nil) }
                group.addTask { try await queue.run() }
                queue.shutDown()
                try await group.waitForAll()
            }
        }
    }
}
