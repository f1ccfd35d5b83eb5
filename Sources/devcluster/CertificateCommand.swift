import ArgumentParser
import DevCluster
import Foundation

/// `devcluster certificate`.
struct CertificateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certificate",
        abstract: "Make a certificate authority and a serving certificate (P-256).",
        discussion: "Writes ca.crt, tls.crt and tls.key into the directory.")

    @Option(help: "Where the files go; made if missing.")
    var directory: String

    @Option(help: "A DNS name or IPv4 address the certificate is for; may be given several times.")
    var name: [String]

    func run() throws {
        let url = URL(fileURLWithPath: directory, isDirectory: true)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        let authority = try CertificateAuthority(commonName: "devcluster CA", now: Date())
        let identity = try authority.issue(names: name)
        try Data(authority.certificatePEM.utf8).write(to: url.appendingPathComponent("ca.crt"), options: .atomic)
        try Data(identity.certificatePEM.utf8).write(to: url.appendingPathComponent("tls.crt"), options: .atomic)
        try PrivateFile.write(identity.privateKeyPEM, to: url.appendingPathComponent("tls.key"))
    }
}
