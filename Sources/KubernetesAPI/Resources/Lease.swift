/// `coordination.k8s.io/v1` Lease: what leader election is agreed upon.
package struct Lease: KubernetesResource, Hashable {
    package static let definition = ResourceDefinition(
        group: "coordination.k8s.io", version: "v1", plural: "leases", kind: "Lease")

    package var metadata: ObjectMeta
    package var spec: Spec?

    package init(metadata: ObjectMeta, spec: Spec?) {
        self.metadata = metadata
        self.spec = spec
    }

    package struct Spec: Codable, Hashable, Sendable {
        /// Who holds the lease; empty or absent once it was released.
        package var holderIdentity: String?
        /// How long, in seconds, others wait after the last observed renewal before they may take over.
        package var leaseDurationSeconds: Int?
        package var acquireTime: MicroTime?
        package var renewTime: MicroTime?
        /// How many times the lease changed hands.
        package var leaseTransitions: Int?

        package init(
            holderIdentity: String? = nil, leaseDurationSeconds: Int? = nil, acquireTime: MicroTime? = nil,
            renewTime: MicroTime? = nil, leaseTransitions: Int? = nil
        ) {
            self.holderIdentity = holderIdentity
            self.leaseDurationSeconds = leaseDurationSeconds
            self.acquireTime = acquireTime
            self.renewTime = renewTime
            self.leaseTransitions = leaseTransitions
        }
    }
}
