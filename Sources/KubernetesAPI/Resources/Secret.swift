package import struct Foundation.Data

/// Core `v1` Secret. What it holds is in no text made of it.
package struct Secret: KubernetesResource, Hashable, CustomStringConvertible, CustomReflectable {
    package static let definition = ResourceDefinition(group: "", version: "v1", plural: "secrets", kind: "Secret")

    package var metadata: ObjectMeta
    /// `Opaque` where absent; cannot be changed.
    package var type: String?
    package var data: [String: Data]?

    /// The type of those with a certificate and its key, in `tls.crt` and `tls.key`.
    package static let tlsType = "kubernetes.io/tls"

    package init(metadata: ObjectMeta, type: String? = nil, data: [String: Data]? = nil) {
        self.metadata = metadata
        self.type = type
        self.data = data
    }

    package var description: String { "Secret \(key)" }
    // Annotations may hold the data once more.
    package var customMirror: Mirror { Mirror(self, children: ["key": key, "type": type ?? "Opaque"]) }
}
