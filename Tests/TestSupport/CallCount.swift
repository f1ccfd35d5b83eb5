import Synchronization

/// Counts calls, from wherever they come.
package final class CallCount: Sendable {
    private let count = Mutex(0)

    package init() {}

    /// The number of calls, this one included.
    package func next() -> Int {
        count.withLock { count in
            count += 1
            return count
        }
    }

    /// The number of calls so far.
    package var value: Int { count.withLock { $0 } }
}
