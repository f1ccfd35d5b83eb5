import KubernetesAPI
import ServiceLifecycle
import Synchronization

/// Closed at first, open for ever after `open()`.
package final class Latch: Sendable {
    private enum State {
        case closed([Int: CheckedContinuation<Void, any Error>], nextID: Int)
        case open
    }

    private let state = Mutex(State.closed([:], nextID: 0))

    package init() {}

    package var isOpen: Bool {
        state.withLock { if case .open = $0 { true } else { false } }
    }

    package func open() {
        let waiting = state.withLock { state -> [CheckedContinuation<Void, any Error>] in
            guard case .closed(let waiting, _) = state else { return [] }
            state = .open
            return Array(waiting.values)
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Returns once it is open; throws `CancellationError` if the task is cancelled before.
    package func wait() async throws {
        let id = state.withLock { state -> Int? in
            guard case .closed(let waiting, let id) = state else { return nil }
            state = .closed(waiting, nextID: id + 1)
            return id
        }
        guard let id else { return }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let outcome = state.withLock { state -> Result<Void, any Error>? in
                    guard case .closed(var waiting, let next) = state else { return .success(()) }
                    // Cancelled before it was here to be told.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    waiting[id] = continuation
                    state = .closed(waiting, nextID: next)
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let continuation = state.withLock { state -> CheckedContinuation<Void, any Error>? in
                guard case .closed(var waiting, let next) = state else { return nil }
                let continuation = waiting.removeValue(forKey: id)
                state = .closed(waiting, nextID: next)
                return continuation
            }
            continuation?.resume(throwing: CancellationError())
        }
    }
}

/// Remembers one wake-up for the one task that waits, or will wait, for it.
final class Wakeup: Sendable {
    private enum State {
        case idle
        case pending
        case waiting(CheckedContinuation<Void, Never>)
    }

    private let state = Mutex(State.idle)

    func wake() {
        let continuation = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if case .waiting(let continuation) = state {
                state = .idle
                return continuation
            }
            state = .pending
            return nil
        }
        continuation?.resume()
    }

    /// Returns after the next, or a remembered, `wake()`, or when the task is cancelled. One task at a time.
    func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    switch state {
                    case .pending:
                        state = .idle
                        return true
                    case .idle:
                        if Task.isCancelled { return true }
                        state = .waiting(continuation)
                        return false
                    case .waiting:
                        preconditionFailure("two tasks wait for one wake-up")
                    }
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            let continuation = state.withLock { state -> CheckedContinuation<Void, Never>? in
                guard case .waiting(let continuation) = state else { return nil }
                state = .idle
                return continuation
            }
            continuation?.resume()
        }
    }

    /// Returns after a `wake()`, when `deadline` has come if there is one, or when the task is cancelled.
    func wait(until deadline: Duration?, _ time: MonotonicTime) async {
        guard let deadline else { return await wait() }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.wait() }
            group.addTask { try? await time.sleep(until: deadline) }
            await group.next()
            group.cancelAll()
        }
    }
}

/// Runs `operation` until it ends, is cancelled (throws), or a graceful shutdown begins (cancels it and returns).
func untilShutdown(_ operation: @escaping @Sendable () async throws -> Void) async throws {
    do {
        try await cancelWhenGracefulShutdown(operation)
    } catch is CancellationError where !Task.isCancelled {
        // The shutdown has cancelled the operation, nobody has cancelled this task.
    }
}
