import KubernetesAPI
import Synchronization

/// Lets the first statuses of GatewayRoutes wait for the gateway's answer while a cluster is taken in as a whole.
///
/// A status that says `Pending` comes before its route is sent. When an agent meets a cluster for the first time, thousands
/// of them would say so at once and be written again a moment later, and the records would be complete only after half as
/// much time again. So until the whole set is sent a new GatewayRoute goes without a status; after that the gateway has
/// `patience` to answer.
final class FirstStatus: Sendable {
    private enum Wait {
        /// The set has not been sent.
        case forSet
        case forAnswer(until: Duration)
    }

    private static let again = Duration.seconds(10)
    private let patience: Duration
    private let waits = Mutex<[ObjectKey: Wait]>([:])

    init(patience: Duration) { self.patience = patience }

    /// How long to wait before looking again; nil where the status has to be written as it is.
    ///
    /// - Parameter isPublished: whether the whole set has been sent, or is about to be.
    func delay(_ key: ObjectKey, isPublished: Bool, now: Duration) -> Duration? {
        waits.withLock { waits in
            guard isPublished else {
                waits[key] = .forSet
                return Self.again
            }
            switch waits[key] {
            case nil: return nil
            case .forSet:
                waits[key] = .forAnswer(until: now + patience)
                return patience
            case .forAnswer(let deadline): return deadline > now ? deadline - now : nil
            }
        }
    }

    /// The GatewayRoute has a status now, or is gone.
    func settled(_ key: ObjectKey) { waits.withLock { $0[key] = nil } }
}

extension GatewayRoutePlan {
    /// Whether all that is missing is the gateway's answer to routes that are, or are about to be, published.
    var awaitsAnswer: Bool { standing.publication == .published && programmedVerdict.reason == .pending }
}
