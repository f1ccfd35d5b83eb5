import Foundation

/// A credential plugin: a program that prints an `ExecCredential` (`client.authentication.k8s.io`).
package struct ExecPlugin: Hashable, Sendable {
    package enum Version: String, CaseIterable, Hashable, Sendable {
        case v1 = "client.authentication.k8s.io/v1"
        case v1beta1 = "client.authentication.k8s.io/v1beta1"
    }

    /// What the plugin is told about the cluster, where its configuration asks for that.
    package struct Cluster: Hashable, Sendable, Codable {
        /// As the kubeconfig has it.
        var server: String
        var tlsServerName: String?
        var insecureSkipTLSVerify: Bool?
        var certificateAuthorityData: String?
        /// As the kubeconfig has it.
        var proxyURL: String?
        /// The cluster's extension `client.authentication.k8s.io/exec`.
        var config: OpaqueJSON?

        /// The name of the extension that is passed on as `config`.
        static let extensionName = "client.authentication.k8s.io/exec"

        private enum CodingKeys: String, CodingKey {
            case server, config
            case tlsServerName = "tls-server-name"
            case insecureSkipTLSVerify = "insecure-skip-tls-verify"
            case certificateAuthorityData = "certificate-authority-data"
            case proxyURL = "proxy-url"
        }
    }

    var version: Version
    /// A path, or a name to be found in `PATH`.
    var command: String
    var arguments: [String]
    /// Added to this program's own environment.
    var environment: [String: String]
    var cluster: Cluster?

    /// What a plugin answered.
    struct Credential: Hashable, Sendable {
        var token: String?
        var clientCertificate: KubernetesConfiguration.ClientCertificate?
        /// Nil: good until the server refuses it.
        var expires: Date?
    }

    /// Why credentials could not be obtained, as a sentence.
    struct Failure: Error, Hashable, CustomStringConvertible {
        var description: String
    }

    /// The value of `KUBERNETES_EXEC_INFO`.
    func information() throws -> String {
        let info = Info(
            apiVersion: version.rawValue, kind: "ExecCredential", spec: .init(interactive: false, cluster: cluster))
        return String(decoding: try KubernetesJSON.encoder.encode(info), as: UTF8.self)
    }

    /// Reads what a plugin printed.
    func credential(from output: Data) throws(Failure) -> Credential {
        let answer: Answer
        do {
            answer = try KubernetesJSON.decoder.decode(Answer.self, from: output)
        } catch {
            throw Failure(
                description: "\(command) did not print an ExecCredential: \(describe(decodingFailure: error))")
        }
        guard answer.apiVersion == version.rawValue else {
            throw Failure(
                description: "\(command) answered in \(answer.apiVersion ?? "no version"), not \(version.rawValue)")
        }
        guard let status = answer.status else { throw Failure(description: "\(command) printed no status") }
        var credential = Credential(token: status.token, expires: status.expirationTimestamp)
        if credential.token?.isEmpty == true { credential.token = nil }
        switch (status.clientCertificateData ?? "", status.clientKeyData ?? "") {
        case ("", ""): break
        case (let certificate, let key) where !certificate.isEmpty && !key.isEmpty:
            credential.clientCertificate = .init(certificate: Array(certificate.utf8), key: Array(key.utf8))
        default:
            throw Failure(description: "\(command) printed only one of clientCertificateData and clientKeyData")
        }
        guard credential.token != nil || credential.clientCertificate != nil else {
            throw Failure(description: "\(command) printed neither a token nor a client certificate")
        }
        return credential
    }

    private struct Info: Encodable {
        struct Spec: Encodable {
            var interactive: Bool
            var cluster: Cluster?
        }
        var apiVersion: String
        var kind: String
        var spec: Spec
    }

    private struct Answer: Decodable {
        struct Status: Decodable {
            var token: String?
            var expirationTimestamp: Date?
            var clientCertificateData: String?
            var clientKeyData: String?
        }
        var apiVersion: String?
        var status: Status?
    }
}
