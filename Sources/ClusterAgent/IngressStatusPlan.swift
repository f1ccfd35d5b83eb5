package import KubernetesAPI

/// What `status.loadBalancer.ingress` of an Ingress should be: with the cluster's name at the gateway, or without it.
///
/// Every entry without that name is somebody else's; it stays as it is, and where it is.
///
/// | our name is listed | wanted | becomes |
/// |---|---|---|
/// | no | yes | added at the end |
/// | yes | yes | nothing to write |
/// | yes | no | removed |
/// | no | no | nothing to write |
package enum IngressStatusPlan {
    /// The entries to write, or `nil` where there is nothing to write.
    package static func entries(
        current: [Ingress.LoadBalancerIngress], hostname: String, wanted: Bool
    ) -> [Ingress.LoadBalancerIngress]? {
        let others = current.filter { $0.hostname?.lowercased() != hostname }
        let isListed = others.count < current.count
        switch (isListed, wanted) {
        case (true, true), (false, false): return nil
        // Without ports: where the gateway listens is its own affair, and clients know the usual ones.
        case (false, true): return current + [.init(hostname: hostname)]
        case (true, false): return others
        }
    }

    /// Whether the name is to be listed while a GatewayRoute's `Programmed` has this reason; `nil` leaves it as it is.
    ///
    /// DNS records follow the list, for all hosts of the Ingress, and are slow to follow. So it stays through what passes
    /// in a moment, such as a tunnel that is dialled again or a changed route on its way, and where another Ingress of
    /// this cluster has one of the paths.
    package static func wanted(_ programmed: ProgrammedReason) -> Bool? {
        switch programmed {
        case .programmed: true
        case .pending, .tunnelDown, .routeConflict: nil
        default: false
        }
    }
}
