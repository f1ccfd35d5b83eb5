import Foundation
import NIOSSL
import SwiftASN1
import X509

/// What a client certificate says about its owner. The TLS handshake has verified that an authority we trust issued it.
///
/// The rule: a certificate with URI names has exactly one, `spiffe://<trust domain>/cluster/<uuid>`; one without any
/// names its cluster by a common name that is the uuid.
struct ClientCertificate: Hashable, Sendable {
    /// Nil if the certificate names none.
    var cluster: String?
    var expires: Date

    init(cluster: String?, expires: Date) {
        self.cluster = cluster
        self.expires = expires
    }

    /// Nil for bytes that are no certificate.
    init?(_ certificate: NIOSSLCertificate) {
        guard let bytes = try? certificate.toDERBytes(), let parsed = try? Certificate(derEncoded: bytes) else {
            return nil
        }
        expires = parsed.notValidAfter
        // A second extension of the kind makes a certificate invalid (RFC 5280 §4.2); so does one that cannot be read.
        guard let names = try? parsed.extensions.subjectAlternativeNames else {
            cluster =
                parsed.extensions[oid: .X509ExtensionID.subjectAlternativeName] == nil ? Self.commonName(parsed) : nil
            return
        }
        let identifiers = names.compactMap { name -> String? in
            if case .uniformResourceIdentifier(let text) = name { text } else { nil }
        }
        switch identifiers.count {
        case 0: cluster = Self.commonName(parsed)
        case 1: cluster = Self.cluster(spiffe: identifiers[0])
        default: cluster = nil
        }
    }

    /// The uuid in an identifier as above (SPIFFE-ID §2).
    static func cluster(spiffe: String) -> String? {
        let parts = spiffe.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[0].lowercased() == "spiffe:", parts[1].isEmpty, !parts[2].isEmpty,
            parts[3] == "cluster"
        else { return nil }
        return ClusterName.canonical(String(parts[4]))
    }

    private static func commonName(_ certificate: Certificate) -> String? {
        let names = certificate.subject.flatMap { $0 }.filter { $0.type == .RDNAttributeType.commonName }
        guard names.count == 1 else { return nil }
        return ClusterName.canonical(names[0].value.description)
    }
}
