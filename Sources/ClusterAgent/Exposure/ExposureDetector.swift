package import KubernetesAPI

/// Decides whether the cluster is private or public from the Services of its ingress controllers.
///
/// It is level-triggered: every call of `observe` looks at all candidates of `IngressControllerSearch` anew, so that nothing
/// is missed however often the world changes. Where there are several the first row that applies decides:
///
/// | any candidate is | cluster type | reason |
/// |---|---|---|
/// | `LoadBalancer` with an address | Public | `LoadBalancerHasAddress` |
/// | `LoadBalancer` without one, for less than the grace period | as before, Unknown at first | `LoadBalancerPending` |
/// | `LoadBalancer` without one for longer | Private | `LoadBalancerWithoutAddress` |
/// | `NodePort` | Private | `NodePort` |
/// | `ClusterIP` | Private | `ClusterIP` |
/// | none of these | Private | `NoIngressController` |
///
/// The grace period counts from when this agent first saw the Service without an address, on its own monotonic clock.
package struct ExposureDetector: Sendable {
    /// Why the cluster has its type, spelled as in `status.clusterTypeReason`.
    package enum Reason: String, Hashable, Sendable, CaseIterable {
        case noIngressController = "NoIngressController"
        case nodePort = "NodePort"
        case clusterIP = "ClusterIP"
        case loadBalancerPending = "LoadBalancerPending"
        case loadBalancerWithoutAddress = "LoadBalancerWithoutAddress"
        case loadBalancerHasAddress = "LoadBalancerHasAddress"
        /// The Services have not been looked at yet.
        case notObserved = "NotObserved"
    }

    /// What was found, and in which Service.
    package struct Finding: Hashable, Sendable {
        package var clusterType: ClusterType
        package var reason: Reason
        /// The Service that decided, if one did.
        package var service: ObjectKey?

        package init(clusterType: ClusterType, reason: Reason, service: ObjectKey? = nil) {
            self.clusterType = clusterType
            self.reason = reason
            self.service = service
        }

        /// The finding before the Services were looked at.
        package static let notObserved = Finding(clusterType: .unknown, reason: .notObserved)

        /// A sentence for conditions and Events.
        package var message: String {
            let name = service.map { "Service \($0)" } ?? "the ingress controller"
            return switch reason {
            case .noIngressController: "no ingress controller Service was found"
            case .nodePort: "\(name) is of type NodePort"
            case .clusterIP: "\(name) is of type ClusterIP"
            case .loadBalancerPending: "\(name) of type LoadBalancer has no external address yet"
            case .loadBalancerWithoutAddress: "\(name) of type LoadBalancer was given no external address"
            case .loadBalancerHasAddress: "\(name) of type LoadBalancer has an external address"
            case .notObserved: "Services have not been read yet"
            }
        }
    }

    /// What follows from an observation.
    package struct Action: Hashable, Sendable {
        package var finding: Finding
        /// When `observe` must be called again although no Service changed, on the clock of `now`.
        package var lookAgainAt: Duration?

        package init(finding: Finding, lookAgainAt: Duration? = nil) {
            self.finding = finding
            self.lookAgainAt = lookAgainAt
        }
    }

    private let gracePeriod: Duration
    /// Since when each `LoadBalancer` has been without an address; a Service that was made anew starts over.
    private var addressless: [ObjectKey: (uid: String?, since: Duration)] = [:]
    private var finding = Finding.notObserved

    /// - Parameter gracePeriod: how long a `LoadBalancer` may be without an address before the cluster counts as private.
    package init(gracePeriod: Duration = .seconds(120)) { self.gracePeriod = gracePeriod }

    /// Looks at the Services that may be an ingress controller's.
    ///
    /// - Parameters:
    ///   - now: monotonic time since any fixed point.
    ///   - services: those that exist, in order of preference.
    package mutating func observe(now: Duration, services: [Service]) -> Action {
        trackAddressless(services, now: now)
        let (decided, lookAgainAt) = decide(services, now: now)
        finding = decided
        return Action(finding: decided, lookAgainAt: lookAgainAt)
    }

    private mutating func trackAddressless(_ services: [Service], now: Duration) {
        var tracked: [ObjectKey: (uid: String?, since: Duration)] = [:]
        for service in services where service.isLoadBalancer && !service.hasExternalAddress {
            if let known = addressless[service.key], known.uid == service.metadata.uid {
                tracked[service.key] = known
            } else {
                tracked[service.key] = (service.metadata.uid, now)
            }
        }
        addressless = tracked
    }

    private func decide(_ services: [Service], now: Duration) -> (Finding, lookAgainAt: Duration?) {
        if let reachable = services.first(where: { $0.isLoadBalancer && $0.hasExternalAddress }) {
            return (Finding(clusterType: .public, reason: .loadBalancerHasAddress, service: reachable.key), nil)
        }
        let balancers = services.filter(\.isLoadBalancer)
        let deadlines = balancers.compactMap { service in
            addressless[service.key].map { (service.key, $0.since + gracePeriod) }
        }
        if let (key, deadline) = deadlines.filter({ $0.1 > now }).min(by: { $0.1 < $1.1 }) {
            return (Finding(clusterType: finding.clusterType, reason: .loadBalancerPending, service: key), deadline)
        }
        if let balancer = balancers.first {
            return (Finding(clusterType: .private, reason: .loadBalancerWithoutAddress, service: balancer.key), nil)
        }
        if let nodePort = services.first(where: { $0.spec?.type == "NodePort" }) {
            return (Finding(clusterType: .private, reason: .nodePort, service: nodePort.key), nil)
        }
        if let internalOnly = services.first(where: { ($0.spec?.type ?? "ClusterIP") == "ClusterIP" }) {
            return (Finding(clusterType: .private, reason: .clusterIP, service: internalOnly.key), nil)
        }
        return (Finding(clusterType: .private, reason: .noIngressController), nil)
    }
}

extension Service {
    package var isLoadBalancer: Bool { spec?.type == "LoadBalancer" }

    /// Whether a load balancer published an IP address or a name for this Service.
    package var hasExternalAddress: Bool {
        (status?.loadBalancer?.ingress ?? []).contains { !($0.ip ?? "").isEmpty || !($0.hostname ?? "").isEmpty }
    }

    /// The address inside the cluster; `nil` where the Service is headless, of type `ExternalName` or has none yet.
    package var usableClusterIP: String? {
        guard spec?.type != "ExternalName", let ip = spec?.clusterIP, !ip.isEmpty, ip != "None" else { return nil }
        return ip
    }

    package var isHeadless: Bool { spec?.type != "ExternalName" && spec?.clusterIP == "None" }
}
