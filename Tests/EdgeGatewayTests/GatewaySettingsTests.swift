import EdgeGateway
import HTTPExchange
import Logging
import NIOCore
import Routing
import Settings
import Telemetry
import Testing

// Any file that can be read does where only its path counts.
private let someFile = #filePath

private func settings(
    _ flags: [GatewaySettings.Name: String?] = [:], environment: [String: String] = [:]
) throws -> GatewaySettings {
    let required: [GatewaySettings.Name: String?] = [.clustersFile: someFile, .agentPlaintext: "true"]
    return try GatewaySettings(
        SettingsReader(
            flags: required.merging(flags) { $1 }, environment: environment,
            prefix: GatewaySettings.environmentPrefix))
}

@Suite("Gateway settings")
struct GatewaySettingsTests {
    @Test("Only the clusters file and a decision about TLS are required; the rest has defaults")
    func defaults() throws {
        let settings = try settings()
        #expect(settings.listen.description == "127.0.0.1:8080")
        #expect(settings.agentListen.description == "127.0.0.1:8081")
        #expect(settings.adminListen.description == "127.0.0.1:8082")
        #expect(settings.agentSecurity == .plaintext)
        #expect(settings.gatewayDomain.text == "gateway.pipeops.io")
        #expect(settings.responseTimeout == .seconds(30))
        #expect(settings.idleTimeout == .seconds(300))
        #expect(settings.heartbeatInterval == .seconds(10))
        #expect(settings.canaryInterval == .seconds(5))
        #expect(settings.routeTTL == .seconds(300))
        #expect(settings.tunnelMemory == 64 * 1024 * 1024)
        #expect(settings.maxStreams == 1024)
        #expect(settings.rateLimit == .requests(rate: 100, burst: 1000))
        #expect(settings.trustedProxies.isEmpty)
        #expect(settings.proxyProtocolFrom.isEmpty)
        #expect(settings.frontLimits == FrontLimits())
        #expect(settings.stripRequestHeaders.isEmpty)
        #expect(settings.shutdownGrace == .seconds(30))
        #expect(settings.reusePort == false)
        #expect(settings.traceContext == .pass)
        #expect(settings.accessLog)
        #expect(settings.accessLogShare == 1000)
        #expect(settings.warmUp == .zero)
        #expect(!settings.instanceID.isEmpty)
        #expect(settings.logFormat == .json)
        #expect(settings.authentication.acceptRate == 200)
        #expect(settings.authentication.failuresPerMinute == 10)
        #expect(settings.agentTLSFiles == nil)
        #expect(settings.frontTLS == nil)
        #expect(settings.redirectPort == nil)
    }

    @Test("What users' clients may do can be set")
    func frontLimits() throws {
        let limits = try settings([
            .maxConnections: "5000", .maxConnectionsPerAddress: "100", .headerTimeout: "5s", .keepAliveTimeout: "20s",
            .requestTimeout: "10m", .maxRequestLine: "8KiB", .maxHeaderSize: "16KiB", .maxHeaderCount: "100",
            .maxBodySize: "8m",
        ]).frontLimits
        #expect(limits.connections == 5000)
        #expect(limits.connectionsPerAddress == 100)
        #expect(limits.header == .seconds(5))
        #expect(limits.keepAlive == .seconds(20))
        #expect(limits.request == .minutes(10))
        #expect(limits.http1.startLine == 8 << 10)
        #expect(limits.http1.head == 16 << 10)
        #expect(limits.http1.fieldCount == 100)
        #expect(limits.bodySize == 8 << 20)
        // A smaller head has a smaller line, unless one is asked for that does not fit.
        #expect(try settings([.maxHeaderSize: "16KiB"]).frontLimits.http1.startLine == 16 << 10)
        #expect(throws: SettingsError.self) { try settings([.maxHeaderSize: "16KiB", .maxRequestLine: "17KiB"]) }
        // There would be no room for it in the tunnel.
        #expect(throws: SettingsError.self) { try settings([.maxHeaderSize: "97KiB"]) }
        #expect(throws: SettingsError.self) { try settings([.maxBodySize: "8MB"]) }
        #expect(throws: SettingsError.self) { try settings([.headerTimeout: "0s"]) }
    }

    @Test("TLS at the front door needs its certificates, and no setting of it is without effect")
    func frontTLS() throws {
        let listening: [GatewaySettings.Name: String?] = [.listenTLS: "0.0.0.0:8443", .certificates: "/tmp"]
        let tls = try #require(try settings(listening).frontTLS)
        #expect(tls.listen.description == "0.0.0.0:8443")
        #expect(tls.certificates == "/tmp")
        #expect(tls.transportSecurity == nil)
        #expect(try settings(listening).cluster == nil)
        let secrets = try settings([.listenTLS: "0.0.0.0:8443", .certificateSecrets: "edge", .context: "control"])
        #expect(secrets.frontTLS?.certificates == nil)
        #expect(secrets.frontTLS?.secretsNamespace == "edge")
        #expect(secrets.cluster?.kubeconfig == nil)
        #expect(secrets.cluster?.context == "control")
        let both = try settings(listening.merging([.certificateSecrets: "edge", .kubeconfig: someFile]) { $1 })
        #expect(both.frontTLS?.certificates == "/tmp")
        #expect(both.cluster?.kubeconfig == someFile)
        let more = try settings(listening.merging([.hsts: "8760h", .redirectToHTTPS: "true"]) { $1 })
        #expect(more.frontTLS?.transportSecurity == .seconds(31_536_000))
        #expect(more.redirectPort == 443)
        let proxied = try settings([.redirectToHTTPS: "true", .httpsPort: "8443", .trustedProxies: "10.0.0.0/8"])
        #expect(proxied.redirectPort == 8443)
        for (flags, named) in [
            ([.listenTLS: "0.0.0.0:8443"], "certificates"), ([.certificates: "/tmp"], "certificates"),
            ([.certificateSecrets: "edge"], "certificate-secrets"),
            (listening.merging([.kubeconfig: someFile]) { $1 }, "kubeconfig"),
            (listening.merging([.context: "control"]) { $1 }, "context"),
            ([.hsts: "1h"], "hsts"), ([.httpsPort: "443"], "https-port"),
            ([.redirectToHTTPS: "true"], "redirect-to-https"),
        ] as [([GatewaySettings.Name: String?], String)] {
            let error = #expect(throws: SettingsError.self) { try settings(flags) }
            #expect(error?.setting == "--\(named)")
        }
        for (name, value) in [
            (.certificates, someFile), (.certificates, "/no/directory"), (.hsts, "1d"), (.certificateSecrets, "a/b"),
        ] as [(GatewaySettings.Name, String)] {
            let error = #expect(throws: SettingsError.self) { try settings(listening.merging([name: value]) { $1 }) }
            #expect(error?.description.hasPrefix("--\(name.rawValue): \"\(value)\" ") == true, "\(error as Any)")
        }
    }

    @Test("Signed tokens need no clusters file, client certificates need TLS, and no setting is without effect")
    func authentication() throws {
        let signed = try settings([.clustersFile: nil, .jwksFile: someFile, .jwtIssuer: "https://cp"])
        #expect(signed.authentication.clustersFile == nil)
        #expect(signed.authentication.issuer == "https://cp")
        let tls: [GatewaySettings.Name: String?] = [
            .agentPlaintext: nil, .agentTLSCertificate: someFile, .agentTLSKey: someFile, .agentClientCA: someFile,
        ]
        #expect(try settings(tls).agentTLSFiles?.requiresClientCertificate == true)
        let optional = try settings(tls.merging([.agentClientAuth: "optional"]) { $1 })
        #expect(optional.agentTLSFiles?.requiresClientCertificate == false)
        for (flags, named) in [
            ([.agentClientCA: someFile], "agent-client-ca"), ([.jwtIssuer: "x"], "jwt-issuer"),
            ([.jwtAudience: "x"], "jwt-audience"), ([.agentClientAuth: "optional"], "agent-client-auth"),
            ([.agentClientCertificateAdmits: "true"], "agent-client-certificate-admits"),
            (
                tls.merging([.clustersFile: nil, .jwksFile: someFile, .agentClientCertificateAdmits: "true"]) { $1 },
                "agent-client-certificate-admits"
            ),
        ] as [([GatewaySettings.Name: String?], String)] {
            let error = #expect(throws: SettingsError.self) { try settings(flags) }
            #expect(error?.setting == "--\(named)")
        }
    }

    @Test("Agents come by TLS with both files, or in plain text where that is said, never by accident")
    func agentSecurity() throws {
        let both: [GatewaySettings.Name: String?] = [
            .agentPlaintext: nil, .agentTLSCertificate: someFile, .agentTLSKey: someFile,
        ]
        #expect(try settings(both).agentSecurity == .tls(certificate: someFile, key: someFile))
        for (flags, named) in [
            ([.agentPlaintext: nil], "agent-tls-certificate"), ([.agentPlaintext: "false"], "agent-tls-certificate"),
            ([.agentPlaintext: nil, .agentTLSCertificate: someFile], "agent-tls-key"),
            ([.agentPlaintext: nil, .agentTLSKey: someFile], "agent-tls-certificate"),
            ([.agentTLSCertificate: someFile, .agentTLSKey: someFile], "agent-plaintext"),
        ] as [([GatewaySettings.Name: String?], String)] {
            let error = #expect(throws: SettingsError.self) { try settings(flags) }
            #expect(error?.setting == "--\(named)")
        }
    }

    @Test("No canaries are sent where their interval is 0")
    func noCanaries() throws {
        #expect(try settings([.canaryInterval: "0s"]).canaryInterval == nil)
        #expect(try settings([.canaryInterval: "100ms"]).canaryInterval == .milliseconds(100))
    }

    @Test("Lists are read element by element")
    func lists() throws {
        let settings = try settings([
            .trustedProxies: "10.0.0.0/8,fd00::/8", .stripRequestHeaders: "Cookie, X-Auth-Token",
        ])
        #expect(settings.trustedProxies.map(\.description) == ["10.0.0.0/8", "fd00::/8"])
        #expect(settings.stripRequestHeaders == ["cookie", "x-auth-token"])
    }

    @Test(
        "A bad value gives one line that names the setting",
        arguments: [
            (.listen, "8080"), (.listenTLS, "8443"), (.redirectToHTTPS, "perhaps"), (.agentListen, "x:y"),
            (.adminListen, ""), (.clustersFile, "/no/file"),
            (.jwksFile, "/no/file"), (.agentClientCA, "/no/file"), (.acceptRate, "0"),
            (.authFailuresPerMinute, "0"), (.agentClientAuth, "no"), (.agentClientCertificateAdmits, "perhaps"),
            (.agentTLSCertificate, "/no/file"), (.agentTLSKey, "/no/file"), (.agentPlaintext, "perhaps"),
            (.gatewayDomain, "*.x"), (.responseTimeout, "30"), (.idleTimeout, "0s"), (.heartbeatInterval, "1ms"),
            (.heartbeatInterval, "2h"), (.routeTTL, "5s"), (.tunnelMemory, "64MB"), (.maxStreams, "-1"),
            (.rateLimit, "fast"), (.rateLimit, "0"),
            (.trustedProxies, "10.0.0.1/8"), (.stripRequestHeaders, "host"), (.stripRequestHeaders, "a b"),
            (.canaryInterval, "50ms"), (.canaryInterval, "5"), (.warmUp, "1h"), (.reusePort, "perhaps"),
            (.traceContext, "on"),
            (.accessLog, "maybe"), (.accessLogSample, "1.1"), (.accessLogSample, "0.0001"), (.accessLogSample, "-0"),
            (.accessLogSample, "1e-1"),
            (.shutdownGrace, "x"), (.instanceID, "a b"), (.logFormat, "xml"), (.logLevel, "loud"),
        ] as [(GatewaySettings.Name, String)])
    func badValues(name: GatewaySettings.Name, value: String) {
        let error = #expect(throws: SettingsError.self) { try settings([name: value]) }
        #expect(error?.description.hasPrefix("--\(name.rawValue): \"\(value)\" ") == true, "\(error as Any)")
        #expect(error?.description.contains(where: \.isNewline) == false)
    }

    @Test("A clusters file must be given")
    func missing() {
        let error = #expect(throws: SettingsError.self) { try settings([.clustersFile: nil]) }
        #expect(error?.setting == "--clusters-file")
    }
}
