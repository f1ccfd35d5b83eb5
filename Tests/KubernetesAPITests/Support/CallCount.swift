import Synchronization

/// Counts calls, from wherever they come.
final class CallCount: Sendable {
    private let count = Mutex(0)

    /// The number of calls, this one included.
    func next() -> Int {
        count.withLock { count in
            count += 1
            return count
        }
    }

    /// The number of calls so far.
    var value: Int { count.withLock { $0 } }
}
