import KubernetesAPI
import Yams

/// `apiextensions.k8s.io/v1` CustomResourceDefinition, passed through as it is.
struct CustomResourceDefinition: KubernetesResource {
    static let definition = ResourceDefinition(
        group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions",
        kind: "CustomResourceDefinition", namespaced: false)

    var metadata: ObjectMeta
    var spec: OpaqueJSON

    /// `crds/gatewayroutes.yaml`.
    static func gatewayRoutes() throws -> CustomResourceDefinition {
        try YAMLDecoder().decode(Self.self, from: CustomResourceDefinitionTests.definition())
    }
}
