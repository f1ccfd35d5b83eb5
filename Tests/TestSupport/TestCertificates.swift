import Crypto
package import Foundation
package import NIOSSL
import SwiftASN1
import X509

/// A certificate authority, two server certificates and a client certificate (P-256), in PEM, made once a run.
package struct TestCertificates: Sendable {
    /// A certificate and its key.
    package struct Pair: Sendable {
        package var certificate: String
        package var key: String

        /// What a server needs to show the certificate.
        package func serverConfiguration() throws -> TLSConfiguration {
            TLSConfiguration.makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(certificate.utf8)).map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(key.utf8), format: .pem)))
        }
    }

    package static let made = Result { try TestCertificates() }

    package let authority: String
    package let otherAuthority: String
    /// For `name` and 127.0.0.1.
    package let server: Pair
    /// For `name` only.
    package let namedServer: Pair
    package let client: Pair
    private let issuer: Issuer

    /// The DNS name of both servers.
    package static let name = "server.test"

    /// A fresh authority; most tests share `made`.
    package init() throws {
        issuer = Issuer()
        let name = GeneralName.dnsName(Self.name)
        let address = GeneralName.ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1]))
        authority = try issuer.certificate().pem()
        otherAuthority = try Issuer().certificate().pem()
        server = try issuer.issue(to: [name, address], for: .serverAuth)
        namedServer = try issuer.issue(to: [name], for: .serverAuth)
        client = try issuer.issue(to: [], for: .clientAuth)
    }

    /// A client certificate of the authority, with a URI and a common name.
    package func client(uri: String?, commonName: String = "Test leaf") throws -> Pair {
        try issuer.issue(
            to: uri.map { [.uniformResourceIdentifier($0)] } ?? [], for: .clientAuth, commonName: commonName)
    }

    /// Another certificate for the name and address of `server`.
    package func anotherServer() throws -> Pair {
        let address = GeneralName.ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1]))
        return try issuer.issue(to: [.dnsName(Self.name), address], for: .serverAuth)
    }

    /// A server certificate for these names, the first of which is its common name.
    package func server(for names: [String], until expires: Date = inAnHour) throws -> Pair {
        try issuer.issue(
            to: names.map { .dnsName($0) }, for: .serverAuth, commonName: names.first ?? "Test leaf", until: expires)
    }

    /// How long what is issued here lasts.
    package static var inAnHour: Date { Date().addingTimeInterval(3600) }

    private struct Issuer {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())

        func certificate() throws -> Certificate {
            try sign(key.publicKey, "Test CA", [Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))])
        }

        func issue(
            to names: [GeneralName], for use: ExtendedKeyUsage.Usage, commonName: String = "Test leaf",
            until expires: Date = inAnHour
        ) throws -> Pair {
            let leaf = Certificate.PrivateKey(P256.Signing.PrivateKey())
            var extensions: [any CertificateExtensionConvertible] = [try ExtendedKeyUsage([use])]
            if !names.isEmpty { extensions.append(SubjectAlternativeNames(names)) }
            let certificate = try sign(leaf.publicKey, commonName, extensions, until: expires)
            return Pair(certificate: try certificate.pem(), key: try leaf.serializeAsPEM().pemString)
        }

        private func sign(
            _ publicKey: Certificate.PublicKey, _ name: String, _ extensions: [any CertificateExtensionConvertible],
            until expires: Date = inAnHour
        ) throws -> Certificate {
            var list = Certificate.Extensions()
            for item in extensions { try list.append(item.makeCertificateExtension()) }
            return try Certificate(
                version: .v3, serialNumber: .init(), publicKey: publicKey,
                notValidBefore: Date().addingTimeInterval(-3600), notValidAfter: expires,
                issuer: try DistinguishedName { CommonName("Test CA") },
                subject: try DistinguishedName { CommonName(name) }, extensions: list, issuerPrivateKey: key)
        }
    }
}

extension Certificate {
    fileprivate func pem() throws -> String { try serializeAsPEM().pemString }
}
