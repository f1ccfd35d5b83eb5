import NIOCore
import Settings
import Synchronization

/// When a gateway that takes over from another knows enough routes to take requests.
///
/// Nobody tells it which clusters there are. It is warm once at least one cluster's routes are here, every cluster that
/// has connected has sent its own, and nothing new came for a moment; or, whatever came, when the time is over.
struct WarmUpState: Hashable, Sendable {
    private static let longestQuiet = TimeAmount.seconds(1)

    let end: NIODeadline
    let quiet: TimeAmount
    /// Clusters that have connected and not sent their routes.
    private var waiting: Set<String> = []
    private var synced: Set<String> = []
    private var lastNews: NIODeadline

    init(now: NIODeadline, longest: TimeAmount) {
        end = now + longest
        quiet = min(Self.longestQuiet, .nanoseconds(longest.nanoseconds / 4))
        lastNews = now
    }

    /// A tunnel of the cluster is established.
    mutating func connected(_ cluster: String, at now: NIODeadline) {
        guard !synced.contains(cluster), waiting.insert(cluster).inserted else { return }
        lastNews = now
    }

    /// Requests are routed by what the cluster has sent.
    mutating func synced(_ cluster: String, at now: NIODeadline) {
        waiting.remove(cluster)
        if synced.insert(cluster).inserted { lastNews = now }
    }

    func isOver(at now: NIODeadline) -> Bool {
        now >= end || !synced.isEmpty && waiting.isEmpty && now - lastNews >= quiet
    }
}

/// Keeps the front door shut until the gateway is warm.
package final class WarmUp: Sendable {
    private let state: Mutex<WarmUpState>

    /// - Parameter longest: zero for no warm-up at all.
    package init(longest: Duration) {
        state = Mutex(WarmUpState(now: .now(), longest: TimeAmount(longest)))
    }

    func connected(_ cluster: String) { state.withLock { $0.connected(cluster, at: .now()) } }
    func synced(_ cluster: String) { state.withLock { $0.synced(cluster, at: .now()) } }

    /// Returns when it is over, or the task is cancelled.
    package func wait() async {
        // It is over by what agents do as well as by what they do not: looked at for the short time that it lasts.
        while !state.withLock({ $0.isOver(at: .now()) }), (try? await Task.sleep(for: .milliseconds(50))) != nil {}
    }
}
