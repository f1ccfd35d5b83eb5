import ArgumentParser
import ClusterAgent

struct GatewayOptions: ParsableArguments {
    @Option(
        help: .init(
            """
            The gateway's address for agents: wss://host:port, or ws://host:port for plain text. Required. \
            [PIPEOPS_AGENT_GATEWAY_URL]
            """,
            valueName: "url"))
    var gatewayURL: String?

    @Option(
        help: .init(
            """
            A file with the token that the gateway knows this cluster by; read again at each connection. \
            Required. [PIPEOPS_AGENT_TOKEN_FILE]
            """,
            valueName: "file"))
    var tokenFile: String?

    @Option(
        help: .init(
            """
            A PEM file with the certificate authorities to trust for the gateway. Default: those of the system. \
            [PIPEOPS_AGENT_GATEWAY_CA_FILE]
            """,
            valueName: "file"))
    var gatewayCAFile: String?

    @Option(
        help: .init(
            """
            The name that the gateway's certificate must have. Default: the host of the gateway's address. \
            [PIPEOPS_AGENT_GATEWAY_SERVER_NAME]
            """,
            valueName: "name"))
    var gatewayServerName: String?

    @Option(
        help: .init(
            """
            A PEM file with the agent's certificate, for a gateway that asks for one; read again at each connection. \
            Needs --gateway-client-key. [PIPEOPS_AGENT_GATEWAY_CLIENT_CERTIFICATE]
            """,
            valueName: "file"))
    var gatewayClientCertificate: String?

    @Option(
        help: .init(
            """
            A PEM file with the key to the agent's certificate; read again at each connection. \
            [PIPEOPS_AGENT_GATEWAY_CLIENT_KEY]
            """,
            valueName: "file"))
    var gatewayClientKey: String?

    @Option(
        help: .init(
            """
            The HTTP proxy to reach the gateway through: http://host:port or https://host:port, perhaps with \
            user:password@. Default: HTTPS_PROXY for wss, HTTP_PROXY for ws, unless NO_PROXY lists the gateway. \
            [PIPEOPS_AGENT_GATEWAY_PROXY]
            """,
            valueName: "url"))
    var gatewayProxy: String?

    @Option(
        help: .init(
            """
            How many tunnels to keep, to different gateways where there are several; 1 to 16. Default: 2. \
            [PIPEOPS_AGENT_TUNNELS]
            """,
            valueName: "number"))
    var tunnels: String?

    @Option(
        help: .init(
            """
            The name of this cluster at the gateway. Default: the UID of the namespace kube-system. \
            [PIPEOPS_AGENT_CLUSTER_UUID]
            """,
            valueName: "uuid"))
    var clusterUUID: String?

    @Option(
        help: .init(
            """
            The domain under which the gateway gives each cluster names of its own. Default: gateway.pipeops.io. \
            [PIPEOPS_AGENT_GATEWAY_DOMAIN]
            """,
            valueName: "domain"))
    var gatewayDomain: String?

    @Option(
        help: .init(
            """
            When routes are sent to the gateway: auto (while the cluster is private), always or never. Default: \
            auto. [PIPEOPS_AGENT_SYNC]
            """,
            valueName: "mode"))
    var sync: String?
}

struct ClusterOptions: ParsableArguments {
    @Option(
        help: .init(
            """
            The kubeconfig file. Default: KUBECONFIG, or the cluster the agent runs in, or ~/.kube/config. \
            [PIPEOPS_AGENT_KUBECONFIG]
            """,
            valueName: "file"))
    var kubeconfig: String?

    @Option(
        help: .init(
            "The context of the kubeconfig. Default: its current one. [PIPEOPS_AGENT_CONTEXT]", valueName: "name"))
    var context: String?

    @Option(
        help: .init(
            "The ingress controller's Service. Default: looked for. [PIPEOPS_AGENT_INGRESS_CONTROLLER]",
            valueName: "namespace/name"))
    var ingressController: String?

    @Option(
        help: .init(
            """
            How gRPC and whatever else needs HTTP/2 reaches the ingress controller: auto, http (HTTP/1.1, so that it does \
            not), h2c (HTTP/2 in plain text) or h2 (HTTP/2 by TLS). Default: auto, as the controller is known to take \
            it. [PIPEOPS_AGENT_INGRESS_CONTROLLER_PROTOCOL]
            """,
            valueName: "protocol"))
    var ingressControllerProtocol: String?

    @Option(
        help: .init(
            """
            A PEM file with certificate authorities to trust for Services and ingress controllers that are reached by \
            TLS, beside those of the system; read again when it changes. [PIPEOPS_AGENT_BACKEND_CA_FILE]
            """,
            valueName: "file"))
    var backendCAFile: String?

    @Option(
        help: .init(
            """
            How long a LoadBalancer may wait for its address before the cluster counts as private. Default: 2m. \
            [PIPEOPS_AGENT_LOAD_BALANCER_GRACE]
            """,
            valueName: "duration"))
    var loadBalancerGrace: String?

    @Option(
        help: .init(
            "The DNS domain of the cluster's Services. Default: cluster.local. [PIPEOPS_AGENT_CLUSTER_DOMAIN]",
            valueName: "domain"))
    var clusterDomain: String?

    @Flag(
        inversion: .prefixedNo,
        help:
            """
            Whether requests may go to loopback addresses; for development only. Default: no. \
            [PIPEOPS_AGENT_ALLOW_LOOPBACK_TARGETS]
            """
    )
    var allowLoopbackTargets: Bool?
}

struct IngressOptions: ParsableArguments {
    @Option(
        help: .init(
            """
            Serve only Ingresses of this class: spec.ingressClassName, or the annotation kubernetes.io/ingress.class \
            of older ones. May be repeated. Default: every class. [PIPEOPS_AGENT_INGRESS_CLASS]
            """,
            valueName: "name"))
    var ingressClass: [String] = []

    @Option(
        help: .init(
            """
            Serve only Ingresses whose labels this selects, written as for kubectl -l. Default: all. \
            [PIPEOPS_AGENT_INGRESS_SELECTOR]
            """,
            valueName: "selector"))
    var ingressSelector: String?

    @Option(
        help: .init(
            """
            Serve only Ingresses of this namespace. May be repeated. Default: all namespaces. \
            [PIPEOPS_AGENT_NAMESPACE]
            """,
            valueName: "name"))
    var namespace: [String] = []

    @Flag(
        inversion: .prefixedNo,
        help:
            """
            Whether to write the cluster's name at the gateway into status.loadBalancer of the Ingresses it serves, as \
            ExternalDNS reads it; beside what others wrote. Needs --ingress-class. Default: no. \
            [PIPEOPS_AGENT_UPDATE_INGRESS_STATUS]
            """
    )
    var updateIngressStatus: Bool?

    @Flag(
        inversion: .prefixedNo,
        help: .init(
            """
            Whether Ingresses may name a page that browsers get while the cluster is away (annotation \
            gateway.pipeops.io/offline-page), in a ConfigMap with the label gateway.pipeops.io/offline-page=true; the \
            agent needs a role to list those. Default: no. [PIPEOPS_AGENT_OFFLINE_PAGES]
            """))
    var offlinePages: Bool?
}

struct LeaderElectionOptions: ParsableArguments {
    @Flag(
        inversion: .prefixedNo,
        help:
            """
            Whether replicas agree on one that writes to the cluster and tells the gateway the routes; all of them \
            carry requests. Default: yes. [PIPEOPS_AGENT_LEADER_ELECT]
            """
    )
    var leaderElect: Bool?

    @Option(
        help: .init(
            """
            The Lease they agree by. Default: pipeops-agent in the namespace the agent runs in, or in pipeops-system \
            outside a cluster. [PIPEOPS_AGENT_LEADER_ELECT_LEASE]
            """,
            valueName: "namespace/name"))
    var leaderElectLease: String?

    @Option(
        help: .init(
            """
            How long the others wait for a leader that has fallen silent. Default: 15s. \
            [PIPEOPS_AGENT_LEADER_ELECT_LEASE_DURATION]
            """,
            valueName: "duration"))
    var leaderElectLeaseDuration: String?

    @Option(
        help: .init(
            """
            How long a leader goes on that cannot renew the Lease; shorter than the lease duration. Default: 10s. \
            [PIPEOPS_AGENT_LEADER_ELECT_RENEW_DEADLINE]
            """,
            valueName: "duration"))
    var leaderElectRenewDeadline: String?

    @Option(
        help: .init(
            """
            The wait between attempts to get or renew the Lease; shorter than the renew deadline. Default: 2s. \
            [PIPEOPS_AGENT_LEADER_ELECT_RETRY_PERIOD]
            """,
            valueName: "duration"))
    var leaderElectRetryPeriod: String?
}

struct LimitOptions: ParsableArguments {
    @Option(
        help: .init(
            """
            The longest wait for a connection to the gateway or to a Service. Default: 5s. \
            [PIPEOPS_AGENT_CONNECT_TIMEOUT]
            """,
            valueName: "duration"))
    var connectTimeout: String?

    @Option(
        help: .init(
            """
            The longest wait for the head of a response; a backstop behind the gateway's own, shorter limit. \
            Default: 10m. [PIPEOPS_AGENT_RESPONSE_TIMEOUT]
            """,
            valueName: "duration"))
    var responseTimeout: String?

    @Option(
        help: .init(
            """
            How long a body may stand still in one direction; a backstop behind the gateway's own, shorter limit. \
            Default: 1h. [PIPEOPS_AGENT_IDLE_TIMEOUT]
            """,
            valueName: "duration"))
    var idleTimeout: String?

    @Option(
        help: .init(
            "The most memory for the data of all tunnels. Default: 64MiB. [PIPEOPS_AGENT_TUNNEL_MEMORY]",
            valueName: "size"))
    var tunnelMemory: String?

    @Option(
        help: .init(
            "The most requests at a time in one tunnel. Default: 1024. [PIPEOPS_AGENT_MAX_STREAMS]",
            valueName: "number"))
    var maxStreams: String?

    @Option(
        help: .init(
            """
            The longest first wait before a lost tunnel is dialled again. Default: 500ms. \
            [PIPEOPS_AGENT_RECONNECT_MIN]
            """,
            valueName: "duration"))
    var reconnectMin: String?

    @Option(
        help: .init(
            "The longest wait between attempts to dial. Default: 30s. [PIPEOPS_AGENT_RECONNECT_MAX]",
            valueName: "duration"))
    var reconnectMax: String?

    @Option(
        help: .init(
            "How long open requests may take to end after SIGTERM. Default: 30s. [PIPEOPS_AGENT_SHUTDOWN_GRACE]",
            valueName: "duration"))
    var shutdownGrace: String?
}

struct OperationOptions: ParsableArguments {
    @Option(
        help: .init(
            """
            A settings file, .yaml, .yml or .json; its keys are the flags' names without dashes in front. \
            [PIPEOPS_AGENT_CONFIG]
            """,
            valueName: "file"))
    var config: String?

    @Option(
        help: .init(
            """
            Where /metrics, /healthz and /readyz are served, without authentication. Default: 127.0.0.1:8083. \
            [PIPEOPS_AGENT_ADMIN_LISTEN]
            """,
            valueName: "host:port"))
    var adminListen: String?

    @Option(
        help: .init(
            "How log lines look: json, or text for people. Default: json. [PIPEOPS_AGENT_LOG_FORMAT]",
            valueName: "format"))
    var logFormat: String?

    @Option(
        help: .init(
            """
            The least important log lines to write: trace, debug, info, notice, warning, error or critical. \
            Default: info. [PIPEOPS_AGENT_LOG_LEVEL]
            """,
            valueName: "level"))
    var logLevel: String?
}
