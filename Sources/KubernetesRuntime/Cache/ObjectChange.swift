package import KubernetesAPI

/// One difference between two states of a store.
package enum ObjectChange<R: KubernetesResource>: Sendable {
    case added(R)
    case updated(old: R, new: R)
    /// The object as it was last seen.
    case deleted(R)

    /// The object it is about, in its newest known state.
    package var object: R {
        switch self {
        case .added(let object), .updated(_, let object), .deleted(let object): object
        }
    }

    /// The key of the object it is about.
    package var key: ObjectKey { object.key }
}

extension ObjectChange: Equatable where R: Equatable {}
