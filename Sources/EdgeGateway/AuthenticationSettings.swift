package import Settings

/// Everything a person can set about who may open a tunnel.
package struct AuthenticationSettings: Hashable, Sendable {
    /// Whether an agent must show a client certificate, where certificates are asked for.
    package enum ClientAuth: String, CaseIterable, Hashable, Sendable {
        case optional, required
    }

    /// The clusters with static tokens, YAML or JSON; nil only where there is a `keysFile`.
    package var clustersFile: String?
    /// The public keys of signed tokens, a JSON Web Key Set; nil where signed tokens are not taken.
    package var keysFile: String?
    /// What `iss` of a signed token must be; nil for anything.
    package var issuer: String?
    /// What `aud` of a signed token must hold; nil for anything.
    package var audience: String?
    /// The authorities of client certificates, PEM; nil where none is asked for.
    package var clientAuthority: String?
    package var clientAuth: ClientAuth
    /// Whether a client certificate admits without a token.
    package var certificateAdmits: Bool
    /// Failed attempts per minute and address.
    package var failuresPerMinute: Int
    /// Handshakes per second.
    package var acceptRate: Int

    /// Throws the first problem found.
    package init(_ reader: SettingsReader<GatewaySettings.Name>) throws(SettingsError) {
        clustersFile = try reader.readableFile(.clustersFile)
        keysFile = try reader.readableFile(.jwksFile)
        guard clustersFile != nil || keysFile != nil else {
            throw reader.missing(
                .clustersFile,
                expected: "the path of a file that lists the clusters and their tokens; or set jwks-file")
        }
        issuer = try reader.string(.jwtIssuer)
        audience = try reader.string(.jwtAudience)
        clientAuthority = try reader.readableFile(.agentClientCA)
        clientAuth = try reader.choice(.agentClientAuth, default: .required)
        certificateAdmits = try reader.bool(.agentClientCertificateAdmits, default: false)
        failuresPerMinute = try reader.int(.authFailuresPerMinute, default: 10, in: 1...100_000)
        acceptRate = try reader.int(.acceptRate, default: 200, in: 1...1_000_000)
        try refuseIdle(reader)
    }

    /// A setting without effect is a mistake that somebody should hear of.
    private func refuseIdle(_ reader: SettingsReader<GatewaySettings.Name>) throws(SettingsError) {
        if keysFile == nil {
            for name in [GatewaySettings.Name.jwtIssuer, .jwtAudience] where reader.given(name) != nil {
                throw reader.refusal(of: name, problem: "has no effect without jwks-file")
            }
        }
        if clientAuthority == nil {
            for name in [GatewaySettings.Name.agentClientAuth, .agentClientCertificateAdmits]
            where reader.given(name) != nil {
                throw reader.refusal(of: name, problem: "has no effect without agent-client-ca")
            }
        }
        if certificateAdmits, clustersFile == nil {
            throw reader.refusal(
                of: .agentClientCertificateAdmits,
                problem: "needs a clusters-file: a certificate admits the clusters that are listed there")
        }
    }
}
