import DequeModule
import HeapModule
import KubernetesAPI

/// The decisions of a work queue; pure. Times are durations since any fixed instant.
///
/// A key is in `queue` (to be handed out), in `processing` (handed out, not done), or both `dirty` and `processing`
/// (changed while being worked on: it goes back into the queue when done). It is never handed out twice at once, and
/// however often it is added before it is handed out, it is handed out once.
package struct WorkQueueState<Key: Hashable & Sendable>: Sendable {
    /// How failing keys are slowed down.
    package struct Backoff: Sendable {
        /// Wait after a key's first failure; doubles with each one that follows.
        package var initial: Duration
        package var maximum: Duration
        /// All failing keys together: repetitions a second, and how many at once after a pause.
        package var overallRate: Double
        package var overallBurst: Int

        /// client-go's defaults: 5 ms to 1000 s for each key, 10 a second with a burst of 100 for all.
        package init(
            initial: Duration = .milliseconds(5), maximum: Duration = .seconds(1000), overallRate: Double = 10,
            overallBurst: Int = 100
        ) {
            self.initial = initial
            self.maximum = maximum
            self.overallRate = overallRate
            self.overallBurst = overallBurst
        }
    }

    private struct Delayed: Comparable, Sendable {
        var due: Duration
        var sequence: UInt64
        var key: Key

        static func < (lhs: Self, rhs: Self) -> Bool { (lhs.due, lhs.sequence) < (rhs.due, rhs.sequence) }
        static func == (lhs: Self, rhs: Self) -> Bool { lhs.sequence == rhs.sequence }
    }

    private var queue = Deque<Key>()
    private var dirty: [Key: Duration] = [:]
    private var processing: [Key: Duration] = [:]
    private var heap = Heap<Delayed>()
    /// When each delayed key is due; entries of the heap that say otherwise are stale.
    private var due: [Key: Duration] = [:]
    private var sequence: UInt64 = 0
    private var failures: [Key: Int] = [:]
    private var bucket: TokenBucket
    private let backoff: Backoff
    /// Nothing is added any more; what is queued is still handed out.
    package private(set) var isShutDown = false

    package init(backoff: Backoff = Backoff()) {
        self.backoff = backoff
        bucket = TokenBucket(rate: backoff.overallRate, burst: backoff.overallBurst)
    }

    /// The number of keys ready to be handed out.
    package var depth: Int { queue.count }

    /// Marks `key` as in need of work. Returns false if that was known already.
    @discardableResult
    package mutating func add(_ key: Key, now: Duration) -> Bool {
        guard !isShutDown, dirty[key] == nil else { return false }
        dirty[key] = now
        if processing[key] == nil { queue.append(key) }
        return true
    }

    /// As `add`, once `delay` has passed. Of several times for one key the earliest counts. Returns whether this is now
    /// the next delayed key to become due, so that a timer has to be set anew.
    package mutating func add(_ key: Key, after delay: Duration, now: Duration) -> Bool {
        guard !isShutDown else { return false }
        guard delay > .zero else {
            add(key, now: now)
            return false
        }
        let time = now + delay
        if let known = due[key], known <= time { return false }
        let isNext = nextDue.map { time < $0 } ?? true
        due[key] = time
        sequence += 1
        heap.insert(Delayed(due: time, sequence: sequence, key: key))
        return isNext
    }

    /// When the next delayed key becomes due.
    package var nextDue: Duration? { heap.min?.due }

    /// Moves the delayed keys that are due into the queue; returns how many keys became ready.
    package mutating func promote(now: Duration) -> Int {
        let before = queue.count
        while let first = heap.min, first.due <= now || due[first.key] != first.due {
            _ = heap.popMin()
            guard due[first.key] == first.due else { continue }
            due[first.key] = nil
            add(first.key, now: now)
        }
        return queue.count - before
    }

    /// Hands out the next key and how long it has waited.
    package mutating func next(now: Duration) -> (key: Key, waited: Duration)? {
        guard let key = queue.popFirst() else { return nil }
        let added = dirty.removeValue(forKey: key) ?? now
        processing[key] = now
        return (key, now - added)
    }

    /// Work on `key` is over; it is queued again if it was added meanwhile. Returns how long the work took, nil if
    /// nobody was at it.
    package mutating func done(_ key: Key, now: Duration) -> Duration? {
        guard let started = processing.removeValue(forKey: key) else { return nil }
        if dirty[key] != nil { queue.append(key) }
        return now - started
    }

    /// Counts a failure of `key` and says how long to wait before it is tried again: the longer of its own backoff and
    /// what the overall rate demands.
    package mutating func failed(_ key: Key, now: Duration) -> Duration {
        let count = failures[key, default: 0]
        failures[key] = count + 1
        var delay = backoff.initial
        for _ in 0..<min(count, 64) where delay < backoff.maximum { delay *= 2 }
        return max(min(delay, backoff.maximum), bucket.reserve(now: now))
    }

    /// How often in a row `key` has failed.
    package func retries(of key: Key) -> Int { failures[key] ?? 0 }

    /// `key` is well: its next failure is its first.
    package mutating func forget(_ key: Key) { failures[key] = nil }

    /// Takes no more keys; drops the delayed ones.
    package mutating func shutDown() {
        isShutDown = true
        heap = Heap()
        due = [:]
    }

    /// How long the work in hand has taken so far: all together, and the longest.
    package func unfinished(now: Duration) -> (total: Duration, longest: Duration) {
        var total = Duration.zero
        var longest = Duration.zero
        for started in processing.values {
            total += now - started
            longest = max(longest, now - started)
        }
        return (total, longest)
    }
}
