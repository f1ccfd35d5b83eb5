package import NIOSSL
package import Settings
import Synchronization
import TunnelTransport

/// The TLS of the agents' listener: one context for new connections, swapped when its files change.
package final class AgentTLS: Sendable {
    /// The files it is made from.
    package struct Files: Hashable, Sendable {
        /// PEM, the chain to show.
        package var certificate: String
        package var key: String
        /// PEM, the authorities of client certificates; nil where none is asked for.
        package var clientAuthority: String?
        /// Whether a connection without a client certificate is refused.
        package var requiresClientCertificate: Bool

        package init(
            certificate: String, key: String, clientAuthority: String? = nil, requiresClientCertificate: Bool = false
        ) {
            self.certificate = certificate
            self.key = key
            self.clientAuthority = clientAuthority
            self.requiresClientCertificate = requiresClientCertificate
        }

        var paths: [String] { [certificate, key] + (clientAuthority.map { [$0] } ?? []) }

        /// Throws an error that names the file.
        package func load() throws(SettingsError) -> NIOSSLContext {
            do {
                var configuration = TLSConfiguration.makeServerConfiguration(
                    certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
                    privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
                configuration.minimumTLSVersion = .tlsv12
                // The tunnel has said goodbye in its own way; that of TLS is not waited for.
                configuration.shutdownTimeout = TunnelHandler.secureGoodbyeTimeout
                if let clientAuthority {
                    configuration.trustRoots = .certificates(try Self.authorities(clientAuthority))
                    configuration.sendCANameList = true
                    // The name in the certificate says which cluster it is, not from which host it comes.
                    configuration.certificateVerification =
                        requiresClientCertificate ? .noHostnameVerification : .optionalVerification
                }
                return try NIOSSLContext(configuration: configuration)
            } catch let error as SettingsError {
                throw error
            } catch {
                throw SettingsError(
                    setting: "agent-tls-certificate", value: certificate,
                    problem: "cannot be used with agent-tls-key \(key): \(error)")
            }
        }

        private static func authorities(_ path: String) throws(SettingsError) -> [NIOSSLCertificate] {
            guard let found = try? NIOSSLCertificate.fromPEMFile(path), !found.isEmpty else {
                throw SettingsError(
                    setting: "agent-client-ca", value: path, problem: "is not a PEM file with certificates")
            }
            return found
        }
    }

    private let files: Files
    private let current: Mutex<NIOSSLContext>

    package init(_ files: Files) throws(SettingsError) {
        self.files = files
        current = Mutex(try files.load())
    }

    /// What new connections use.
    package var context: NIOSSLContext { current.withLock { $0 } }

    /// Reads the files again; where that fails, what was read before stays.
    func reload() throws(SettingsError) {
        let context = try files.load()
        current.withLock { $0 = context }
    }
}
