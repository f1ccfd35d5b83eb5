package import HTTPExchange
package import Logging
package import Routing
package import Settings
package import Telemetry

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Everything a person can set about the gateway.
package struct GatewaySettings: Sendable {
    /// How agents reach the gateway.
    package enum AgentSecurity: Hashable, Sendable {
        /// TLS, with the PEM files of the certificate chain and its key.
        case tls(certificate: String, key: String)
        /// Without encryption; for development, or behind something that ends TLS.
        case plaintext
    }

    /// The settings' names.
    package enum Name: String, SettingName {
        case config
        case listen
        case h2c
        case listenTLS = "listen-tls"
        case certificates
        case certificateSecrets = "certificate-secrets"
        case domainIssuer = "domain-issuer"
        case domainCertificatesPerCluster = "domain-certificates-per-cluster"
        case kubeconfig
        case context
        case hsts
        case redirectToHTTPS = "redirect-to-https"
        case httpsPort = "https-port"
        case agentListen = "agent-listen"
        case adminListen = "admin-listen"
        case clustersFile = "clusters-file"
        case jwksFile = "jwks-file"
        case jwtIssuer = "jwt-issuer"
        case jwtAudience = "jwt-audience"
        case agentClientCA = "agent-client-ca"
        case agentClientAuth = "agent-client-auth"
        case agentClientCertificateAdmits = "agent-client-certificate-admits"
        case authFailuresPerMinute = "auth-failures-per-minute"
        case acceptRate = "accept-rate"
        case agentTLSCertificate = "agent-tls-certificate"
        case agentTLSKey = "agent-tls-key"
        case agentPlaintext = "agent-plaintext"
        case gatewayDomain = "gateway-domain"
        case responseTimeout = "response-timeout"
        case idleTimeout = "idle-timeout"
        case heartbeatInterval = "heartbeat-interval"
        case canaryInterval = "canary-interval"
        case routeTTL = "route-ttl"
        case tunnelMemory = "tunnel-memory"
        case maxStreams = "max-streams"
        case rateLimit = "rate-limit"
        case trustedProxies = "trusted-proxies"
        case proxyProtocolFrom = "proxy-protocol-from"
        case maxConnections = "max-connections"
        case maxConnectionsPerAddress = "max-connections-per-address"
        case headerTimeout = "header-timeout"
        case keepAliveTimeout = "keep-alive-timeout"
        case requestTimeout = "request-timeout"
        case maxRequestLine = "max-request-line"
        case maxHeaderSize = "max-header-size"
        case maxHeaderCount = "max-header-count"
        case maxBodySize = "max-body-size"
        case http2MaxStreams = "http2-max-streams"
        case stripRequestHeaders = "strip-request-headers"
        case traceContext = "trace-context"
        case accessLog = "access-log"
        case accessLogSample = "access-log-sample"
        case shutdownGrace = "shutdown-grace"
        case reusePort = "reuse-port"
        case warmUp = "warm-up"
        case instanceID = "instance-id"
        case logFormat = "log-format"
        case logLevel = "log-level"
    }

    /// What the names of environment variables start with.
    package static let environmentPrefix = "PIPEOPS_GATEWAY"

    /// The front door for users' requests.
    package var listen: HostAndPort
    /// Whether clients may speak HTTP/2 there without TLS.
    package var h2c: Bool
    /// TLS at the front door; nil for none.
    package var frontTLS: FrontTLSSettings?
    /// The cluster that the gateway asks for what it serves; nil: none.
    package var cluster: ClusterAccess?
    /// The port that clients are sent to who come without TLS; nil: they are not sent anywhere.
    package var redirectPort: Int?
    /// Where agents dial their tunnels.
    package var agentListen: HostAndPort
    /// Metrics, health and readiness.
    package var adminListen: HostAndPort
    /// Who may open a tunnel.
    package var authentication: AuthenticationSettings
    package var agentSecurity: AgentSecurity
    /// The DNS domain under which each cluster has names of its own.
    package var gatewayDomain: Hostname
    /// From the end of a request to the head of its response.
    package var responseTimeout: Duration
    /// For a body on which nothing moves, per direction.
    package var idleTimeout: Duration
    /// How often agents are asked to send heartbeats.
    package var heartbeatInterval: Duration
    /// How often each tunnel's data path is tried; `nil` for never.
    package var canaryInterval: Duration?
    /// How long routes live without a heartbeat.
    package var routeTTL: Duration
    /// The most that one tunnel may hold in memory, in bytes.
    package var tunnelMemory: Int
    /// The most streams a tunnel may have open.
    package var maxStreams: Int
    /// The requests that a cluster may have which has no limit of its own in the clusters file.
    package var rateLimit: RateLimit
    /// Peers whose `X-Forwarded-*`, `Forwarded` and `X-Real-IP` fields are believed.
    package var trustedProxies: [CIDRBlock]
    /// Peers that have to say by the PROXY protocol whom they speak for.
    package var proxyProtocolFrom: [CIDRBlock]
    /// What bounds users' clients.
    package var frontLimits: FrontLimits
    /// Names of fields, in lower case, that are removed from requests.
    package var stripRequestHeaders: [String]
    /// What becomes of requests that belong to no trace.
    package var traceContext: TracePolicy
    /// Whether each request has a line in the log.
    package var accessLog: Bool
    /// Of a thousand requests without failure so many have one.
    package var accessLogShare: Int
    /// How long open exchanges may take to end after SIGTERM.
    package var shutdownGrace: Duration
    /// Whether another gateway process may listen on the same ports, so that one can take over from the other.
    package var reusePort: Bool
    /// The longest that the front door stays shut at first while agents send their routes; zero opens it at once.
    package var warmUp: Duration
    /// Which of several gateways this is.
    package var instanceID: String
    package var logFormat: LogFormat
    package var logLevel: Logger.Level

    /// Throws the first problem found.
    package init(_ reader: SettingsReader<Name>) throws(SettingsError) {
        logFormat = try reader.choice(.logFormat, default: .json)
        logLevel = try reader.choice(.logLevel, default: .info)
        listen = try reader.address(.listen, default: HostAndPort(host: "127.0.0.1", port: 8080))
        h2c = try reader.bool(.h2c, default: false)
        frontTLS = try FrontTLSSettings.read(reader)
        cluster = try ClusterAccess.read(reader, isUsed: frontTLS?.secretsNamespace != nil)
        trustedProxies = try reader.cidrs(.trustedProxies)
        proxyProtocolFrom = try reader.cidrs(.proxyProtocolFrom)
        frontLimits = try FrontLimits(reader)
        redirectPort = try FrontTLSSettings.redirectPort(reader, tls: frontTLS, trustedProxies: trustedProxies)
        agentListen = try reader.address(.agentListen, default: HostAndPort(host: "127.0.0.1", port: 8081))
        adminListen = try reader.address(.adminListen, default: HostAndPort(host: "127.0.0.1", port: 8082))
        authentication = try AuthenticationSettings(reader)
        agentSecurity = try Self.agentSecurity(reader)
        if agentSecurity == .plaintext, authentication.clientAuthority != nil {
            throw reader.refusal(of: .agentClientCA, problem: "cannot be combined with agent-plaintext")
        }
        gatewayDomain = try reader.domain(.gatewayDomain, default: "gateway.pipeops.io")
        responseTimeout = try reader.duration(
            .responseTimeout, default: .seconds(30), in: .milliseconds(10) ... .seconds(86_400))
        idleTimeout = try reader.duration(
            .idleTimeout, default: .seconds(300), in: .milliseconds(10) ... .seconds(86_400))
        heartbeatInterval = try reader.duration(
            .heartbeatInterval, default: .seconds(10), in: .milliseconds(100) ... .seconds(3600))
        let canaries = try reader.duration(.canaryInterval, default: .seconds(5), in: .zero ... .seconds(3600))
        guard canaries == .zero || canaries >= .milliseconds(100) else {
            throw reader.refusal(of: .canaryInterval, problem: "must be 0, for no canaries, or at least 100ms")
        }
        canaryInterval = canaries == .zero ? nil : canaries
        routeTTL = try reader.duration(.routeTTL, default: .seconds(300), in: .seconds(1) ... .seconds(86_400))
        tunnelMemory = try reader.bytes(.tunnelMemory, default: 64 << 20, in: 1 << 20...16 << 30)
        maxStreams = try reader.int(.maxStreams, default: 1024, in: 1...1_000_000)
        rateLimit =
            try reader.value(.rateLimit, expected: RateLimit.expected) { RateLimit($0) } ?? .standard
        stripRequestHeaders = try reader.list(
            .stripRequestHeaders, expected: "a field name, and none of host, content-length and transfer-encoding",
            parse: Self.strippableField)
        traceContext = try reader.choice(.traceContext, default: .pass)
        accessLog = try reader.bool(.accessLog, default: true)
        accessLogShare =
            try reader.value(.accessLogSample, expected: "a share between 0 and 1 with at most three decimals") {
                Self.thousandths($0)
            } ?? 1000
        shutdownGrace = try reader.duration(.shutdownGrace, default: .seconds(30), in: .zero ... .seconds(3600))
        reusePort = try reader.bool(.reusePort, default: false)
        warmUp = try reader.duration(.warmUp, default: .zero, in: .zero ... .seconds(600))
        instanceID =
            try reader.value(
                .instanceID, expected: "at most 128 letters, digits, dots, hyphens and underscores"
            ) { $0.utf8.count <= 128 && !$0.isEmpty && $0.utf8.allSatisfy(Self.isIdentifierByte) ? $0 : nil }
            ?? Self.defaultInstanceID()
        guard heartbeatInterval < routeTTL else {
            throw reader.refusal(
                of: .routeTTL,
                problem: "must be longer than heartbeat-interval, which is \(DurationText.format(heartbeatInterval))")
        }
    }

    /// What the agents' listener is made from; nil for plain text.
    package var agentTLSFiles: AgentTLS.Files? {
        guard case .tls(let certificate, let key) = agentSecurity else { return nil }
        return .init(
            certificate: certificate, key: key, clientAuthority: authentication.clientAuthority,
            requiresClientCertificate: authentication.clientAuth == .required)
    }

    private static func agentSecurity(_ reader: SettingsReader<Name>) throws(SettingsError) -> AgentSecurity {
        let certificate = try reader.readableFile(.agentTLSCertificate)
        let key = try reader.readableFile(.agentTLSKey)
        let plaintext = try reader.bool(.agentPlaintext, default: false)
        switch (certificate, key, plaintext) {
        case (let certificate?, let key?, false):
            return .tls(certificate: certificate, key: key)
        case (nil, nil, true):
            return .plaintext
        case (_, _, true):
            throw reader.refusal(
                of: .agentPlaintext,
                problem: "cannot be combined with agent-tls-certificate and agent-tls-key; choose one")
        case (.some, nil, false):
            throw reader.missing(.agentTLSKey, expected: "the path of the certificate's private key")
        case (nil, _, false):
            throw reader.missing(
                .agentTLSCertificate,
                expected: "the path of a PEM file, together with agent-tls-key; or set agent-plaintext")
        }
    }

    /// Reads `0.1` as 100.
    private static func thousandths(_ text: String) -> Int? {
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }), let share = Double(text),
            (0...1).contains(share), (share * 1000).rounded() / 1000 == share
        else { return nil }
        return Int((share * 1000).rounded())
    }

    /// A field name (RFC 9110 §5.1) in lower case, unless a request could not be understood without the field.
    private static func strippableField(_ text: String) -> String? {
        let name = text.lowercased()
        let isToken = name.utf8.allSatisfy { isIdentifierByte($0) || "!#$%&'*+^`|~".utf8.contains($0) }
        guard isToken, !name.isEmpty, !["host", "content-length", "transfer-encoding"].contains(name) else {
            return nil
        }
        return name
    }

    private static func isIdentifierByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// Host name and process: different for each running gateway.
    private static func defaultInstanceID() -> String {
        let bytes = (LocalHost.name ?? "").utf8.filter(isIdentifierByte)
        let name = bytes.isEmpty ? "gateway" : String(decoding: bytes, as: UTF8.self)
        return "\(name)-\(getpid())"
    }
}
