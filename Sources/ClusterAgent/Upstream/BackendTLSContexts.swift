import HTTPExchange
package import KubernetesAPI
package import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// The TLS contexts for backends: made when they are needed, away from event loops, and anew where what they trust may
/// have changed.
package final class BackendTLSContexts: Sendable {
    /// Reads `ca.crt` of a Secret; fails with what is wrong and what to do about it.
    package typealias SecretSource = @Sendable (ObjectKey, any EventLoop) -> EventLoopFuture<String>

    /// How long a context is used before files and Secrets are looked at again.
    private static let age = TimeAmount.seconds(60)

    private struct Key: Hashable {
        var authority: BackendTLS.Authority
        var isVerified: Bool
        var usesHTTP2: Bool
    }

    private struct Entry {
        var context: NIOSSLContext
        var made: NIODeadline
    }

    private let authorityFile: String?
    private let secrets: SecretSource?
    private let entries = Mutex<[Key: Entry]>([:])

    /// - Parameters:
    ///   - authorityFile: PEM of authorities to trust beside those of the system.
    ///   - secrets: reads Secrets; `nil` where there are none.
    package init(authorityFile: String? = nil, secrets: SecretSource? = nil) {
        self.authorityFile = authorityFile
        self.secrets = secrets
    }

    /// The context for a connection. Fails with an `UpstreamError`.
    func context(
        for tls: BackendTLS, usesHTTP2: Bool, on eventLoop: any EventLoop
    ) -> EventLoopFuture<NIOSSLContext> {
        let key = Key(authority: tls.authority, isVerified: tls.isVerified, usesHTTP2: usesHTTP2)
        if let entry = entries.withLock({ $0[key] }), NIODeadline.now() - entry.made < Self.age {
            return eventLoop.makeSucceededFuture(entry.context)
        }
        return pem(key, on: eventLoop).flatMap { [self] pem in
            NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { [self] in
                let context = try Self.make(key, authorityFile: authorityFile, pem: pem)
                entries.withLock { entries in
                    // Secrets come and go: what nobody has asked for lately is let go.
                    let now = NIODeadline.now()
                    entries = entries.filter { now - $0.value.made < Self.age }
                    entries[key] = Entry(context: context, made: now)
                }
                return context
            }
        }.flatMapErrorThrowing { error in
            throw error as? UpstreamError ?? UpstreamError(.backendTLSFailed, "\(error)")
        }
    }

    private func pem(_ key: Key, on eventLoop: any EventLoop) -> EventLoopFuture<String?> {
        guard key.isVerified, case .secret(let secret) = key.authority else {
            return eventLoop.makeSucceededFuture(nil)
        }
        guard let secrets else {
            return eventLoop.makeFailedFuture(
                UpstreamError(.backendTLSFailed, "Secret \(secret) cannot be read: there is no API server to ask"))
        }
        return secrets(secret, eventLoop).map { $0 }
    }

    private static func make(_ key: Key, authorityFile: String?, pem: String?) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = [key.usesHTTP2 ? "h2" : "http/1.1"]
        if !key.isVerified {
            configuration.certificateVerification = .none
        } else if let pem {
            let authorities = try NIOSSLCertificate.fromPEMBytes(Array(pem.utf8))
            guard !authorities.isEmpty else {
                throw UpstreamError(.backendTLSFailed, "ca.crt has no certificate in PEM")
            }
            configuration.trustRoots = .certificates(authorities)
        } else if let authorityFile {
            configuration.additionalTrustRoots = [.file(authorityFile)]
        }
        return try NIOSSLContext(configuration: configuration)
    }
}
