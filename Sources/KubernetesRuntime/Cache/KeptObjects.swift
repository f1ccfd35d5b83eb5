package import KubernetesAPI

/// Which objects stay as they are known where a whole new state is swapped in that lacks them.
package enum KeptObjects: Hashable, Sendable, ExpressibleByArrayLiteral {
    /// Those that are in the new state and could not be read.
    case these(Set<ObjectKey>)
    /// Something in the new state could not even be told by its name: it may be any of those that are missing.
    case all

    package init(arrayLiteral elements: ObjectKey...) { self = .these(Set(elements)) }
}
