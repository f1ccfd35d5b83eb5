/// Core `v1` Namespace; of interest here for its identity and its labels.
package struct Namespace: KubernetesResource, Hashable {
    package static let definition = ResourceDefinition(
        group: "", version: "v1", plural: "namespaces", kind: "Namespace", namespaced: false)

    package var metadata: ObjectMeta

    package init(metadata: ObjectMeta) { self.metadata = metadata }
}
