import KubernetesAPI
package import Settings

/// Everything a person can set about TLS at the front door.
package struct FrontTLSSettings: Hashable, Sendable {
    package var listen: HostAndPort
    /// A directory with certificates and keys; nil: there is none.
    package var certificates: String?
    /// The namespace whose labelled Secrets hold certificates; nil: none does.
    package var secretsNamespace: String?
    /// Whom certificates for users' own domains are asked of; nil: nobody.
    package var domainIssuer: IssuerReference?
    /// Domains of one cluster that get a certificate.
    package var domainCertificatesPerCluster = 100
    /// How long browsers shall come by TLS only; nil: nothing is said about it.
    package var transportSecurity: Duration?

    /// Throws the first problem found.
    ///
    /// - Returns: nil where TLS is not wanted.
    static func read(_ reader: SettingsReader<GatewaySettings.Name>) throws(SettingsError) -> FrontTLSSettings? {
        guard let listen = try reader.address(.listenTLS) else {
            for name in [
                GatewaySettings.Name.certificates, .certificateSecrets, .domainIssuer, .domainCertificatesPerCluster,
                .hsts,
            ] where reader.given(name) != nil {
                throw reader.refusal(of: name, problem: "has no effect without listen-tls")
            }
            return nil
        }
        let certificates = try reader.readableDirectory(.certificates)
        let secrets = try reader.value(
            .certificateSecrets, expected: "the name of a namespace, such as pipeops-system"
        ) { ObjectNames.isLabel($0) ? $0 : nil }
        guard certificates != nil || secrets != nil else {
            throw reader.missing(
                .certificates,
                expected: "the path of a directory with certificates and their keys; or set certificate-secrets")
        }
        let issuer = try reader.value(
            .domainIssuer,
            expected: "the name of a ClusterIssuer, or Issuer/NAME of one in the namespace of the Secrets"
        ) { IssuerReference($0) }
        if issuer != nil, secrets == nil {
            throw reader.refusal(of: .domainIssuer, problem: "needs certificate-secrets, where certificates are put")
        }
        if issuer == nil, reader.given(.domainCertificatesPerCluster) != nil {
            throw reader.refusal(of: .domainCertificatesPerCluster, problem: "has no effect without domain-issuer")
        }
        return FrontTLSSettings(
            listen: listen, certificates: certificates, secretsNamespace: secrets, domainIssuer: issuer,
            domainCertificatesPerCluster: try reader.int(
                .domainCertificatesPerCluster, default: 100, in: 1...100_000),
            transportSecurity: try reader.duration(.hsts, in: .zero ... .seconds(10 * 365 * 86_400)))
    }

    /// The port that clients are sent to who come without TLS; nil: they are not sent anywhere.
    static func redirectPort(
        _ reader: SettingsReader<GatewaySettings.Name>, tls: FrontTLSSettings?, trustedProxies: [CIDRBlock]
    ) throws(SettingsError) -> Int? {
        guard try reader.bool(.redirectToHTTPS, default: false) else {
            if reader.given(.httpsPort) != nil {
                throw reader.refusal(of: .httpsPort, problem: "has no effect without redirect-to-https")
            }
            return nil
        }
        guard tls != nil || !trustedProxies.isEmpty else {
            throw reader.refusal(
                of: .redirectToHTTPS,
                problem: "needs listen-tls, or trusted-proxies that end TLS in front of the gateway")
        }
        return try reader.int(.httpsPort, default: 443, in: 1...65_535)
    }
}
