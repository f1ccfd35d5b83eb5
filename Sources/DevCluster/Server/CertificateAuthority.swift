import Crypto
package import Foundation
import SwiftASN1
import X509

/// A private certificate authority with P-256 keys: signs what the embedded API server, or a gateway on the same machine,
/// shows to its clients.
package struct CertificateAuthority: Sendable {
    /// A certificate and the key that belongs to it, both as PEM.
    package struct Identity: Hashable, Sendable {
        package var certificatePEM: String
        package var privateKeyPEM: String
    }

    /// The authority's own certificate: what clients trust.
    package let certificatePEM: String

    private let subject: DistinguishedName
    private let privateKey: Certificate.PrivateKey
    private let keyIdentifier: SubjectKeyIdentifier
    private let now: Date

    private static let day: TimeInterval = 86_400

    /// Makes an authority with a new key, valid from a day before `now` for ten years.
    package init(commonName: String, now: Date) throws {
        self.now = now
        privateKey = Certificate.PrivateKey(P256.Signing.PrivateKey())
        keyIdentifier = SubjectKeyIdentifier(hash: privateKey.publicKey)
        subject = try DistinguishedName { CommonName(commonName) }
        let identifier = keyIdentifier
        let certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: privateKey.publicKey,
            notValidBefore: now - Self.day, notValidAfter: now + 3650 * Self.day, issuer: subject, subject: subject,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(digitalSignature: true, keyCertSign: true, cRLSign: true))
                identifier
            },
            issuerPrivateKey: privateKey)
        certificatePEM = try certificate.serializeAsPEM().pemString + "\n"
    }

    /// Signs a serving certificate for the given DNS names and IPv4 addresses, valid for a year.
    package func issue(names: [String]) throws -> Identity {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let alternatives = names.map { name -> GeneralName in
            guard let address = IPv4Address(name) else { return .dnsName(name) }
            let bytes = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: address.bits >> $0) }
            return .ipAddress(ASN1OctetString(contentBytes: bytes[...]))
        }
        let leafIdentifier = SubjectKeyIdentifier(hash: key.publicKey)
        let certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key.publicKey,
            notValidBefore: now - Self.day, notValidAfter: now + 365 * Self.day, issuer: subject,
            subject: try DistinguishedName { CommonName(names.first ?? "localhost") },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames(alternatives)
                leafIdentifier
                AuthorityKeyIdentifier(keyIdentifier: keyIdentifier.keyIdentifier)
            },
            issuerPrivateKey: privateKey)
        return Identity(
            certificatePEM: try certificate.serializeAsPEM().pemString + "\n",
            privateKeyPEM: try key.serializeAsPEM().pemString + "\n")
    }
}
