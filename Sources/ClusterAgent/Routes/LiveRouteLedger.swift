package import KubernetesAPI
package import Routing
import Synchronization

package import struct Foundation.Date

/// The one ledger of a running agent, shared between the reconciler that fills it, the syncer that publishes it and the
/// data path that obeys it.
///
/// The forwarding table follows the ledger within the same call, so a request is never forwarded to where a route used
/// to lead.
package final class LiveRouteLedger: Sendable {
    private let state: Mutex<RouteLedger>
    private let forwarding: ForwardingGuard
    private let signal: AsyncStream<Void>.Continuation

    /// Yields after changes that the gateway must be told of. Several changes may yield once. For one reader.
    package let changes: AsyncStream<Void>

    package init(_ ledger: RouteLedger = RouteLedger(), forwarding: ForwardingGuard) {
        state = Mutex(ledger)
        self.forwarding = forwarding
        (changes, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// See `RouteLedger.replace`.
    package func replace(
        ingress: ObjectKey, createdAt: Date, with routes: [ExtractedRoute]
    ) -> RouteLedger.Change {
        change { $0.replace(ingress: ingress, createdAt: createdAt, with: routes) }
    }

    /// See `RouteLedger.retain`.
    package func retain(ingress: ObjectKey, keys: Set<RouteKey>) -> RouteLedger.Change {
        change { $0.retain(ingress: ingress, keys: keys) }
    }

    /// See `RouteLedger.remove`.
    package func remove(ingress: ObjectKey) -> RouteLedger.Change { change { $0.remove(ingress: ingress) } }

    private func change(_ body: (inout RouteLedger) -> RouteLedger.Change) -> RouteLedger.Change {
        let change = state.withLock { ledger in
            let change = body(&ledger)
            // Under the lock, so that two workers cannot put their hosts in place in the wrong order.
            if !change.hosts.isEmpty {
                let prepared = change.hosts.map { ($0, ForwardingTable.prepare(ledger.targets(of: $0))) }
                forwarding.update { table in
                    for (host, routes) in prepared { table.replace(host: host, with: routes) }
                }
            }
            return change
        }
        if change.routesChanged { signal.yield() }
        return change
    }

    /// See `RouteLedger.setPublication`.
    package func setPublication(_ publication: RouteLedger.Publication) -> Bool {
        let changed = state.withLock { ledger in
            let changed = ledger.setPublication(publication)
            forwarding.update { $0.setAdvertised(publication == .published) }
            return changed
        }
        if changed { signal.yield() }
        return changed
    }

    /// See `RouteLedger.beginTerm`.
    package func beginTerm(revision: Int64) { state.withLock { $0.beginTerm(revision: revision) } }

    /// See `RouteLedger.setComplete`: publishing may begin.
    package func setComplete() {
        state.withLock { $0.setComplete() }
        signal.yield()
    }

    /// See `RouteLedger.endTerm`.
    package func endTerm() {
        state.withLock { $0.endTerm() }
        signal.yield()
    }

    /// See `RouteLedger.disconnected`.
    package func disconnected(_ registry: String) -> Set<ObjectKey> { state.withLock { $0.disconnected(registry) } }

    /// See `RouteLedger.setTunnel`.
    package func setTunnel(_ tunnel: TunnelState) -> Set<ObjectKey> { state.withLock { $0.setTunnel(tunnel) } }

    /// Reads several facts at one moment.
    package func read<Result>(_ body: (RouteLedger) -> sending Result) -> sending Result {
        state.withLock { body($0) }
    }

    /// For the syncer, which decides and takes from the ledger in one step.
    func edit<Result>(_ body: (inout RouteLedger) -> sending Result) -> sending Result {
        state.withLock { body(&$0) }
    }
}
