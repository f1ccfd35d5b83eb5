import KubernetesAPI
import Synchronization

/// How long a watch may last, and how long a streaming list may say nothing: what ends a watch that its server has
/// forgotten, as one behind a proxy does whose far side has died.
final class WatchLimits: Sendable {
    enum Limit: Hashable, Sendable {
        /// The list that was to come first has fallen silent before it was complete.
        case silence
        /// The server was to end the watch before.
        case lifetime
    }

    private struct State {
        /// Whether a list is awaited.
        var isListing: Bool
        /// When something was last heard; nil before the head of the answer.
        var heard: Duration?
        var exceeded: Limit?
    }

    private let time: MonotonicTime
    private let silence: Duration
    private let lifetime: Duration?
    private let state: Mutex<State>

    /// `time` begins with the request; `silence` counts from the head of the answer, before which the client's own limit
    /// applies, and only while `isListing`. `lifetime` nil is for ever.
    init(_ time: MonotonicTime, isListing: Bool, silence: Duration, lifetime: Duration?) {
        self.time = time
        self.silence = silence
        self.lifetime = lifetime
        state = Mutex(State(isListing: isListing))
    }

    /// The head of the answer, or an event, has come.
    func heard() { state.withLock { $0.heard = time.now } }

    /// The list is complete.
    func listed() { state.withLock { $0.isListing = false } }

    /// The limit that was exceeded when `left` last said so.
    var exceeded: Limit? { state.withLock { $0.exceeded } }

    /// How long to wait before asking again; nil once a limit is exceeded, or where there is none.
    func left() -> Duration? {
        let now = time.now
        return state.withLock { state in
            guard state.exceeded == nil else { return nil }
            var left = lifetime.map { $0 - now }
            if let left, left <= .zero { state.exceeded = .lifetime }
            if state.isListing {
                let quiet = state.heard.map { $0 + silence - now } ?? silence
                if quiet <= .zero { state.exceeded = state.exceeded ?? .silence }
                left = min(left ?? quiet, quiet)
            }
            return state.exceeded == nil ? left : nil
        }
    }
}
