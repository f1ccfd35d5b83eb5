import Synchronization

/// A count that one end of a test raises and the other watches.
final class Counter: Sendable {
    private let count = Mutex(0)

    var value: Int { count.withLock { $0 } }
    func add(_ more: Int) { count.withLock { $0 += more } }

    /// Waits until the count has not moved for a while, and returns it. There is no event for what does not happen.
    func standstill() async throws -> Int {
        var last = -1
        var since = ContinuousClock.now
        while ContinuousClock.now - since < .milliseconds(300) {
            if value != last {
                last = value
                since = .now
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        return last
    }
}
