import NIOCore
import Synchronization

/// Why the gateway is not ready: the listeners that are not bound yet.
final class ListenerReadiness: Sendable {
    private let missing: Mutex<Set<String>>

    init(_ listeners: Set<String>) { missing = Mutex(listeners) }

    /// One sentence for each; empty once every listener is bound.
    var reasons: [String] { missing.withLock { $0.sorted().map { "the \($0) listener is not bound" } } }

    func isBound(_ listener: String) { _ = missing.withLock { $0.remove(listener) } }
}
