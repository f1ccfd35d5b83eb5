import Foundation
import Logging
import NIOCore
import Synchronization
import TunnelProtocol
import TunnelTransport

/// Every open tunnel with what it was let in by, from its handshake to the end of its connection, whatever its agent has
/// said; those that may carry requests are the `TunnelRegistry`'s. Carries out what `TunnelLeases` decides.
package final class AuthenticatedTunnels: Sendable {
    private struct State {
        var leases = TunnelLeases()
        var tunnels: [String: Tunnel] = [:]
        /// Open tunnels by cluster; a cluster without any is not in it.
        var counts: [String: Int] = [:]
    }

    private let state = Mutex(State())

    private let registry: RouteRegistry

    package init(registry: RouteRegistry) { self.registry = registry }

    var all: [Tunnel] { state.withLock { Array($0.tunnels.values) } }

    /// How many tunnels of a cluster are open: in the rotation, before their hello, superseded, or drained by either side.
    func count(of cluster: String) -> Int { state.withLock { $0.counts[cluster] ?? 0 } }

    /// Follows a tunnel until it is closed. Returns how many tunnels of its cluster are open now.
    func add(_ tunnel: Tunnel, _ identity: TunnelIdentity, id: String) -> Int {
        let count = state.withLock { state in
            state.leases.add(id, identity, now: Date(), random: .random(in: 0..<1))
            state.tunnels[id] = tunnel
            let count = (state.counts[identity.cluster] ?? 0) + 1
            state.counts[identity.cluster] = count
            return count
        }
        tunnel.channel.closeFuture.whenComplete { _ in self.remove(id, of: identity.cluster) }
        return count
    }

    private func remove(_ id: String, of cluster: String) {
        state.withLock { state in
            state.leases.remove(id)
            state.tunnels[id] = nil
            let count = (state.counts[cluster] ?? 0) - 1
            state.counts[cluster] = count > 0 ? count : nil
        }
    }

    /// Compares all tunnels with the credentials in force.
    func look(at credentials: Credentials, metrics: AdmissionMetrics, logger: Logger) async {
        let actions = state.withLock { state in
            state.leases.look(at: credentials, now: Date()).map { ($0, state.tunnels) }
        }
        for (action, tunnels) in actions {
            switch action {
            case .close(let id, let end):
                metrics.ended(end)
                logger.warning(
                    "Tunnel's credential has ended", metadata: ["tunnel": "\(id)", "reason": "\(end.rawValue)"])
                tunnels[id]?.close(end == .revoked ? .revoked : .tokenExpired)
            case .renew(let id, let seconds):
                let left = Int(seconds.rounded(.up))
                logger.info(
                    "Tunnel's token expires, the agent is asked to dial anew",
                    metadata: ["tunnel": "\(id)", "expires_in_s": .stringConvertible(left)])
                let message = "the token of this tunnel expires in \(left) s; dial again with a fresh one"
                tunnels[id]?.send(.error(.init(code: CredentialEnd.expired.rawValue, message: message)))
                // Streams are still opened here: the new tunnel takes the place of this one when it is up.
                tunnels[id]?.announceDrain(detail: message)
            case .restrict(let id, let cluster, let hostnames):
                await registry.restrict(cluster, tunnel: id, to: hostnames)
                tunnels[id]?.send(.resync(.init(reason: "the host names allowed to this cluster have changed")))
            }
        }
    }
}
