package import KubernetesAPI

/// Which Ingresses the agent serves.
package struct IngressSelection: Sendable {
    /// Every Ingress that does not opt out.
    package static let all = IngressSelection()

    package func includes(_ ingress: Ingress) -> Bool { IngressExtraction.isExposed(ingress) }
}
