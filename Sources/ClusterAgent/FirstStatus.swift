import KubernetesAPI
import Synchronization

/// Lets the first status of a new GatewayRoute wait for the gateway's answer.
///
/// The answer is a matter of milliseconds, and a status that says `Pending` for so long helps nobody and costs a write for
/// every Ingress of the cluster. While the whole set has not been sent yet, there is no answer to wait for, and none is
/// missed; after that a gateway has `patience`.
final class FirstStatus: Sendable {
    private static let again = Duration.seconds(10)
    private let patience: Duration
    private let deadlines = Mutex<[ObjectKey: Duration]>([:])

    init(patience: Duration) { self.patience = patience }

    /// How long to wait before looking again; nil once the status has to be written as it is.
    func delay(_ key: ObjectKey, isPublished: Bool, now: Duration) -> Duration? {
        guard isPublished else { return Self.again }
        return deadlines.withLock { deadlines in
            let deadline = deadlines[key] ?? now + patience
            deadlines[key] = deadline
            return deadline > now ? deadline - now : nil
        }
    }

    /// The GatewayRoute has a status now, or is gone.
    func settled(_ key: ObjectKey) { deadlines.withLock { $0[key] = nil } }
}

extension GatewayRoutePlan {
    /// Whether all that is missing is the gateway's answer to routes that are, or are about to be, published.
    var awaitsAnswer: Bool { standing.publication == .published && programmedVerdict.reason == .pending }
}
