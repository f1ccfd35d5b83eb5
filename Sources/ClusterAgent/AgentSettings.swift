package import KubernetesAPI
package import Logging
package import Routing
package import Settings
package import Telemetry

/// Everything a person can set about the agent.
package struct AgentSettings: Sendable {
    /// When routes are sent to the gateway. GatewayRoute objects are written in every mode.
    package enum SyncMode: String, CaseIterable, Sendable {
        /// While the cluster is private.
        case auto
        case always
        case never
    }

    /// The settings' names.
    package enum Name: String, SettingName {
        case config
        case clusterUUID = "cluster-uuid"
        case gatewayURL = "gateway-url"
        case gatewayCAFile = "gateway-ca-file"
        case gatewayServerName = "gateway-server-name"
        case gatewayClientCertificate = "gateway-client-certificate"
        case gatewayClientKey = "gateway-client-key"
        case gatewayProxy = "gateway-proxy"
        case tunnels
        case tokenFile = "token-file"
        case kubeconfig
        case context
        case sync
        case loadBalancerGrace = "load-balancer-grace"
        case ingressController = "ingress-controller"
        case ingressControllerProtocol = "ingress-controller-protocol"
        case backendCAFile = "backend-ca-file"
        case ingressClass = "ingress-class"
        case ingressSelector = "ingress-selector"
        case namespace
        case updateIngressStatus = "update-ingress-status"
        case offlinePages = "offline-pages"
        case clusterDomain = "cluster-domain"
        case gatewayDomain = "gateway-domain"
        case allowLoopbackTargets = "allow-loopback-targets"
        case adminListen = "admin-listen"
        case connectTimeout = "connect-timeout"
        case responseTimeout = "response-timeout"
        case idleTimeout = "idle-timeout"
        case tunnelMemory = "tunnel-memory"
        case maxStreams = "max-streams"
        case reconnectMin = "reconnect-min"
        case reconnectMax = "reconnect-max"
        case shutdownGrace = "shutdown-grace"
        case leaderElect = "leader-elect"
        case leaderElectLease = "leader-elect-lease"
        case leaderElectLeaseDuration = "leader-elect-lease-duration"
        case leaderElectRenewDeadline = "leader-elect-renew-deadline"
        case leaderElectRetryPeriod = "leader-elect-retry-period"
        case logFormat = "log-format"
        case logLevel = "log-level"
    }

    /// What the names of environment variables start with.
    package static let environmentPrefix = "PIPEOPS_AGENT"

    /// Nil: the UID of the namespace `kube-system`.
    package var clusterUUID: String?
    /// Where tunnels are dialled: `wss`, or `ws` for plain text.
    package var gatewayURL: EndpointURL
    /// PEM file of the certificate authorities that the gateway's certificate may come from. Nil: those of the system.
    package var gatewayCAFile: String?
    /// The name that the gateway's certificate must have. Nil: the host of the URL.
    package var gatewayServerName: String?
    /// How the agent proves itself to a gateway that asks for a certificate. Nil: by its token alone.
    package var gatewayClientCertificate: GatewayTLS.ClientCertificate?
    /// The HTTP proxy through which the gateway is reached. Nil: directly.
    package var gatewayProxy: ProxyURL?
    /// How many tunnels the agent keeps.
    package var tunnels: Int
    /// The bearer token for the gateway.
    package var tokenFile: SecretFile
    /// Nil: `KUBECONFIG`, the cluster the agent runs in, or `~/.kube/config`.
    package var kubeconfig: String?
    /// Nil: the kubeconfig's current context.
    package var context: String?
    package var sync: SyncMode
    /// How long a `LoadBalancer` Service may wait for its address before the cluster counts as private.
    package var loadBalancerGrace: Duration
    /// The ingress controller's Service. Nil: looked for.
    package var ingressController: ObjectKey?
    /// How requests whose backends speak HTTP/2 reach the ingress controller.
    package var ingressControllerProtocol: IngressControllerProtocol
    /// PEM file of the certificate authorities that backends' certificates may come from, beside those of the system.
    package var backendCAFile: String?
    /// The classes of the Ingresses to serve. Empty: every class, and Ingresses without one.
    package var ingressClasses: [String]
    /// The labels of the Ingresses to serve. Nil: all.
    package var ingressSelector: LabelSelector?
    /// The namespaces of the Ingresses to serve. Empty: all.
    package var namespaces: [String]
    /// Whether the cluster's name at the gateway is written into `status.loadBalancer` of the Ingresses served.
    package var updateIngressStatus: Bool
    /// Whether the agent reads labelled ConfigMaps for pages to be shown while the cluster is away.
    package var offlinePages: Bool
    /// The DNS domain of the cluster's Services.
    package var clusterDomain: Hostname
    /// The DNS domain under which the gateway gives each cluster names of its own.
    package var gatewayDomain: Hostname
    /// Whether requests may be forwarded to loopback addresses; for development.
    package var allowLoopbackTargets: Bool
    /// Metrics, health and readiness.
    package var adminListen: HostAndPort
    /// For connections to the gateway and to Services.
    package var connectTimeout: Duration
    /// From the end of a request to the head of its response.
    package var responseTimeout: Duration
    /// For a body on which nothing moves, per direction.
    package var idleTimeout: Duration
    /// The most that one tunnel may hold in memory, in bytes.
    package var tunnelMemory: Int
    /// The most streams a tunnel may have open.
    package var maxStreams: Int
    /// The longest first wait after a lost tunnel.
    package var reconnectMin: Duration
    /// The longest wait between attempts to dial.
    package var reconnectMax: Duration
    /// How long open streams may take to end after SIGTERM.
    package var shutdownGrace: Duration
    /// Nil: this process acts without asking whether another one does.
    package var leaderElection: LeaderElection?
    package var logFormat: LogFormat
    package var logLevel: Logger.Level

    /// Throws the first problem found.
    ///
    /// - Parameters:
    ///   - podNamespace: the namespace the agent runs in, where the Lease is kept if no setting says otherwise.
    ///   - environment: where a proxy is looked for if no setting names one.
    package init(
        _ reader: SettingsReader<Name>, podNamespace: String? = nil, environment: [String: String] = [:]
    ) throws(SettingsError) {
        logFormat = try reader.choice(.logFormat, default: .json)
        logLevel = try reader.choice(.logLevel, default: .info)
        clusterUUID = try reader.value(
            .clusterUUID, expected: "an identifier of at most 63 letters, digits and hyphens, as in a DNS label"
        ) { text in
            (try? Hostname(text)).flatMap { $0.text.contains(".") || $0.text.contains("_") ? nil : $0.text }
        }
        let url = try reader.value(.gatewayURL, expected: "wss://host:port, or ws://host:port for plain text") {
            EndpointURL($0, schemes: ["wss", "ws"]).flatMap { $0.path.isEmpty ? $0 : nil }
        }
        guard let url else {
            throw reader.missing(.gatewayURL, expected: "the gateway's address for agents, wss://host:port")
        }
        gatewayURL = url
        gatewayCAFile = try reader.readableFile(.gatewayCAFile)
        gatewayServerName = try reader.value(
            .gatewayServerName, expected: "the DNS name in the gateway's certificate, such as gateway.example.com"
        ) { text in
            (try? Hostname(text)).flatMap { $0.isWildcard ? nil : $0.text }
        }
        gatewayClientCertificate = try Self.clientCertificate(reader)
        gatewayProxy = try Self.proxy(reader, to: url, environment: environment)
        tunnels = try reader.int(.tunnels, default: 2, in: 1...16)
        guard let token = try reader.secretFile(.tokenFile) else {
            throw reader.missing(.tokenFile, expected: "the path of a file that holds the cluster's token")
        }
        tokenFile = token
        kubeconfig = try reader.readableFile(.kubeconfig)
        context = try reader.string(.context)
        sync = try reader.choice(.sync, default: .auto)
        loadBalancerGrace = try reader.duration(
            .loadBalancerGrace, default: .seconds(120), in: .zero ... .seconds(86_400))
        ingressController = try reader.objectKey(
            .ingressController, of: "a Service", example: "ingress-nginx/ingress-nginx-controller")
        ingressControllerProtocol = try reader.choice(.ingressControllerProtocol, default: .auto)
        backendCAFile = try reader.readableFile(.backendCAFile)
        ingressClasses = try reader.list(.ingressClass, expected: "the name of an IngressClass, such as nginx") {
            ObjectNames.isSubdomain($0) ? $0 : nil
        }
        ingressSelector = try reader.labelSelector(.ingressSelector)
        namespaces = try reader.list(.namespace, expected: "the name of a namespace, such as default") {
            ObjectNames.isLabel($0) ? $0 : nil
        }
        updateIngressStatus = try reader.bool(.updateIngressStatus, default: false)
        offlinePages = try reader.bool(.offlinePages, default: false)
        clusterDomain = try reader.domain(.clusterDomain, default: "cluster.local")
        gatewayDomain = try reader.domain(.gatewayDomain, default: "gateway.pipeops.io")
        allowLoopbackTargets = try reader.bool(.allowLoopbackTargets, default: false)
        adminListen = try reader.address(.adminListen, default: HostAndPort(host: "127.0.0.1", port: 8083))
        connectTimeout = try reader.duration(
            .connectTimeout, default: .seconds(5), in: .milliseconds(10) ... .seconds(300))
        responseTimeout = try reader.duration(
            .responseTimeout, default: .seconds(600), in: .milliseconds(10) ... .seconds(86_400))
        idleTimeout = try reader.duration(
            .idleTimeout, default: .seconds(3600), in: .milliseconds(10) ... .seconds(86_400))
        tunnelMemory = try reader.bytes(.tunnelMemory, default: 64 << 20, in: 1 << 20...16 << 30)
        maxStreams = try reader.int(.maxStreams, default: 1024, in: 1...1_000_000)
        reconnectMin = try reader.duration(
            .reconnectMin, default: .milliseconds(500), in: .milliseconds(10) ... .seconds(3600))
        reconnectMax = try reader.duration(
            .reconnectMax, default: .seconds(30), in: .milliseconds(10) ... .seconds(3600))
        shutdownGrace = try reader.duration(.shutdownGrace, default: .seconds(30), in: .zero ... .seconds(3600))
        leaderElection = try LeaderElection(reader, podNamespace: podNamespace)
        guard !updateIngressStatus || !ingressClasses.isEmpty else {
            throw reader.refusal(
                of: .updateIngressStatus,
                problem: "needs ingress-class: without it the agent serves Ingresses of every class, and the status of "
                    + "those belongs to the controllers of their classes")
        }
        guard reconnectMin <= reconnectMax else {
            throw reader.refusal(
                of: .reconnectMax,
                problem: "must not be shorter than reconnect-min, which is \(DurationText.format(reconnectMin))")
        }
    }
}
