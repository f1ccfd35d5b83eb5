/// Core `v1` ConfigMap.
package struct ConfigMap: KubernetesResource, Hashable {
    package static let definition = ResourceDefinition(
        group: "", version: "v1", plural: "configmaps", kind: "ConfigMap")

    package var metadata: ObjectMeta
    /// Texts; bytes, in `binaryData`, are not read.
    package var data: [String: String]?

    package init(metadata: ObjectMeta, data: [String: String]? = nil) {
        self.metadata = metadata
        self.data = data
    }
}
