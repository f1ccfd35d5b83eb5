import Foundation
import HTTPExchange
import KubernetesAPI
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Routing
import ServiceLifecycle
import Settings
import Synchronization
import Telemetry
import TestSupport
import Testing
import TunnelProtocol
import TunnelTransport

@testable import ClusterAgent
@testable import EdgeGateway

/// What a test may change about its gateway and its agent.
struct StackOptions: Sendable {
    /// Host and path of what is advertised and forwarded to the backend.
    var routes: [(host: String, path: String)] = [("app.test", "/")]
    var annotations: [String: String] = [:]
    /// What the gateway is told beyond what the agent forwards.
    var onlyAdvertised: [(host: String, path: String)] = []
    /// Targets other than the backend, by host.
    var endpoints: [String: ForwardTarget.Endpoint] = [:]
    /// How the backends are spoken to.
    var transport = BackendTransport.plain
    var backendTLS = BackendTLSContexts()
    /// With which the backend of the stack itself answers; nil for plain text.
    var serverTLS: NIOSSLContext?
    var policy = TargetPolicy(allowLoopback: true)
    var gatewayTimeouts = ExchangeStateMachine.Timeouts(response: .seconds(10), idle: .seconds(10))
    var upstream = UpstreamSettings(timeouts: .init(response: .seconds(10), idle: .seconds(10)))
    var forwarding = ForwardingPolicy()
    var trustedProxies: [CIDRBlock] = []
    var proxyProtocolFrom: [CIDRBlock] = []
    /// Whether the front door takes HTTP/2 without TLS.
    var h2c = false
    /// Of the front door's clients.
    var limits = FrontLimits()
    /// Of clusters that have none of their own in the clusters file.
    var rateLimit = RateLimit.off
    var tunnel = TunnelConfiguration(role: .gateway)
    var agentToken = "token-a"
    /// Files beside the token, by name; `clusters.yaml` with the tokens `token-a` and `token-b` unless one is given.
    var files: [String: String] = [:]
    /// Settings of the gateway's authentication; `@name` is the path of one of the files.
    var authentication: [GatewaySettings.Name: String] = [:]
    /// How often the gateway looks whether these files have changed.
    var credentialInterval = Duration.seconds(1)
    /// Files of the agents' listener by name; nil for plain text.
    var agentTLS: AgentTLS.Files?
    /// Certificates of the front door by name; nil: there is no listener with TLS.
    var frontCertificates: [String: TestCertificates.Pair]?
    var transportSecurity: Duration?
    var redirect: HTTPSRedirect?
    var challenges: ChallengeTable?
    var tlsHandshakeTimeout = TimeAmount.seconds(10)
    var agentCluster = "cluster-a"
    /// Whether an agent is started at all.
    var hasAgent = true
    /// Whether to wait until its routes are acknowledged.
    var waitsForRoutes = true
    /// Front connections live on another event loop than the tunnels.
    var separateLoops = false
    var agentGrace = Duration.zero
    var gatewayGrace = Duration.zero
    /// The agent's.
    var tunnels = 1
    /// Within which the agent dials the replacement of a drained tunnel.
    var drainSpread = TimeAmount.milliseconds(20)
    /// Changes whatever else the agent's pool is told.
    var pool: @Sendable (inout TunnelPool.Configuration) -> Void = { _ in }
    var warmUp = Duration.zero
    /// The gateway's name.
    var instance = "gateway-1"
    /// Ports that another gateway listens on, too; any free ones where `nil`.
    var sharedPorts: (front: Int, agent: Int)?
}

/// A gateway and an agent, connected, in this process.
struct Stack: Sendable {
    var frontPort: Int
    var agentPort: Int
    /// 0 where there is no listener with TLS.
    var tlsPort: Int
    var tunnels: TunnelRegistry
    var cache: RouteCache
    var guardrail: ForwardingGuard
    var sync: FakeSync
    var status: TunnelStatus
    var directory: URL
    var authenticator: TunnelAuthenticator
    var backend: Backend
    /// What the gateway counts.
    var metrics: PrometheusRegistry
    var gatewayLog: LogRecorder
    var agentLog: LogRecorder
    /// `true` once the agent has ended.
    var agentHasEnded = Box<Bool>()
    /// Tells the agent to end gracefully, once.
    var stopAgent: @Sendable () -> Void
}

/// Accepts connections and runs the test's script on each.
final class Backend: Sendable {
    typealias Script = @Sendable (RawConnection) async throws -> Void

    let port: Int
    private let listener: any Channel
    private let accepted: AsyncStream<RawConnection>
    private let all = Mutex<[RawConnection]>([])

    init(tls: NIOSSLContext? = nil) async throws {
        let (accepted, post) = AsyncStream.makeStream(of: RawConnection.self)
        self.accepted = accepted
        listener = try await RawConnection.listen(tls: tls) { post.yield($0) }
        port = try #require(listener.localAddress?.port)
    }

    var connections: [RawConnection] { all.withLock { $0 } }

    func run(_ script: @escaping Script) async {
        await withDiscardingTaskGroup { group in
            for await connection in accepted {
                all.withLock { $0.append(connection) }
                group.addTask {
                    try? await script(connection)
                    connection.close()
                }
            }
            for connection in connections { connection.close() }
        }
        try? await listener.close()
    }
}

/// Runs a gateway, an agent and a backend for as long as `body` takes; fails if that is longer than `limit`.
func withStack(
    _ options: StackOptions = StackOptions(), within limit: Duration = .seconds(20),
    backend script: @escaping Backend.Script,
    _ body: @escaping @Sendable (Stack) async throws -> Void
) async throws {
    let backend = try await Backend(tls: options.serverTLS)
    let parts = try await Parts(options, backend: backend)
    defer { parts.removeFiles() }
    let ports = AsyncStream.makeStream(of: (isFront: Bool, port: Int).self)
    let tlsPort = Box<Int>()
    var services: [@Sendable () async throws -> Void] = [{ await backend.run(script) }]
    let gateway = try parts.gateway(
        options, listening: { ports.continuation.yield(($0, $1)) }, listeningTLS: { tlsPort.set($0) })
    for service in gateway { services.append { try await service.run() } }
    try await withServices(services, within: limit) {
        var listening: [Bool: Int] = [:]
        for await (isFront, port) in ports.stream {
            listening[isFront] = port
            if listening.count == 2 { break }
        }
        let frontPort = try #require(listening[true])
        let agentPort = try #require(listening[false])
        if options.frontCertificates != nil {
            try await eventually("the listener with TLS is bound") { tlsPort.value != nil }
        }
        let (stopped, stopAgent) = AsyncStream.makeStream(of: Never.self)
        let stack = Stack(
            frontPort: frontPort, agentPort: agentPort, tlsPort: tlsPort.value ?? 0, tunnels: parts.tunnels,
            cache: parts.cache,
            guardrail: parts.guardrail, sync: parts.sync, status: parts.status, directory: parts.directory,
            authenticator: parts.authenticator, backend: backend,
            metrics: parts.metrics, gatewayLog: parts.gatewayLog, agentLog: parts.agentLog,
            stopAgent: { stopAgent.finish() })
        let agent: @Sendable () async throws -> Void = {
            guard options.hasAgent else { return }
            let pool = try parts.pool(options, port: agentPort)
            await runUntilStopped(stopped, pool.run)
            stack.agentHasEnded.set(true)
        }
        try await withRunning(agent) {
            if options.hasAgent, options.waitsForRoutes {
                try await eventually("the routes are acknowledged") { !stack.sync.acks.isEmpty }
            }
            try await body(stack)
        }
    }
}

/// Runs a service until it ends by itself, or is cancelled because `stopped` has ended; returns when it is over.
func runUntilStopped(_ stopped: AsyncStream<Never>, _ service: @escaping @Sendable () async throws -> Void) async {
    await withTaskGroup(of: Void.self) { group in
        group.addTask { try? await service() }
        group.addTask { for await _ in stopped {} }
        await group.next()
        group.cancelAll()
    }
}

/// The parts of both programs, wired as the programs wire them.
struct Parts: Sendable {
    let cache: RouteCache
    let tunnels = TunnelRegistry()
    let guardrail: ForwardingGuard
    let sync: FakeSync
    let status = TunnelStatus()
    let metrics = PrometheusRegistry()
    let gatewayLog = LogRecorder()
    let agentLog = LogRecorder()
    let upstream: UpstreamPools
    /// With the token file, the clusters file and whatever else the options name.
    let directory = FileManager.default.temporaryDirectory.appending(path: "stack-\(UUID().uuidString)")
    let credentials: CredentialFiles
    let start: CredentialWatcher.Start
    let authenticator: TunnelAuthenticator
    var tokenFile: URL { directory.appending(path: "token") }

    init(_ options: StackOptions, backend: Backend) async throws {
        cache = RouteCache(timeouts: options.gatewayTimeouts, maxBodySize: options.limits.bodySize)
        guardrail = ForwardingGuard(policy: options.policy)
        upstream = UpstreamPools(
            group: Loops.tunnels, settings: options.upstream, forwarding: guardrail, contexts: options.backendTLS)
        let advertised = (options.routes + options.onlyAdvertised).map { route in
            AdvertisedRoute(
                host: route.host, path: route.path, pathType: "Prefix", service: "web", namespace: "default", port: 80,
                tls: false, annotations: options.annotations)
        }
        sync = FakeSync(advertised, clusterUUID: options.agentCluster)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let clusters = ["a", "b"].map { "{uuid: cluster-\($0), tokenSHA256: \(SHA256Hex.text("token-\($0)"))}" }
        var files = ["token": options.agentToken, "clusters.yaml": "clusters: [\(clusters.joined(separator: ", "))]"]
        files.merge(options.files) { $1 }
        for (name, text) in files { try Data(text.utf8).write(to: directory.appending(path: name)) }
        let directory = directory
        let path = { (name: String) in
            name.hasPrefix("@") ? directory.appending(path: String(name.dropFirst())).path : name
        }
        for (name, pair) in options.frontCertificates ?? [:] {
            try Self.write(pair, to: directory.appending(path: "certificates/\(name)"))
        }
        var flags: [GatewaySettings.Name: String?] = [
            .clustersFile: path("@clusters.yaml"), .acceptRate: "1000", .authFailuresPerMinute: "1000",
        ]
        flags.merge(options.authentication.mapValues { path($0) }) { $1 }
        let settings = try AuthenticationSettings(SettingsReader(flags: flags, environment: [:], prefix: "TEST"))
        var tls = options.agentTLS
        tls?.certificate = path(options.agentTLS?.certificate ?? "")
        tls?.key = path(options.agentTLS?.key ?? "")
        tls?.clientAuthority = options.agentTLS?.clientAuthority.map(path)
        credentials = CredentialFiles(settings, tls: tls)
        start = CredentialWatcher.Start(credentials)
        authenticator = TunnelAuthenticator(
            credentials: try await credentials.load(), acceptRate: settings.acceptRate,
            failuresPerMinute: settings.failuresPerMinute)

        let byHost = Dictionary(grouping: options.routes, by: \.host)
        let service = ObjectKey(namespace: "default", name: "web")
        guardrail.update { table in
            table.setAdvertised(true)
            for (host, routes) in byHost {
                let endpoint = options.endpoints[host] ?? .address(ip: "127.0.0.1", port: backend.port)
                guard let name = try? Hostname(host) else { continue }
                table.replace(
                    host: name,
                    with: ForwardingTable.prepare(
                        routes.map {
                            (
                                PathMatch(path: $0.path, type: .prefix),
                                ForwardTarget(endpoint: endpoint, service: service, transport: options.transport)
                            )
                        }))
            }
        }
    }

    func gateway(
        _ options: StackOptions, listening: @escaping @Sendable (_ isFront: Bool, _ port: Int) -> Void,
        listeningTLS: @escaping @Sendable (_ port: Int) -> Void = { _ in }
    ) throws -> [any ServiceLifecycle.Service] {
        let logger = gatewayLog.logger("gateway")
        let routes = InMemoryRouteStore(gatewayDomain: gatewayDomain, timeToLive: .seconds(300))
        let registry = RouteRegistry(store: routes, cache: cache, tunnels: tunnels, logger: logger)
        let accessLog = AccessLog(
            lines: AccessLog.lines(format: .json, output: LogOutput { [gatewayLog] in gatewayLog.record(json: $0) }),
            factory: metrics)
        let drain = GatewayDrain(grace: options.gatewayGrace)
        let warmUp = WarmUp(longest: options.warmUp)
        func local(_ port: Int?) -> HostAndPort { HostAndPort(host: "127.0.0.1", port: port ?? 0) }
        let tls = try credentials.tls.map { files throws(SettingsError) in try AgentTLS(files) }
        let authenticated = AuthenticatedTunnels(registry: registry)
        let store = CertificateStore()
        let certificates = try options.frontCertificates.map { _ in
            try CertificateWatcher(
                CertificateDirectory(path: directory.appending(path: "certificates").path),
                intake: CertificateIntake([.directory], store: store, logger: logger), interval: .milliseconds(20),
                logger: logger)
        }
        let frontTLS = certificates.map { _ in
            FrontTLS(
                listen: local(nil), certificates: store, transportSecurity: options.transportSecurity,
                handshakeTimeout: options.tlsHandshakeTimeout, onListening: { listeningTLS($0.port ?? 0) })
        }
        let watchers: [any ServiceLifecycle.Service] = certificates.map { [$0] } ?? []
        return watchers + [
            accessLog, registry,
            CredentialWatcher(
                credentials, since: start, authenticator: authenticator, tls: tls, tunnels: authenticated,
                changed: { [tunnels, limit = options.rateLimit] credentials in
                    tunnels.limit(by: RateLimits(standard: limit, clusters: credentials.directory.rateLimits))
                },
                interval: options.credentialInterval, logger: logger),
            TrafficService(
                tunnels: TunnelServer(
                    configuration: .init(
                        listen: local(options.sharedPorts?.agent), tls: tls, instanceID: options.instance,
                        gatewayDomain: gatewayDomain.text, heartbeatInterval: .seconds(10),
                        registry: options.sharedPorts == nil ? nil : "memory of \(options.instance)",
                        tunnel: options.tunnel,
                        reusePort: options.sharedPorts != nil),
                    authenticator: authenticator, authenticated: authenticated, registry: registry,
                    tunnels: tunnels, drain: drain, warmUp: warmUp,
                    metrics: GatewayTunnelMetrics(factory: metrics), group: Loops.tunnels, logger: logger,
                    onListening: { listening(false, $0.port ?? 0) }),
                front: FrontDoor(
                    listen: local(options.sharedPorts?.front), h2c: options.h2c, tls: frontTLS,
                    redirect: options.redirect, challenges: options.challenges, cache: cache,
                    tunnels: tunnels, policy: options.forwarding,
                    trustedProxies: options.trustedProxies, proxyProtocolFrom: options.proxyProtocolFrom,
                    limits: options.limits, accessLog: accessLog, metrics: FrontMetrics(factory: metrics),
                    drain: drain,
                    reusePort: options.sharedPorts != nil, opens: { await warmUp.wait() },
                    group: options.separateLoops ? Loops.front : Loops.tunnels, logger: logger,
                    onListening: { listening(true, $0.port ?? 0) })),
        ]
    }

    /// A certificate and its key as in a mounted Secret.
    static func write(_ pair: TestCertificates.Pair, to folder: URL) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(pair.certificate.utf8).write(to: folder.appending(path: "tls.crt"))
        try Data(pair.key.utf8).write(to: folder.appending(path: "tls.key"))
    }

    func removeFiles() { try? FileManager.default.removeItem(at: directory) }

    private var gatewayDomain: Hostname {
        guard let domain = try? Hostname("gateway.test") else { preconditionFailure("gateway.test is a name") }
        return domain
    }

    func pool(_ options: StackOptions, port: Int) throws -> TunnelPool {
        var tunnel = options.tunnel
        tunnel.role = .agent
        let dialer = TunnelDialer(host: "127.0.0.1", port: port, tls: nil, group: Loops.tunnels)
        var configuration = TunnelPool.Configuration(
            tunnels: options.tunnels, dialer: { dialer }, tunnel: tunnel,
            hello: .init(
                versions: [1], clusterUUID: options.agentCluster, agentID: "agent-1", agentVersion: "test",
                maxStreams: tunnel.maxStreams),
            tokenFile: SecretFile(path: tokenFile.path, setting: "token-file"),
            backoff: .init(first: .milliseconds(20), longest: .milliseconds(100), refused: .milliseconds(200)),
            shutdownGrace: options.agentGrace)
        configuration.startSpread = .milliseconds(5)
        configuration.drainSpread = options.drainSpread
        options.pool(&configuration)
        return TunnelPool(
            configuration: configuration, upstream: upstream, syncer: sync, status: status,
            logger: agentLog.logger("agent"))
    }
}

extension Stack {
    /// Replaces one of the files, as a whole.
    func rewrite(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: directory.appending(path: name), options: .atomic)
    }

    /// A new connection to the front door.
    func connect(receiveBuffer: Int? = nil) async throws -> RawConnection {
        try await RawConnection.connect(port: frontPort, receiveBuffer: receiveBuffer)
    }

    /// Sends a request on a connection of its own and reads the answer.
    func request(
        _ method: String = "GET", _ target: String = "/", host: String = "app.test", fields: [String] = [],
        body: String = ""
    ) async throws -> RawResponse {
        let connection = try await connect()
        defer { connection.close() }
        let lines = ["\(method) \(target) HTTP/1.1", "Host: \(host)"] + fields
        try await connection.send(lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
        return try await connection.response(toHead: method == "HEAD")
    }

    /// The access log's line for a path, once it is written.
    func accessLine(_ path: String) async throws -> LogRecorder.Line {
        try await eventually("the access log has \(path)") {
            gatewayLog.lines("Gateway proxy request").contains { $0.fields["path"] == path }
        }
        return try #require(gatewayLog.lines("Gateway proxy request").first { $0.fields["path"] == path })
    }
}
