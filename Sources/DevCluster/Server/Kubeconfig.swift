package import Foundation

/// The file by which clients find the server and prove who they are.
package struct Kubeconfig: Hashable, Sendable {
    /// Such as `https://127.0.0.1:6443`.
    package var server: String
    package var certificateAuthorityPEM: String
    package var token: String

    package init(server: String, certificateAuthorityPEM: String, token: String) {
        self.server = server
        self.certificateAuthorityPEM = certificateAuthorityPEM
        self.token = token
    }

    /// The YAML text, with the context `devcluster`.
    package var yaml: String {
        let authority = Data(certificateAuthorityPEM.utf8).base64EncodedString()
        return """
            apiVersion: v1
            kind: Config
            current-context: devcluster
            clusters:
              - name: devcluster
                cluster:
                  server: \(server)
                  certificate-authority-data: \(authority)
            users:
              - name: devcluster-admin
                user:
                  token: \(token)
            contexts:
              - name: devcluster
                context:
                  cluster: devcluster
                  user: devcluster-admin

            """
    }

    /// Writes the file, readable by its owner only, so that a reader sees all of it or nothing. Missing folders are made.
    package func write(to path: String) throws {
        let url = URL(fileURLWithPath: path)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try PrivateFile.write(yaml, to: url)
    }
}

/// The kubeconfig could not be written.
package struct KubeconfigError: Error, CustomStringConvertible {
    package let path: String
    package let reason: String

    package var description: String {
        "cannot write the kubeconfig to \(path): \(reason); choose a path in a folder that can be written"
    }
}

/// Files with secrets in them.
package enum PrivateFile {
    /// Writes a file that only its owner can read, in one step.
    package static func write(_ text: String, to url: URL) throws {
        let temporary = url.deletingLastPathComponent()
            .appendingPathComponent(".\(url.lastPathComponent).\(UUID().uuidString)")
        let made = FileManager.default.createFile(
            atPath: temporary.path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
        guard made else { throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: url.path]) }
        guard rename(temporary.path, url.path) == 0 else {
            try? FileManager.default.removeItem(at: temporary)
            throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: url.path])
        }
    }
}
