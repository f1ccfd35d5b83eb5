import HTTPExchange
import KubernetesAPI
package import Logging
import NIOCore
import NIOPosix
import Routing
import ServiceLifecycle
import Settings
package import Telemetry
import TunnelProtocol
import TunnelTransport
import UnixSignals

/// `pipeops-gateway`, from its settings to its end.
package enum EdgeGatewayProgram {
    /// Runs until SIGTERM or SIGINT, then drains within the grace time.
    ///
    /// - Throws: what keeps a listener or a file from being used.
    package static func run(settings: GatewaySettings, logger: Logger, metrics: PrometheusRegistry) async throws {
        guard let client = try settings.cluster?.client(logger: logger) else {
            return try await run(settings, nil, logger, metrics)
        }
        try await client.shutdown { try await run(settings, client, logger, metrics) }
    }

    private static func run(
        _ settings: GatewaySettings, _ client: KubernetesClient?, _ logger: Logger, _ metrics: PrometheusRegistry
    ) async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        describe(metrics)
        let files = CredentialFiles(settings.authentication, tls: settings.agentTLSFiles)
        let unchanged = CredentialWatcher.Start(files)
        let tls = try files.tls.map { files throws(SettingsError) in try AgentTLS(files) }
        let authenticator = TunnelAuthenticator(
            credentials: try await files.load(), acceptRate: settings.authentication.acceptRate,
            failuresPerMinute: settings.authentication.failuresPerMinute)
        let timeouts = ExchangeStateMachine.Timeouts(
            response: TimeAmount(settings.responseTimeout), idle: TimeAmount(settings.idleTimeout),
            total: settings.frontLimits.request)
        let cache = RouteCache(timeouts: timeouts, maxBodySize: settings.frontLimits.bodySize)
        let tunnels = TunnelRegistry()
        let store = InMemoryRouteStore(gatewayDomain: settings.gatewayDomain, timeToLive: settings.routeTTL)
        let registry = RouteRegistry(store: store, cache: cache, tunnels: tunnels, logger: logger)
        let authenticated = AuthenticatedTunnels(registry: registry)
        let accessLog = AccessLog(
            lines: settings.accessLog && settings.logLevel <= .info ? AccessLog.lines(format: settings.logFormat) : nil,
            share: settings.accessLogShare)
        let flow = FlowLimits(memory: settings.tunnelMemory)

        let readiness = ListenerReadiness(
            Set(["front", "agent"]).union(settings.frontTLS == nil ? [] : ["front-tls"]))
        let certificates = CertificateStore()
        let sources = try CertificateSources(settings.frontTLS, client, store: certificates, logger: logger)
        let challenges = settings.frontTLS?.domainIssuer.map { _ in ChallengeTable() }
        let frontTLS = settings.frontTLS.map { tls in
            FrontTLS(
                listen: tls.listen, certificates: certificates, transportSecurity: tls.transportSecurity,
                onListening: { _ in readiness.isBound("front-tls") })
        }
        let drain = GatewayDrain(grace: settings.shutdownGrace)
        let tunnelMetrics = GatewayTunnelMetrics()
        let warmUp = WarmUp(longest: settings.warmUp)

        var services: [any ServiceLifecycle.Service] = [
            accessLog,
            registry,
            tunnelMetrics,
            ClusterSeriesRemoval(metrics) {
                tunnels.clusters.union(store.clusters())
            } forget: {
                accessLog.forget(cluster: $0)
            },
            CredentialWatcher(
                files, since: unchanged, authenticator: authenticator, tls: tls, tunnels: authenticated,
                changed: { [limit = settings.rateLimit] credentials in
                    tunnels.limit(by: RateLimits(standard: limit, clusters: credentials.directory.rateLimits))
                },
                logger: logger),
            OperationsListener(
                host: settings.adminListen.host, port: settings.adminListen.port, metrics: metrics,
                readiness: { readiness.reasons + sources.reasons + drain.reasons },
                routes: AdminPages(cache: cache, store: store, tunnels: tunnels, instance: settings.instanceID).routes,
                group: group, logger: logger),
            TrafficService(
                tunnels: TunnelServer(
                    configuration: .init(
                        listen: settings.agentListen, tls: tls,
                        instanceID: settings.instanceID, gatewayDomain: settings.gatewayDomain.text,
                        heartbeatInterval: settings.heartbeatInterval,
                        // The store is the memory of this process, and of no other that goes by the same name.
                        registry: "\(settings.instanceID)/\(String(UInt64.random(in: .min ... .max), radix: 16))",
                        tunnel: TunnelConfiguration(
                            role: .gateway, maxStreams: settings.maxStreams, flow: flow,
                            canaryInterval: settings.canaryInterval.map { TimeAmount($0) }),
                        reusePort: settings.reusePort),
                    authenticator: authenticator, authenticated: authenticated, registry: registry,
                    tunnels: tunnels, drain: drain, warmUp: warmUp, metrics: tunnelMetrics, group: group,
                    logger: logger,
                    onListening: { _ in readiness.isBound("agent") }),
                front: FrontDoor(
                    listen: settings.listen, h2c: settings.h2c, tls: frontTLS,
                    redirect: settings.redirectPort.map(HTTPSRedirect.init(port:)), challenges: challenges,
                    cache: cache, tunnels: tunnels,
                    policy: ForwardingPolicy(
                        strippedRequestFields: Set(settings.stripRequestHeaders), traces: settings.traceContext),
                    trustedProxies: settings.trustedProxies, proxyProtocolFrom: settings.proxyProtocolFrom,
                    limits: limits(settings, logger), accessLog: accessLog, drain: drain, reusePort: settings.reusePort,
                    opens: { await warmUp.wait() }, group: group, logger: logger,
                    onListening: { _ in readiness.isBound("front") })),
        ]
        services += sources.services
        services += domainCertificates(settings, client, store, challenges, logger)
        var configuration = ServiceGroupConfiguration(
            services: services.map { .init(service: $0) }, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        // The drain itself ends within the grace time; this is for what hangs.
        configuration.maximumGracefulShutdownDuration = settings.shutdownGrace + .seconds(1)
        configuration.maximumCancellationDuration = .seconds(3)
        // Where the time to end is over, requests end after the service that writes their lines.
        defer { accessLog.writeAll() }
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch {
            try? await challenges?.shutdown()
            throw error
        }
        try? await challenges?.shutdown()
        logger.info("Stopped pipeops-gateway")
    }

    /// What has certificates made for users' own domains, where that is wanted.
    private static func domainCertificates(
        _ settings: GatewaySettings, _ client: KubernetesClient?, _ store: InMemoryRouteStore,
        _ challenges: ChallengeTable?, _ logger: Logger
    ) -> [any ServiceLifecycle.Service] {
        guard let tls = settings.frontTLS, let issuer = tls.domainIssuer, let namespace = tls.secretsNamespace,
            let client, let challenges
        else { return [] }
        let plan = DomainCertificatePlan.Settings(
            namespace: namespace, issuer: issuer, mostPerCluster: tls.domainCertificatesPerCluster)
        let domain = settings.gatewayDomain
        return [
            ChallengeSolvers(client: client, namespace: namespace, table: challenges, logger: logger),
            DomainCertificates(
                client: client, settings: plan, domains: { .all(in: store, gatewayDomain: domain) }, logger: logger),
        ]
    }

    /// The limits of the front door, with a number of connections that there are files for.
    private static func limits(_ settings: GatewaySettings, _ logger: Logger) -> FrontLimits {
        let files = FileDescriptors.raiseLimit()
        var limits = settings.frontLimits
        let connections = limits.connections(files: files)
        if connections >= files {
            logger.warning(
                "More connections are allowed than there may be files; raise the limit of files or lower max-connections",
                metadata: ["max_connections": "\(connections)", "files": "\(files)"])
        }
        limits.connections = connections
        return limits
    }

    private static func describe(_ metrics: PrometheusRegistry) {
        metrics.describe(.init("gateway_requests_total", help: "Requests answered, by cluster and status."))
        metrics.describe(
            .init(
                "gateway_request_duration_seconds", help: "From a request's head to the end of its answer.",
                // Uploads, downloads and event streams last.
                buckets: MetricDescription.defaultBuckets + [60, 300, 3600]))
        metrics.describe(
            .init("gateway_refused_requests_total", help: "Requests that were not sent on to a cluster, by reason."))
        metrics.describe(
            .init("gateway_refused_connections_total", help: "Connections closed before they were served, by reason."))
        metrics.describe(
            .init(
                "gateway_http2_violations_total",
                help: "Rules of HTTP/2 that clients broke, which ended a request or a connection, by reason."))
        metrics.describe(
            .init(
                "gateway_retried_requests_total",
                help: "Requests that went to a second tunnel, which clients do not see, by reason."))
        metrics.describe(.init("gateway_connections_total", help: "Users' connections, by protocol and scheme."))
        metrics.describe(.init("gateway_open_connections", help: "Users' connections open, by protocol and scheme."))
        metrics.describe(.init("gateway_request_bytes_total", help: "Bytes of requests' bodies, by cluster."))
        metrics.describe(.init("gateway_response_bytes_total", help: "Bytes of answers' bodies, by cluster."))
        metrics.describe(
            .init("gateway_route_lookups_total", help: "Requests whose route was looked for, by what was found."))
        metrics.describe(.init("gateway_active_routes", help: "Routes served, by cluster."))
        metrics.describe(.init("gateway_tunnel_health", help: "1 while a tunnel of the cluster is connected, else 0."))
        for (name, help) in [
            ("canary_failures_total", "Tunnels closed because their data path did not answer, by cluster."),
            ("violations_total", "Tunnels closed because the agent broke the protocol, by reason."),
            ("received_bytes_total", "Bytes that came through tunnels, by cluster."),
            ("sent_bytes_total", "Bytes that were sent through tunnels, by cluster."),
            ("streams_total", "Streams opened, canaries included, by cluster."),
            ("stalls_total", "How often a stream had something to send and no credit for it, by cluster."),
            ("stalled_seconds_total", "Time that streams stood still so, summed over the streams, by cluster."),
            ("open_streams", "Streams open on a tunnel."),
            ("round_trip_seconds", "From ping to pong, smoothed, on a tunnel."),
        ] {
            metrics.describe(.init("gateway_tunnel_\(name)", help: help))
        }
        metrics.describe(.init("gateway_tunnel_accepts_total", help: "Handshakes of agents, by what came of them."))
        metrics.describe(
            .init("gateway_tunnel_auth_failures_total", help: "Handshakes that proved no identity, by reason."))
        metrics.describe(
            .init(
                "gateway_tunnel_credentials_ended_total",
                help: "Tunnels closed because what let them in was withdrawn or expired."))
        metrics.describe(
            .init("gateway_credential_reloads_total", help: "Changed credential files read again, by file and result."))
        metrics.describe(
            .init(
                "gateway_certificate_expiry_timestamp_seconds",
                help: "When a certificate of the front door ends, in seconds since 1970."))
        for (name, help) in [
            ("", "Certificates that cert-manager was asked for, for users' own domains."),
            ("_ready", "Those of them that are issued."),
            ("_left_out", "Domains beyond what a cluster may have certificates for."),
        ] {
            metrics.describe(.init("gateway_domain_certificates\(name)", help: help))
        }
        metrics.describe(
            .init("gateway_certificate_reloads_total", help: "Changed certificates read again, by result."))
        metrics.describe(
            .init(
                "gateway_tls_handshake_failures_total",
                help: "TLS handshakes at the front door that came to nothing, by reason."))
        metrics.describe(
            .init("gateway_access_log_dropped_total", help: "Access log lines lost because too many were waiting."))
    }
}
