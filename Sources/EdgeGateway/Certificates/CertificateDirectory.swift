import Foundation
import Settings

/// A directory with certificates and their keys, in PEM: `NAME/tls.crt` and `NAME/tls.key`, as a Secret of the type
/// `kubernetes.io/tls` is mounted, or `NAME.crt` and `NAME.key`.
package struct CertificateDirectory: Sendable {
    /// A certificate chain and its key, one of which may be missing.
    struct Pair: Hashable, Sendable {
        var name: String
        var certificate: String
        var key: String
    }

    /// The pair of this name is the default.
    static let defaultName = "default"

    let path: String

    package init(path: String) { self.path = path }

    /// The pairs that are there now, in the order of their names. What begins with a dot is passed over, such as the
    /// directories behind a mounted Secret, and so is what has neither file; a `ca.crt` without a key is the authority
    /// that cert-manager writes beside a certificate.
    ///
    /// - Throws: `SettingsError` where the directory cannot be listed.
    func pairs() throws(SettingsError) -> [Pair] {
        let files = FileManager.default
        let names: [String]
        do {
            names = try files.contentsOfDirectory(atPath: path)
        } catch {
            throw SettingsError(
                setting: GatewaySettings.Name.certificates.rawValue, value: path,
                problem: "cannot be listed: \(error.localizedDescription)")
        }
        var pairs: Set<Pair> = []
        for name in names where !name.hasPrefix(".") {
            let inner = Pair(name: name, certificate: "\(path)/\(name)/tls.crt", key: "\(path)/\(name)/tls.key")
            if files.fileExists(atPath: inner.certificate) || files.fileExists(atPath: inner.key) {
                pairs.insert(inner)
            } else if name.hasSuffix(".crt") || name.hasSuffix(".key"), !isDirectory(name) {
                let stem = String(name.dropLast(4))
                let pair = Pair(name: stem, certificate: "\(path)/\(stem).crt", key: "\(path)/\(stem).key")
                if name == "ca.crt", !files.fileExists(atPath: pair.key) { continue }
                pairs.insert(pair)
            }
        }
        return pairs.sorted { ($0.name, $0.certificate) < ($1.name, $1.certificate) }
    }

    private func isDirectory(_ name: String) -> Bool {
        var isDirectory: ObjCBool = false
        return FileManager.default.fileExists(atPath: "\(path)/\(name)", isDirectory: &isDirectory)
            && isDirectory.boolValue
    }
}
