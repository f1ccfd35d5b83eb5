import NIOCore
import NIOSSL

extension KubernetesConfiguration {
    /// The TLS settings for this server; `clientCertificate` overrides the configured one. Throws
    /// `KubernetesConfigurationError` naming the certificate or key at fault.
    func tlsConfiguration(clientCertificate override: ClientCertificate? = nil) throws -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        // An agent that is asked to stop does not wait long for a server that does not answer the goodbye.
        tls.shutdownTimeout = .milliseconds(500)
        if let certificateAuthority {
            do {
                tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(certificateAuthority))
            } catch {
                throw KubernetesConfigurationError(
                    source: origin, field: "certificate-authority", problem: "not a PEM certificate: \(error)")
            }
        }
        if insecureSkipTLSVerify {
            tls.certificateVerification = .none
        } else if addressToVerify != nil {
            // `ServerCertificateCheck` looks for the address once the chain is verified, before anything is sent.
            tls.certificateVerification = .noHostnameVerification
        }
        if let client = override ?? clientCertificate {
            do {
                tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(client.certificate).map { .certificate($0) }
            } catch {
                throw KubernetesConfigurationError(
                    source: origin, field: "client-certificate", problem: "not a PEM certificate: \(error)")
            }
            do {
                tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: client.key, format: .pem))
            } catch {
                throw KubernetesConfigurationError(
                    source: origin, field: "client-key", problem: "not a PEM private key: \(error)")
            }
        }
        return tls
    }
}
