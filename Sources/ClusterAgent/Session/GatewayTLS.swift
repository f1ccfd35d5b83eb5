package import NIOSSL
package import Settings
import TunnelTransport

/// TLS towards the gateway: whom to trust and, where the gateway asks for it, who the agent is.
package struct GatewayTLS: Sendable {
    /// A certificate with its intermediates, and the key to it, in PEM.
    package struct ClientCertificate: Hashable, Sendable {
        package var certificateFile: String
        package var keyFile: String

        package init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    private let authorityFile: String?
    private let client: ClientCertificate?
    /// Where no file can change it.
    private let fixed: NIOSSLContext?

    /// - Parameter authorityFile: nil: the authorities of the system.
    /// - Throws: `SettingsError` where a file cannot be used now.
    package init(authorityFile: String?, client: ClientCertificate?) throws(SettingsError) {
        self.authorityFile = authorityFile
        self.client = client
        let context = try Self.makeContext(authorityFile, client)
        fixed = authorityFile == nil && client == nil ? context : nil
    }

    /// The context for one connection. Files are read anew, so that rotated certificates are used.
    ///
    /// - Throws: what is wrong with a file now.
    package func context() throws(SettingsError) -> NIOSSLContext {
        if let fixed { return fixed }
        return try Self.makeContext(authorityFile, client)
    }

    private static func makeContext(
        _ authorityFile: String?, _ client: ClientCertificate?
    ) throws(SettingsError) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        // The tunnel has said goodbye in its own way; that of TLS is not waited for.
        configuration.shutdownTimeout = TunnelHandler.secureGoodbyeTimeout
        if let authorityFile { configuration.trustRoots = .file(authorityFile) }
        if let client {
            do {
                let chain = try NIOSSLCertificate.fromPEMFile(client.certificateFile)
                configuration.certificateChain = chain.map { .certificate($0) }
            } catch {
                throw refusal(of: .gatewayClientCertificate, client.certificateFile, error)
            }
            do {
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: client.keyFile, format: .pem))
            } catch {
                throw refusal(of: .gatewayClientKey, client.keyFile, error)
            }
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            if let client {
                // The authorities are read at the same time, but a key that does not fit is what happens.
                throw refusal(
                    of: .gatewayClientCertificate, client.certificateFile, "with \(client.keyFile): \(error)")
            }
            throw refusal(of: .gatewayCAFile, authorityFile, error)
        }
    }

    private static func refusal(of name: AgentSettings.Name, _ file: String?, _ error: Any) -> SettingsError {
        SettingsError(setting: name.rawValue, value: file, problem: "cannot be used: \(error)")
    }
}
