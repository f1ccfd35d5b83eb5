import ClusterAgent
import KubernetesAPI
import Testing

@Suite("Which Ingresses are served")
struct IngressSelectionTests {
    private func ingress(
        annotations: [String: String]? = nil, labels: [String: String]? = nil, className: String? = nil
    ) -> Ingress {
        var ingress = Sample.ingress("my-app", annotations: annotations)
        ingress.metadata.labels = labels
        ingress.spec?.ingressClassName = className
        return ingress
    }

    @Test(
        "Only the annotation's value \"false\" opts out",
        arguments: [("false", false), ("False", false), ("true", true), ("", true), ("no", true)])
    func optOut(value: String, isIncluded: Bool) {
        #expect(
            IngressSelection.all.includes(ingress(annotations: ["gateway.pipeops.io/expose": value])) == isIncluded)
    }

    @Test("All means every class, also none, every label and every namespace")
    func all() {
        #expect(IngressSelection.all.includes(ingress()))
        #expect(IngressSelection.all.includes(ingress(labels: ["a": "b"], className: "nginx")))
        #expect(IngressSelection().includes(ingress(annotations: ["kubernetes.io/ingress.class": "traefik"])))
    }

    @Test("An opt-out counts before everything that asks for the Ingress")
    func optOutFirst() throws {
        let selection = IngressSelection(
            classes: ["nginx"], selector: try LabelSelector("a=b"), namespaces: ["default"])
        let fitting = ingress(labels: ["a": "b"], className: "nginx")
        #expect(selection.includes(fitting))
        var optedOut = fitting
        optedOut.metadata.annotations = [IngressSelection.exposeAnnotation: "false"]
        #expect(!selection.includes(optedOut))
    }
}
