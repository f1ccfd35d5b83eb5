/// The files that say who may open a tunnel. The raw value names them in logs and metrics.
enum CredentialSource: String, CaseIterable, Hashable, Sendable {
    case clusters = "clusters-file"
    case keys = "jwks-file"
    case certificates = "agent-tls"
}

/// Where the gateway's credentials are read from.
package struct CredentialFiles: Sendable {
    private let settings: AuthenticationSettings
    let tls: AgentTLS.Files?

    package init(_ settings: AuthenticationSettings, tls: AgentTLS.Files?) {
        self.settings = settings
        self.tls = tls
    }

    /// Reads all of it.
    ///
    /// - Throws: `CredentialFileError`.
    package func load() async throws -> Credentials {
        var credentials = Credentials(directory: .empty, certificateAdmits: settings.certificateAdmits)
        try await read(.clusters, into: &credentials)
        try await read(.keys, into: &credentials)
        return credentials
    }

    /// Reads one file again; on an error the credentials stay as they were.
    func read(_ source: CredentialSource, into credentials: inout Credentials) async throws {
        switch source {
        case .clusters:
            if let path = settings.clustersFile { credentials.directory = try ClusterDirectory(path: path) }
        case .keys:
            guard let path = settings.keysFile else { return }
            credentials.verifier = TokenVerifier(
                keys: try await TokenKeys(path: path), issuer: settings.issuer, audience: settings.audience)
        case .certificates:
            break
        }
    }

    /// Takes what the files hold now as read: begin before reading, and no change is missed.
    func watches() -> [(source: CredentialSource, watch: FileWatch)] {
        var watches: [(CredentialSource, FileWatch)] = []
        if let path = settings.clustersFile { watches.append((.clusters, FileWatch([path]))) }
        if let path = settings.keysFile { watches.append((.keys, FileWatch([path]))) }
        if let tls { watches.append((.certificates, FileWatch(tls.paths))) }
        return watches
    }
}
