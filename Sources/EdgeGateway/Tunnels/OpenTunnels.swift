import Synchronization
import TunnelProtocol
import TunnelTransport

/// Every tunnel that is established and not closed, those that drain and have left the rotation included; for people who
/// ask, not for the data path.
package final class OpenTunnels: Sendable {
    private struct State {
        var tunnels: [String: OpenTunnel] = [:]
        /// Of clusters that have a tunnel, or had one not long ago.
        var canaryFailures: [String: Int] = [:]
    }

    private static let mostClusters = 20_000

    private let state = Mutex(State())

    package init() {}

    func add(_ tunnel: OpenTunnel) { state.withLock { $0.tunnels[tunnel.id] = tunnel } }

    func remove(_ id: String, of cluster: String, _ reason: TunnelCloseReason) {
        state.withLock { state in
            state.tunnels[id] = nil
            guard case .unresponsive = reason else { return }
            if state.canaryFailures.count >= Self.mostClusters { state.canaryFailures = [:] }
            state.canaryFailures[cluster, default: 0] += 1
        }
    }

    /// By their names.
    var all: [OpenTunnel] { state.withLock { Array($0.tunnels.values) }.sorted { $0.id < $1.id } }

    /// Tunnels of the cluster that were closed because their data path hung, since the gateway began.
    func canaryFailures(of cluster: String) -> Int { state.withLock { $0.canaryFailures[cluster] ?? 0 } }
}
