package import KubernetesAPI
package import KubernetesRuntime

/// Which Services may be the ingress controller's.
///
/// | | candidates |
/// |---|---|
/// | a setting names a Service | that one and no other |
/// | otherwise, where a Service has a well-known name | those with one |
/// | otherwise | those with a well-known label in any namespace |
///
/// A label says less than a name: whoever may create Services may set it. So beside a well-known name it counts for
/// nothing, neither for the target nor for the cluster's type, and the status tells by what the Service was found. Where
/// there is no such name either and people are not to be trusted with labels, the setting names the Service.
package struct IngressControllerSearch: Sendable {
    /// Why requests go where they go, spelled as in `status.targetReason`.
    package enum Reason: String, Hashable, Sendable, CaseIterable {
        /// The setting `ingress-controller` names the Service.
        case configured = "Configured"
        /// The Service has the name that the usual installation of an ingress controller gives it.
        case knownName = "KnownName"
        /// The Service has the label that the usual installation of an ingress controller gives it.
        case knownLabel = "KnownLabel"
        /// The setting names a Service that does not exist, or has no address or no port for HTTP: requests go to the
        /// Services of the Ingresses.
        case configuredNotUsable = "ConfiguredNotUsable"
        /// There is none: requests go to the Services of the Ingresses.
        case noIngressController = "NoIngressController"
    }

    package struct Candidate: Hashable, Sendable {
        package var service: Service
        package var reason: Reason
    }

    /// The index of the Service cache that `candidates` reads.
    package static let index = "ingress-controller"

    /// The index's values of a Service: the place of its label in the order of preference.
    package static func indexValues(_ service: Service) -> [String] {
        guard let labels = service.metadata.labels, !service.isHeadless,
            IngressControllerChoice.httpPort(of: service) != nil
        else { return [] }
        let known = KnownIngressControllers.labels
        return known.indices.filter { known[$0].isSubset(of: labels) }.map(String.init)
    }

    private let configured: ObjectKey?
    private let names: [ObjectKey]

    /// - Parameter configured: the Service that a setting names.
    package init(configured: ObjectKey? = nil) {
        self.configured = configured
        names = configured.map { [$0] } ?? KnownIngressControllers.services
    }

    /// Why there is no target, where no candidate can be used.
    package var reasonForNone: Reason { configured == nil ? .noIngressController : .configuredNotUsable }

    /// Whether a change of the Service can change the outcome.
    package func concerns(_ change: ObjectChange<Service>) -> Bool {
        if names.contains(change.key) { return true }
        guard configured == nil else { return false }
        if case .updated(let old, _) = change, !Self.indexValues(old).isEmpty { return true }
        return !Self.indexValues(change.object).isEmpty
    }

    /// The candidates that exist, in order of preference; of those with the same label, in the order of their keys.
    package func candidates(in store: Store<Service>) -> [Candidate] {
        let services = store.snapshot()
        return candidates(get: { services[$0] }) { value in
            services.keys(index: Self.index, value: value).sorted().compactMap { services[$0] }
        }
    }

    /// The same, of any collection.
    ///
    /// - Parameter labelled: the Services that have a value in the index, sorted by key.
    package func candidates(
        get: (ObjectKey) -> Service?, labelled: (String) -> [Service]
    ) -> [Candidate] {
        let reason: Reason = configured == nil ? .knownName : .configured
        var candidates = names.compactMap(get).map { Candidate(service: $0, reason: reason) }
        guard configured == nil, candidates.isEmpty else { return candidates }
        var seen: Set<ObjectKey> = []
        for index in KnownIngressControllers.labels.indices {
            for service in labelled(String(index)) where seen.insert(service.key).inserted {
                candidates.append(Candidate(service: service, reason: .knownLabel))
            }
        }
        return candidates
    }
}

extension [String: String] {
    /// Whether `other` has all of these pairs.
    fileprivate func isSubset(of other: [String: String]) -> Bool { allSatisfy { other[$0.key] == $0.value } }
}
