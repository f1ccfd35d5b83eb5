import Crypto
import Foundation
import SwiftASN1
import X509

/// A certificate authority and a server certificate (P-256), in PEM, made once a run.
struct TestCertificates: Sendable {
    /// A certificate and its key.
    struct Pair: Sendable {
        var certificate: String
        var key: String
    }

    static let made = Result { try TestCertificates() }

    let authority: String
    /// For `gateway.test` and 127.0.0.1.
    let server: Pair

    private init() throws {
        let issuer = Issuer()
        let name = GeneralName.dnsName("gateway.test")
        let address = GeneralName.ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1]))
        authority = try issuer.certificate().pem()
        server = try issuer.issue(to: [name, address], for: .serverAuth)
    }

    private struct Issuer {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())

        func certificate() throws -> Certificate {
            try sign(key.publicKey, "Test CA", [Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))])
        }

        func issue(to names: [GeneralName], for use: ExtendedKeyUsage.Usage) throws -> Pair {
            let leaf = Certificate.PrivateKey(P256.Signing.PrivateKey())
            var extensions: [any CertificateExtensionConvertible] = [try ExtendedKeyUsage([use])]
            if !names.isEmpty { extensions.append(SubjectAlternativeNames(names)) }
            let certificate = try sign(leaf.publicKey, "Test leaf", extensions)
            return Pair(certificate: try certificate.pem(), key: try leaf.serializeAsPEM().pemString)
        }

        private func sign(
            _ publicKey: Certificate.PublicKey, _ name: String, _ extensions: [any CertificateExtensionConvertible]
        ) throws -> Certificate {
            var list = Certificate.Extensions()
            for item in extensions { try list.append(item.makeCertificateExtension()) }
            return try Certificate(
                version: .v3, serialNumber: .init(), publicKey: publicKey,
                notValidBefore: Date().addingTimeInterval(-3600), notValidAfter: Date().addingTimeInterval(3600),
                issuer: try DistinguishedName { CommonName("Test CA") },
                subject: try DistinguishedName { CommonName(name) }, extensions: list, issuerPrivateKey: key)
        }
    }
}

extension Certificate {
    fileprivate func pem() throws -> String { try serializeAsPEM().pemString }
}
