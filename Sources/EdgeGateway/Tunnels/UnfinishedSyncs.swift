import Synchronization
import TunnelProtocol

/// How much memory the sets of routes take, by cluster, that have not arrived whole: each tunnel may hold one.
final class UnfinishedSyncs: Sendable {
    /// Enough for the publisher of a cluster and for the one that takes over from it.
    static let mostBytes = 2 * GatewaySession.maxRouteBytes

    private let bytes = Mutex<[String: Int]>([:])

    /// A tunnel's part has changed. Returns whether all of the cluster's is within the limit.
    func change(of cluster: String, by difference: Int) -> Bool {
        guard difference != 0 else { return true }
        return bytes.withLock { bytes in
            let total = (bytes[cluster] ?? 0) + difference
            bytes[cluster] = total > 0 ? total : nil
            return difference < 0 || total <= Self.mostBytes
        }
    }
}
