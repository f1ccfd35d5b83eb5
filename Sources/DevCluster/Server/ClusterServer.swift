import Logging
import NIOCore
import Synchronization

/// The shared part of the running server: the state behind its lock, the tokens, and who waits for changes.
///
/// Decisions are taken under the lock by ``ClusterState``; watchers are only woken after it, and read on from where they
/// are.
final class ClusterServer: Sendable {
    /// Somebody who wants to know when the store has changed.
    struct Listener: Sendable {
        /// Called on any thread; only hands over to an event loop.
        var wake: @Sendable () -> Void
        /// Ends the watch.
        var end: @Sendable () -> Void
    }

    let logger: Logger
    let bookmarkInterval: TimeAmount
    private let state: Mutex<ClusterState>
    private let tokens: Mutex<Set<String>>
    private let listeners = Mutex<(next: Int, all: [Int: Listener])>((0, [:]))
    private let collection = Mutex(false)
    private let eventLoop: any EventLoop
    private let clock: @Sendable () -> Timestamp

    init(
        state: ClusterState, tokens: Set<String>, eventLoop: any EventLoop, bookmarkInterval: TimeAmount,
        clock: @escaping @Sendable () -> Timestamp, logger: Logger
    ) {
        self.state = Mutex(state)
        self.tokens = Mutex(tokens)
        self.eventLoop = eventLoop
        self.bookmarkInterval = bookmarkInterval
        self.clock = clock
        self.logger = logger
    }

    var now: Timestamp { clock() }

    /// Whether a request with this Authorization field may be answered. The health checks and the version are public.
    func isAllowed(authorization: String?, path: String) -> Bool {
        if ["/healthz", "/livez", "/readyz", "/version"].contains(path) { return true }
        guard let authorization, authorization.lowercased().hasPrefix("bearer ") else { return false }
        let token = String(authorization.dropFirst(7).drop { $0 == " " })
        return tokens.withLock { $0.contains(token) }
    }

    func replaceTokens(_ new: Set<String>) {
        tokens.withLock { $0 = new }
    }

    /// Answers a request and wakes the watchers if it has changed anything.
    func respond(to request: APIRequest) -> APIReply {
        let now = self.now
        let (reply, changed, garbage) = state.withLock { state in
            let before = state.store.revision
            let reply = state.respond(to: request, now: now)
            return (reply, state.store.revision != before, state.takeGarbageFlag())
        }
        if changed { wakeListeners() }
        if garbage { scheduleCollection() }
        return reply
    }

    /// Moves a watcher on; nil when what it watches is no longer served.
    func advance(_ cursor: inout WatchCursor) -> [WatchEvent]? {
        let (events, moved) = state.withLock { state -> ([WatchEvent]?, WatchCursor) in
            var moved = cursor
            let isServed = state.catalog.anyResource(storage: cursor.selection.resource.storage) != nil
            let events = moved.next(from: state.store)
            // Where the definition is gone, the removal of the last objects is still told.
            return (isServed || !events.isEmpty ? events : nil, moved)
        }
        cursor = moved
        return events
    }

    func compact() {
        state.withLock { $0.compact() }
        wakeListeners()
    }

    var revision: Int64 { state.withLock { $0.store.revision } }

    // MARK: Watchers

    func add(_ listener: Listener) -> Int {
        listeners.withLock { listeners in
            listeners.next += 1
            listeners.all[listeners.next] = listener
            return listeners.next
        }
    }

    func remove(listener id: Int) {
        listeners.withLock { $0.all[id] = nil }
    }

    var listenerCount: Int { listeners.withLock { $0.all.count } }

    private func wakeListeners() {
        for listener in listeners.withLock({ Array($0.all.values) }) { listener.wake() }
    }

    func endWatches() {
        for listener in listeners.withLock({ Array($0.all.values) }) { listener.end() }
    }

    // MARK: Garbage

    private func scheduleCollection() {
        let isFirst = collection.withLock { pending in
            defer { pending = true }
            return !pending
        }
        // Later, as in a real cluster: clients must not rely on dependents being gone with the answer.
        if isFirst { eventLoop.scheduleTask(in: .milliseconds(20)) { self.collectGarbage() } }
    }

    private func collectGarbage() {
        collection.withLock { $0 = false }
        let now = self.now
        let changed = state.withLock { state in
            var rounds = 0
            while state.collectGarbage(now: now), rounds < 16 { rounds += 1 }
            _ = state.takeGarbageFlag()
            return rounds > 0
        }
        if changed { wakeListeners() }
    }
}
