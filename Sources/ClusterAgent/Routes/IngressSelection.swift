package import KubernetesAPI

/// Which Ingresses the agent serves. All of these must hold:
///
/// | asked for | the Ingress |
/// |---|---|
/// | always | does not opt out with `gateway.pipeops.io/expose: "false"` |
/// | classes | has one of them |
/// | a label selector | has labels that it selects |
/// | namespaces | is in one of them |
///
/// An Ingress's class is `spec.ingressClassName`; where that is absent, the annotation that was used before the field
/// existed. One with neither has no class, and is left out where classes are asked for.
package struct IngressSelection: Hashable, Sendable {
    /// Every Ingress that does not opt out.
    package static let all = IngressSelection()

    private let classes: Set<String>
    private let selector: LabelSelector?
    private let namespaces: Set<String>

    /// - Parameters:
    ///   - classes: none for every class, and for Ingresses without one.
    ///   - selector: `nil` for every Ingress.
    ///   - namespaces: none for all of them.
    package init(classes: [String] = [], selector: LabelSelector? = nil, namespaces: [String] = []) {
        self.classes = Set(classes)
        self.selector = selector
        self.namespaces = Set(namespaces)
    }

    /// Whether the agent serves the Ingress.
    package func includes(_ ingress: Ingress) -> Bool {
        guard ingress.metadata.annotations?[Self.exposeAnnotation]?.lowercased() != "false" else { return false }
        if !classes.isEmpty, !(Self.className(of: ingress).map(classes.contains) ?? false) { return false }
        if let selector, !selector.matches(ingress.metadata.labels) { return false }
        return namespaces.isEmpty || namespaces.contains(ingress.metadata.namespace ?? "")
    }

    private static func className(of ingress: Ingress) -> String? {
        ingress.spec?.ingressClassName ?? ingress.metadata.annotations?[classAnnotation]
    }

    /// The value `false` keeps an Ingress away from the gateway.
    package static let exposeAnnotation = "gateway.pipeops.io/expose"

    /// How an Ingress names its class if it is older than `spec.ingressClassName`.
    package static let classAnnotation = "kubernetes.io/ingress.class"
}
