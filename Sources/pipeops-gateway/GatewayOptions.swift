import ArgumentParser
import EdgeGateway

struct FrontOptions: ParsableArguments {
    @Option(
        help: .init(
            "Where users' requests arrive. Default: 127.0.0.1:8080. [PIPEOPS_GATEWAY_LISTEN]", valueName: "host:port"))
    var listen: String?

    @Flag(
        inversion: .prefixedNo,
        help:
            """
            Whether clients may speak HTTP/2 there, with prior knowledge; by TLS they may in any case. \
            Default: no. [PIPEOPS_GATEWAY_H2C]
            """
    )
    var h2c: Bool?

    @Option(
        name: .customLong("listen-tls"),
        help: .init(
            "Where users' requests arrive by TLS. Default: nowhere. [PIPEOPS_GATEWAY_LISTEN_TLS]",
            valueName: "host:port"))
    var listenTLS: String?

    @Option(
        help: .init(
            """
            A directory with certificates and keys in PEM: NAME/tls.crt and NAME/tls.key, as Secrets are mounted, or \
            NAME.crt and NAME.key. Each is shown to clients that ask for one of its names; the one called default to \
            all others. Read again when it changes. Required with --listen-tls, unless --certificate-secrets. \
            [PIPEOPS_GATEWAY_CERTIFICATES]
            """,
            valueName: "directory"))
    var certificates: String?

    @Option(
        help: .init(
            """
            A namespace of the cluster that the gateway runs in: its Secrets of the type kubernetes.io/tls with the label \
            gateway.pipeops.io/certificate=true hold certificates, as well as --certificates. The one annotated \
            gateway.pipeops.io/default-certificate: "true" is the default. Default: none is read. \
            [PIPEOPS_GATEWAY_CERTIFICATE_SECRETS]
            """,
            valueName: "namespace"))
    var certificateSecrets: String?

    @Option(
        help: .init(
            """
            The ClusterIssuer of cert-manager, or Issuer/NAME in the namespace of --certificate-secrets, by which \
            certificates are issued for users' own domains: a Certificate is made for each that is served, challenges \
            by HTTP-01 are passed to their solvers, and it goes a day after its domain. Default: none is made. \
            [PIPEOPS_GATEWAY_DOMAIN_ISSUER]
            """,
            valueName: "name"))
    var domainIssuer: String?

    @Option(
        help: .init(
            "Domains of one cluster that get a certificate. Default: 100. [PIPEOPS_GATEWAY_DOMAIN_CERTIFICATES_PER_CLUSTER]",
            valueName: "count"))
    var domainCertificatesPerCluster: String?

    @Option(
        help: .init(
            """
            The kubeconfig file of that cluster. Default: KUBECONFIG, or the cluster the gateway runs in, or \
            ~/.kube/config. [PIPEOPS_GATEWAY_KUBECONFIG]
            """,
            valueName: "file"))
    var kubeconfig: String?

    @Option(
        help: .init(
            "The context of the kubeconfig. Default: its current one. [PIPEOPS_GATEWAY_CONTEXT]", valueName: "name"))
    var context: String?

    @Option(
        help: .init(
            """
            How long browsers shall come by TLS only, once they have (Strict-Transport-Security); 0s takes it back. \
            Default: nothing is said about it. [PIPEOPS_GATEWAY_HSTS]
            """,
            valueName: "duration"))
    var hsts: String?

    @Flag(
        name: .customLong("redirect-to-https"), inversion: .prefixedNo,
        help:
            """
            Whether requests that come without TLS are sent to the same URL with it (308), those for \
            /.well-known/acme-challenge/ excepted. Default: no. [PIPEOPS_GATEWAY_REDIRECT_TO_HTTPS]
            """
    )
    var redirectToHTTPS: Bool?

    @Option(
        name: .customLong("https-port"),
        help: .init(
            "The port that they are sent to. Default: 443. [PIPEOPS_GATEWAY_HTTPS_PORT]", valueName: "number"))
    var httpsPort: String?

    @Option(
        help: .init(
            """
            Address ranges of proxies whose X-Forwarded-*, Forwarded and X-Real-IP fields are believed; \
            separated by commas, or given several times. Default: none. [PIPEOPS_GATEWAY_TRUSTED_PROXIES]
            """,
            valueName: "cidr"))
    var trustedProxies: [String] = []

    @Option(
        help: .init(
            """
            Address ranges of proxies that have to say by the PROXY protocol (version 1 or 2) whom they speak for, on \
            both listeners; separated by commas, or given several times. What others send of it is refused. \
            Default: none. [PIPEOPS_GATEWAY_PROXY_PROTOCOL_FROM]
            """,
            valueName: "cidr"))
    var proxyProtocolFrom: [String] = []

    @Option(
        help: .init(
            """
            Fields to remove from requests, such as cookie; separated by commas, or given several times. \
            Default: none. [PIPEOPS_GATEWAY_STRIP_REQUEST_HEADERS]
            """,
            valueName: "name"))
    var stripRequestHeaders: [String] = []

    @Option(
        help: .init(
            """
            What becomes of requests without a sound traceparent: pass them on as they are, or begin a trace that is \
            sampled or unsampled, which overrides what the applications choose. Default: pass. \
            [PIPEOPS_GATEWAY_TRACE_CONTEXT]
            """,
            valueName: "policy"))
    var traceContext: String?

    @Option(
        help: .init(
            """
            The domain under which each cluster has names of its own. Default: gateway.pipeops.io. \
            [PIPEOPS_GATEWAY_GATEWAY_DOMAIN]
            """,
            valueName: "domain"))
    var gatewayDomain: String?
}

struct AgentOptions: ParsableArguments {
    @Option(
        help: .init(
            "Where agents dial their tunnels. Default: 127.0.0.1:8081. [PIPEOPS_GATEWAY_AGENT_LISTEN]",
            valueName: "host:port"))
    var agentListen: String?

    @Option(
        help: .init(
            """
            A YAML or JSON file with the clusters that may connect: clusters: [{uuid: …, tokenSHA256: hex}]; \
            tokenSHA256 may be a list, hostnames: […] limits what a cluster may serve, and rateLimit how many \
            requests it may have. Read again when it changes. Required, unless --jwks-file. [PIPEOPS_GATEWAY_CLUSTERS_FILE]
            """,
            valueName: "file"))
    var clustersFile: String?

    @Option(
        help: .init(
            """
            A JSON Web Key Set with the public keys (EdDSA, ES256, RS256) of signed tokens. Read again when it \
            changes. Default: signed tokens are not taken. [PIPEOPS_GATEWAY_JWKS_FILE]
            """,
            valueName: "file"))
    var jwksFile: String?

    @Option(
        help: .init(
            "What iss of a signed token must be. Default: anything. [PIPEOPS_GATEWAY_JWT_ISSUER]",
            valueName: "text"))
    var jwtIssuer: String?

    @Option(
        help: .init(
            "What aud of a signed token must hold. Default: anything. [PIPEOPS_GATEWAY_JWT_AUDIENCE]",
            valueName: "text"))
    var jwtAudience: String?

    @Option(
        help: .init(
            """
            A PEM file with the certificate chain to show to agents. Required, unless --agent-plaintext. \
            [PIPEOPS_GATEWAY_AGENT_TLS_CERTIFICATE]
            """,
            valueName: "file"))
    var agentTLSCertificate: String?

    @Option(
        help: .init(
            "A PEM file with the private key of that certificate. [PIPEOPS_GATEWAY_AGENT_TLS_KEY]", valueName: "file"))
    var agentTLSKey: String?

    @Option(
        help: .init(
            """
            A PEM file with the authorities of agents' client certificates. Default: none is asked for. \
            [PIPEOPS_GATEWAY_AGENT_CLIENT_CA]
            """,
            valueName: "file"))
    var agentClientCA: String?

    @Option(
        help: .init(
            """
            Whether agents must show a client certificate: required, or optional. Default: required. \
            [PIPEOPS_GATEWAY_AGENT_CLIENT_AUTH]
            """,
            valueName: "choice"))
    var agentClientAuth: String?

    @Flag(
        inversion: .prefixedNo,
        help:
            """
            Whether a client certificate opens a tunnel without a token, for clusters of the clusters file. \
            Default: no. [PIPEOPS_GATEWAY_AGENT_CLIENT_CERTIFICATE_ADMITS]
            """
    )
    var agentClientCertificateAdmits: Bool?

    @Option(
        help: .init(
            """
            Failed attempts to open a tunnel, per minute and address, before they are answered 429. Default: 10. \
            [PIPEOPS_GATEWAY_AUTH_FAILURES_PER_MINUTE]
            """,
            valueName: "number"))
    var authFailuresPerMinute: String?

    @Option(
        help: .init(
            """
            Tunnels to open per second; beyond it agents are told when to come again. Default: 200. \
            [PIPEOPS_GATEWAY_ACCEPT_RATE]
            """,
            valueName: "number"))
    var acceptRate: String?

    @Flag(
        inversion: .prefixedNo,
        help:
            """
            Whether agents connect without TLS; for development, or behind something that ends TLS. Default: no. \
            [PIPEOPS_GATEWAY_AGENT_PLAINTEXT]
            """
    )
    var agentPlaintext: Bool?
}

struct LimitOptions: ParsableArguments {
    @Option(
        help: .init(
            "The longest wait for the head of a response. Default: 30s. [PIPEOPS_GATEWAY_RESPONSE_TIMEOUT]",
            valueName: "duration"))
    var responseTimeout: String?

    @Option(
        help: .init(
            "How long a body may stand still in one direction. Default: 5m. [PIPEOPS_GATEWAY_IDLE_TIMEOUT]",
            valueName: "duration"))
    var idleTimeout: String?

    @Option(
        help: .init(
            "How often agents send heartbeats. Default: 10s. [PIPEOPS_GATEWAY_HEARTBEAT_INTERVAL]",
            valueName: "duration"))
    var heartbeatInterval: String?

    @Option(
        help: .init(
            """
            How often each tunnel is tried with a small stream; 0 for never. A tunnel that does not answer is closed. \
            Default: 5s. [PIPEOPS_GATEWAY_CANARY_INTERVAL]
            """,
            valueName: "duration"))
    var canaryInterval: String?

    @Option(
        help: .init(
            "How long routes live without a heartbeat of their cluster. Default: 5m. [PIPEOPS_GATEWAY_ROUTE_TTL]",
            valueName: "duration"))
    var routeTTL: String?

    @Option(
        help: .init(
            "The most memory for the data of one tunnel. Default: 64MiB. [PIPEOPS_GATEWAY_TUNNEL_MEMORY]",
            valueName: "size"))
    var tunnelMemory: String?

    @Option(
        help: .init(
            "The most requests at a time in one tunnel. Default: 1024. [PIPEOPS_GATEWAY_MAX_STREAMS]",
            valueName: "number"))
    var maxStreams: String?

    @Option(
        help: .init(
            """
            Requests per second that a cluster may have and, behind a colon, how many at once; or off. Beyond it \
            requests are answered 429. rateLimit in the clusters file says otherwise for one cluster. \
            Default: 100:1000. [PIPEOPS_GATEWAY_RATE_LIMIT]
            """,
            valueName: "rate:burst"))
    var rateLimit: String?

    @Option(
        help: .init(
            "How long open requests may take to end after SIGTERM. Default: 30s. [PIPEOPS_GATEWAY_SHUTDOWN_GRACE]",
            valueName: "duration"))
    var shutdownGrace: String?

    @Option(
        help: .init(
            """
            The longest that requests are not accepted at first, while agents connect and send their routes; needed \
            where this gateway takes over from another. Default: 0, accept at once. [PIPEOPS_GATEWAY_WARM_UP]
            """,
            valueName: "duration"))
    var warmUp: String?

    @Flag(
        inversion: .prefixedNo,
        help:
            """
            Whether another gateway process may listen on the same ports (SO_REUSEPORT), for a restart without a gap. \
            Default: no. [PIPEOPS_GATEWAY_REUSE_PORT]
            """
    )
    var reusePort: Bool?
}

struct OperationOptions: ParsableArguments {
    @Option(
        help: .init(
            """
            A settings file, .yaml, .yml or .json; its keys are the flags' names without dashes in front. \
            [PIPEOPS_GATEWAY_CONFIG]
            """,
            valueName: "file"))
    var config: String?

    @Option(
        help: .init(
            """
            Where /metrics, /healthz, /readyz, /-/routes, /-/tunnels and /-/explain are served, without \
            authentication. Default: 127.0.0.1:8082. \
            [PIPEOPS_GATEWAY_ADMIN_LISTEN]
            """,
            valueName: "host:port"))
    var adminListen: String?

    @Option(
        help: .init(
            """
            Which of several gateways this is. Default: the host's name and the process number. \
            [PIPEOPS_GATEWAY_INSTANCE_ID]
            """,
            valueName: "name"))
    var instanceID: String?

    @Flag(
        inversion: .prefixedNo,
        help:
            "Whether each request has a line in the log, at level info. Default: yes. [PIPEOPS_GATEWAY_ACCESS_LOG]"
    )
    var accessLog: Bool?

    @Option(
        help: .init(
            """
            The share of requests that have a line in the log, between 0 and 1, such as 0.1; those that failed, or were \
            answered with 5xx, always have one. Default: 1. [PIPEOPS_GATEWAY_ACCESS_LOG_SAMPLE]
            """,
            valueName: "share"))
    var accessLogSample: String?

    @Option(
        help: .init(
            "How log lines look: json, or text for people. Default: json. [PIPEOPS_GATEWAY_LOG_FORMAT]",
            valueName: "format"))
    var logFormat: String?

    @Option(
        help: .init(
            """
            The least important log lines to write: trace, debug, info, notice, warning, error or critical. \
            Default: info. [PIPEOPS_GATEWAY_LOG_LEVEL]
            """,
            valueName: "level"))
    var logLevel: String?
}

extension GatewayCommand {
    /// What was given on the command line. The switch makes sure that no setting is forgotten.
    var flags: [GatewaySettings.Name: String?] {
        Dictionary(uniqueKeysWithValues: GatewaySettings.Name.allCases.map { ($0, flag($0)) })
    }

    private func flag(_ name: GatewaySettings.Name) -> String? {
        switch name {
        case .config: operation.config
        case .listen: front.listen
        case .h2c: front.h2c.map(\.description)
        case .listenTLS: front.listenTLS
        case .certificates: front.certificates
        case .certificateSecrets: front.certificateSecrets
        case .domainIssuer: front.domainIssuer
        case .domainCertificatesPerCluster: front.domainCertificatesPerCluster
        case .kubeconfig: front.kubeconfig
        case .context: front.context
        case .hsts: front.hsts
        case .redirectToHTTPS: front.redirectToHTTPS.map(\.description)
        case .httpsPort: front.httpsPort
        case .agentListen: agents.agentListen
        case .adminListen: operation.adminListen
        case .clustersFile: agents.clustersFile
        case .jwksFile: agents.jwksFile
        case .jwtIssuer: agents.jwtIssuer
        case .jwtAudience: agents.jwtAudience
        case .agentClientCA: agents.agentClientCA
        case .agentClientAuth: agents.agentClientAuth
        case .agentClientCertificateAdmits: agents.agentClientCertificateAdmits.map(\.description)
        case .authFailuresPerMinute: agents.authFailuresPerMinute
        case .acceptRate: agents.acceptRate
        case .agentTLSCertificate: agents.agentTLSCertificate
        case .agentTLSKey: agents.agentTLSKey
        case .agentPlaintext: agents.agentPlaintext.map(\.description)
        case .gatewayDomain: front.gatewayDomain
        case .responseTimeout: limits.responseTimeout
        case .idleTimeout: limits.idleTimeout
        case .heartbeatInterval: limits.heartbeatInterval
        case .canaryInterval: limits.canaryInterval
        case .routeTTL: limits.routeTTL
        case .tunnelMemory: limits.tunnelMemory
        case .maxStreams: limits.maxStreams
        case .rateLimit: limits.rateLimit
        case .trustedProxies: Self.joined(front.trustedProxies)
        case .proxyProtocolFrom: Self.joined(front.proxyProtocolFrom)
        case .maxConnections: clients.maxConnections
        case .maxConnectionsPerAddress: clients.maxConnectionsPerAddress
        case .headerTimeout: clients.headerTimeout
        case .keepAliveTimeout: clients.keepAliveTimeout
        case .requestTimeout: clients.requestTimeout
        case .maxRequestLine: clients.maxRequestLine
        case .maxHeaderSize: clients.maxHeaderSize
        case .maxHeaderCount: clients.maxHeaderCount
        case .maxBodySize: clients.maxBodySize
        case .http2MaxStreams: clients.http2MaxStreams
        case .stripRequestHeaders: Self.joined(front.stripRequestHeaders)
        case .traceContext: front.traceContext
        case .accessLog: operation.accessLog.map(\.description)
        case .accessLogSample: operation.accessLogSample
        case .shutdownGrace: limits.shutdownGrace
        case .reusePort: limits.reusePort.map(\.description)
        case .warmUp: limits.warmUp
        case .instanceID: operation.instanceID
        case .logFormat: operation.logFormat
        case .logLevel: operation.logLevel
        }
    }

    private static func joined(_ values: [String]) -> String? {
        values.isEmpty ? nil : values.joined(separator: ",")
    }
}
