import Testing

@testable import KubernetesRuntime

@Suite("Work queue decisions")
struct WorkQueueStateTests {
    private typealias Queue = WorkQueueState<String>

    private func next(_ queue: inout Queue, at now: Duration = .zero) -> String? { queue.next(now: now)?.key }

    @Test("keys come out in the order they went in, each once however often it was added")
    func order() {
        var queue = Queue()
        #expect(["a", "b", "a", "c", "b"].map { queue.add($0, now: .zero) } == [true, true, false, true, false])
        #expect(queue.depth == 3)
        #expect([next(&queue), next(&queue), next(&queue), next(&queue)] == ["a", "b", "c", nil])
    }

    @Test("a key added while it is worked on is not handed out again until that is done, and then once")
    func addWhileProcessing() {
        var queue = Queue()
        queue.add("a", now: .zero)
        #expect(next(&queue) == "a")
        queue.add("a", now: .zero)
        queue.add("a", now: .zero)
        #expect(queue.depth == 0)
        #expect(next(&queue) == nil)
        _ = queue.done("a", now: .zero)
        #expect(queue.depth == 1)
        #expect(next(&queue) == "a")
        _ = queue.done("a", now: .zero)
        #expect(next(&queue) == nil)
    }

    @Test("done without anything in hand does nothing")
    func doneTwice() {
        var queue = Queue()
        queue.add("a", now: .zero)
        #expect(queue.done("a", now: .zero) == nil)
        #expect(queue.depth == 1)
        #expect(next(&queue) == "a")
        #expect(queue.done("a", now: .seconds(2)) == .seconds(2))
        #expect(queue.done("a", now: .zero) == nil)
    }

    @Test("a delayed key becomes ready when its time has come, and not before")
    func delayed() {
        var queue = Queue()
        #expect(queue.add("a", after: .milliseconds(50), now: .zero) == true)
        #expect(queue.promote(now: .milliseconds(49)) == 0)
        #expect(queue.nextDue == .milliseconds(50))
        #expect(queue.promote(now: .milliseconds(50)) == 1)
        #expect(next(&queue) == "a")
        #expect(queue.nextDue == nil)
    }

    @Test("of several times for one key the earliest counts, and it comes once")
    func delayedOnce() {
        var queue = Queue()
        #expect(queue.add("a", after: .milliseconds(50), now: .zero) == true)
        #expect(queue.add("a", after: .milliseconds(70), now: .zero) == false)
        #expect(queue.add("a", after: .milliseconds(30), now: .zero) == true)
        #expect(queue.nextDue == .milliseconds(30))
        #expect(queue.promote(now: .milliseconds(40)) == 1)
        #expect(next(&queue) == "a")
        _ = queue.done("a", now: .milliseconds(40))
        #expect(queue.promote(now: .milliseconds(100)) == 0)
        #expect(queue.nextDue == nil)
    }

    @Test("delayed keys become ready in the order of their times, equal ones in the order they were added")
    func delayedOrder() {
        var queue = Queue()
        for (key, delay) in [("c", 30), ("a", 10), ("b2", 20), ("b1", 20)] {
            _ = queue.add(key, after: .milliseconds(delay), now: .zero)
        }
        #expect(queue.promote(now: .seconds(1)) == 4)
        #expect([next(&queue), next(&queue), next(&queue), next(&queue)] == ["a", "b2", "b1", "c"])
    }

    @Test("only a key that becomes due before all others needs the timer set anew; no delay means now")
    func timer() {
        var queue = Queue()
        #expect(queue.add("a", after: .seconds(5), now: .zero) == true)
        #expect(queue.add("b", after: .seconds(6), now: .zero) == false)
        #expect(queue.add("c", after: .seconds(4), now: .zero) == true)
        #expect(queue.add("d", after: .zero, now: .zero) == false)
        #expect(next(&queue) == "d")
    }

    @Test("a delayed key that is ready already is not doubled")
    func delayedAndReady() {
        var queue = Queue()
        _ = queue.add("a", after: .seconds(1), now: .zero)
        queue.add("a", now: .zero)
        #expect(queue.promote(now: .seconds(1)) == 0)
        #expect(queue.depth == 1)
    }

    @Test("failures of a key double its wait up to the maximum, each key on its own, until it is forgotten")
    func backoff() {
        var queue = Queue(backoff: .init(initial: .milliseconds(1), maximum: .milliseconds(100), overallBurst: 1000))
        #expect(
            (0..<9).map { _ in queue.failed("a", now: .zero) }
                == [1, 2, 4, 8, 16, 32, 64, 100, 100].map { .milliseconds($0) })
        #expect(queue.retries(of: "a") == 9)
        #expect(queue.failed("b", now: .zero) == .milliseconds(1))
        queue.forget("a")
        #expect(queue.retries(of: "a") == 0)
        #expect(queue.failed("a", now: .zero) == .milliseconds(1))
    }

    @Test("a key that has failed a thousand times still waits the maximum")
    func overflow() {
        var queue = Queue(backoff: .init(overallRate: 1e9, overallBurst: 10_000))
        for _ in 0..<1000 { _ = queue.failed("a", now: .zero) }
        #expect(queue.failed("a", now: .seconds(1)) == .seconds(1000))
    }

    @Test("all failures together are held to the overall rate")
    func overallRate() {
        var queue = Queue(backoff: .init(initial: .milliseconds(5), overallRate: 10, overallBurst: 2))
        #expect(queue.failed("a", now: .zero) == .milliseconds(5))
        #expect(queue.failed("b", now: .zero) == .milliseconds(5))
        #expect(queue.failed("c", now: .zero) == .milliseconds(100))
        #expect(queue.failed("d", now: .zero) == .milliseconds(200))
    }

    @Test("after the shutdown what is queued still comes out, and nothing goes in")
    func shutDown() {
        var queue = Queue()
        queue.add("a", now: .zero)
        _ = queue.add("b", after: .seconds(1), now: .zero)
        queue.shutDown()
        #expect(queue.add("c", now: .zero) == false)
        #expect(queue.promote(now: .seconds(5)) == 0)
        #expect(next(&queue) == "a")
        #expect(next(&queue) == nil)
    }

    @Test("it knows how long keys waited and how long work takes")
    func times() {
        var queue = Queue()
        queue.add("a", now: .seconds(1))
        #expect(queue.next(now: .seconds(3))?.waited == .seconds(2))
        queue.add("b", now: .seconds(3))
        _ = queue.next(now: .seconds(4))
        #expect(queue.unfinished(now: .seconds(10)) == (total: .seconds(13), longest: .seconds(7)))
        #expect(queue.done("a", now: .seconds(10)) == .seconds(7))
    }
}
