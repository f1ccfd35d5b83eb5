import Foundation

/// A certificate chain and its key as a source has them, in PEM and not looked into.
struct CertificateOffer: Sendable {
    /// One of the two.
    struct Part: Sendable {
        /// Where it is, for people.
        var place: String
        var content: Result<Data, ServedCertificate.Refusal>

        init(_ content: Result<Data, ServedCertificate.Refusal>, at place: String) {
            self.place = place
            self.content = content
        }
    }

    /// What it is called in the log and in metrics; no other certificate of any source has the name.
    var name: String
    /// Whether it is for clients that ask for a name that no certificate has.
    var isDefault: Bool
    var certificate: Part
    var key: Part
}

extension CertificateOffer {
    /// What the files of a pair hold now.
    init(_ pair: CertificateDirectory.Pair) {
        func part(_ path: String) -> Part {
            Part(
                Result { try Data(contentsOf: URL(fileURLWithPath: path)) }.mapError {
                    .init(file: path, problem: "cannot be read: \($0.localizedDescription)")
                }, at: path)
        }
        self.init(
            name: pair.name, isDefault: pair.name == CertificateDirectory.defaultName,
            certificate: part(pair.certificate), key: part(pair.key))
    }
}
