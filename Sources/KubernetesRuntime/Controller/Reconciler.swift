/// Brings the world in line with what is wanted for one key.
///
/// Level-based: it is told which key, never what happened, and reads the state from caches. Throwing means "again,
/// later and later"; throwing `TerminalError` means "not again until the key is added anew".
package protocol Reconciler<Key>: Sendable {
    associatedtype Key: Hashable & Sendable
    func reconcile(_ key: Key) async throws -> ReconcileResult
}

/// How a reconciliation ended.
package enum ReconcileResult: Hashable, Sendable {
    /// All is well; nothing to do until the key is added again.
    case done
    /// All is well so far; look again when this has passed.
    case requeue(after: Duration)
}

/// A failure that trying again would not cure.
package struct TerminalError: Error, CustomStringConvertible {
    package var underlying: any Error

    package init(_ underlying: any Error) { self.underlying = underlying }

    package var description: String { String(describing: underlying) }
}
