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
    }

    private let state = Mutex(State())

    private let registry: RouteRegistry

    package init(registry: RouteRegistry) { self.registry = registry }

    var all: [Tunnel] { state.withLock { Array($0.tunnels.values) } }

    /// Follows a tunnel until it is closed.
    func add(_ tunnel: Tunnel, _ identity: TunnelIdentity, id: String) {
        state.withLock { state in
            state.leases.add(id, identity, now: Date(), random: .random(in: 0..<1))
            state.tunnels[id] = tunnel
        }
        tunnel.channel.closeFuture.whenComplete { _ in self.remove(id) }
    }

    private func remove(_ id: String) {
        state.withLock { state in
            state.leases.remove(id)
            state.tunnels[id] = nil
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
