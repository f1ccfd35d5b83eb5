import Synchronization

/// Why the agent is not ready, for `/readyz`.
///
/// Ready is who does its part: the caches have synced and a tunnel is up. A replica that stands by needs to have had one, so
/// that a rollout with a wrong gateway address stops at the first; after that it is ready without, since what it is there for
/// is to take over. An agent that sends nothing (`sync` is `never`) needs none.
package final class AgentReadiness: Sendable {
    private struct Parts {
        var pipeline: RoutePipeline
        var isConnected: @Sendable () -> Bool
        var wasConnected = false
    }

    private let needsTunnel: Bool
    private let parts = Mutex<Parts?>(nil)

    /// - Parameter needsTunnel: whether the replica that leads is of no use without a tunnel.
    package init(needsTunnel: Bool) { self.needsTunnel = needsTunnel }

    /// What to look at from now on; before that the agent is not ready.
    ///
    /// - Parameter isConnected: whether a tunnel is up.
    package func follow(_ pipeline: RoutePipeline, isConnected: @escaping @Sendable () -> Bool) {
        parts.withLock { $0 = Parts(pipeline: pipeline, isConnected: isConnected) }
    }

    /// One sentence each; empty while the agent is ready.
    package var reasons: [String] {
        let current = parts.withLock { parts in
            if parts?.isConnected() == true { parts?.wasConnected = true }
            return parts
        }
        guard let parts = current else { return ["the cluster's identity is not known"] }
        let pipeline = parts.pipeline
        var reasons: [String] = []
        if !pipeline.hasSynced {
            let missing = pipeline.unsyncedResources
            reasons.append(
                missing.isEmpty
                    ? "routes are not known yet" : "caches have not synced: \(missing.joined(separator: ", "))"
            )
        }
        if needsTunnel, pipeline.isLeading || !parts.wasConnected, !parts.isConnected() {
            reasons.append("no tunnel is connected")
        }
        return reasons
    }
}
