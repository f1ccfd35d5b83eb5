import Foundation
import NIOCore
import NIOSSL
import Routing
import SwiftASN1
import X509

/// A certificate of the front door, ready for connections.
struct ServedCertificate: Sendable {
    let name: String
    private(set) var isDefault: Bool
    /// What it was read from: the same again is not read again, and clients can resume their sessions.
    let content: Content
    /// The DNS names it is valid for. None: it can only be the default.
    let hosts: [Hostname]
    let expires: Date
    let context: NIOSSLContext

    struct Content: Hashable, Sendable {
        fileprivate var certificate: TokenDigest
        fileprivate var key: TokenDigest
    }

    /// Why it cannot be used.
    struct Refusal: Error, Hashable, CustomStringConvertible {
        /// The path, or the part of a Secret.
        var file: String
        /// The rest of a sentence whose subject is the file.
        var problem: String
        var description: String { "\(file) \(problem)" }
    }

    /// - Parameter known: what was made of the same before.
    static func load(_ offer: CertificateOffer, known: ServedCertificate?) throws(Refusal) -> ServedCertificate {
        let certificate = try offer.certificate.content.get()
        let key = try offer.key.content.get()
        let content = Content(certificate: TokenDigest(of: certificate), key: TokenDigest(of: key))
        if var known, known.content == content {
            known.isDefault = offer.isDefault
            return known
        }
        return try ServedCertificate(offer, content, certificate: Array(certificate), key: Array(key))
    }

    /// Whether anything about it is news.
    func differs(from other: ServedCertificate?) -> Bool {
        other.map { $0.content != content || $0.isDefault != isDefault } ?? true
    }

    private init(
        _ offer: CertificateOffer, _ content: Content, certificate: [UInt8], key: [UInt8]
    ) throws(Refusal) {
        name = offer.name
        isDefault = offer.isDefault
        self.content = content
        guard let chain = try? NIOSSLCertificate.fromPEMBytes(certificate), let first = chain.first
        else { throw Refusal(file: offer.certificate.place, problem: "has no certificate in PEM") }
        guard let leaf = try? Certificate(derEncoded: first.toDERBytes()) else {
            throw Refusal(file: offer.certificate.place, problem: "begins with a certificate that cannot be understood")
        }
        expires = leaf.notValidAfter
        hosts = Self.hosts(of: leaf)
        guard let key = try? NIOSSLPrivateKey(bytes: key, format: .pem) else {
            throw Refusal(file: offer.key.place, problem: "has no private key in PEM, or one with a passphrase")
        }
        do {
            context = try NIOSSLContext(configuration: Self.configuration(chain, key))
        } catch {
            throw Refusal(file: offer.key.place, problem: "is not the key to \(offer.certificate.place): \(error)")
        }
    }

    /// The names of the certificate; its common name does not count (RFC 9525 §2).
    private static func hosts(of certificate: Certificate) -> [Hostname] {
        guard let names = try? certificate.extensions.subjectAlternativeNames else { return [] }
        return names.compactMap { name in
            if case .dnsName(let text) = name { try? Hostname(text) } else { nil }
        }
    }

    /// TLS 1.3, and 1.2 with forward secrecy and authenticated encryption (RFC 9325 §4.2). Sessions are resumed by
    /// tickets, which BoringSSL gives unasked, with keys of this context's own that it changes every other day.
    private static func configuration(_ chain: [NIOSSLCertificate], _ key: NIOSSLPrivateKey) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.cipherSuites = "ECDHE+AESGCM:ECDHE+CHACHA20"
        configuration.applicationProtocols = FrontProtocol.allCases.map(\.rawValue)
        // Nothing depends on a client's goodbye, so it is not waited for.
        configuration.shutdownTimeout = .milliseconds(500)
        return configuration
    }
}
