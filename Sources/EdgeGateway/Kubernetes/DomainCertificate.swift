import Crypto
import Foundation
package import KubernetesAPI

/// `cert-manager.io/v1` Certificate, as far as the gateway reads or writes it: one for each domain of users' own.
package struct DomainCertificate: KubernetesResource, Hashable {
    package static let definition = ResourceDefinition(
        group: "cert-manager.io", version: "v1", plural: "certificates", kind: "Certificate")

    /// The field manager under which the gateway applies objects, and the value of `managedByLabel` on them.
    package static let manager = "pipeops-gateway"
    /// The label that marks an object as the gateway's own.
    package static let managedByLabel = "app.kubernetes.io/managed-by"
    /// When a gateway last served the domain, to an hour or so (RFC 3339).
    package static let servedAtAnnotation = "gateway.pipeops.io/served-at"

    /// The cluster that has claimed the domain.
    package static let clusterAnnotation = "gateway.pipeops.io/cluster-uuid"

    package struct Spec: Codable, Hashable, Sendable {
        package struct PrivateKey: Codable, Hashable, Sendable {
            var algorithm = "ECDSA"
            var size = 256
            var rotationPolicy = "Always"
        }

        package struct SecretTemplate: Codable, Hashable, Sendable {
            var labels: [String: String]
        }

        package var dnsNames: [String]
        package var secretName: String
        package var issuerRef: IssuerReference
        package var privateKey: PrivateKey?
        package var secretTemplate: SecretTemplate?
    }

    package struct Status: Codable, Hashable, Sendable {
        package var conditions: [Condition]?
    }

    package var metadata: ObjectMeta
    package var spec: Spec?
    package var status: Status?

    /// The one that a domain is to have.
    init(domain: String, cluster: String, namespace: String, issuer: IssuerReference, servedAt: Date) {
        let name = Self.name(of: domain)
        metadata = ObjectMeta(
            name: name, namespace: namespace, labels: [Self.managedByLabel: Self.manager],
            annotations: [
                Self.servedAtAnnotation: servedAt.formatted(.iso8601), Self.clusterAnnotation: cluster,
            ])
        spec = Spec(
            dnsNames: [domain], secretName: name, issuerRef: issuer, privateKey: .init(),
            secretTemplate: .init(labels: [CertificateSecrets.label: "true"]))
    }

    /// The name of a domain's Certificate, and of its Secret. A name of the DNS is one for an object, if it is not too long.
    static func name(of domain: String) -> String {
        let name = "domain.\(domain)"
        guard name.utf8.count > 253 else { return name }
        return "domain." + SHA256.hash(data: Data(domain.utf8)).prefix(28).map { String(format: "%02x", $0) }.joined()
    }

    var servedAt: Date? {
        metadata.annotations?[Self.servedAtAnnotation].flatMap { try? Date($0, strategy: .iso8601) }
    }

    /// Whether everything is there that another one says; labels of others' are no difference.
    func isAs(_ desired: DomainCertificate) -> Bool {
        guard var spec, let wanted = desired.spec else { return false }
        let ours = spec.secretTemplate?.labels.filter { wanted.secretTemplate?.labels[$0.key] != nil } ?? [:]
        spec.secretTemplate?.labels = ours
        return spec == wanted
    }

    var cluster: String { metadata.annotations?[Self.clusterAnnotation] ?? "" }

    var isReady: Bool { status?.conditions?.contains { $0.type == "Ready" && $0.status == .true } == true }
}

/// Who issues certificates: cert-manager's reference to an issuer.
package struct IssuerReference: Codable, Hashable, Sendable {
    package var name: String
    package var kind: String
    package var group = "cert-manager.io"

    /// Reads `NAME`, `ClusterIssuer/NAME` or `Issuer/NAME`; nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard let name = parts.last, ObjectNames.isSubdomain(name) else { return nil }
        switch parts.count {
        case 1: kind = "ClusterIssuer"
        case 2 where parts[0] == "ClusterIssuer" || parts[0] == "Issuer": kind = parts[0]
        default: return nil
        }
        self.name = name
    }
}
