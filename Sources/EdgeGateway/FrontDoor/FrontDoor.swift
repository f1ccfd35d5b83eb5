package import HTTPExchange
package import Logging
package import NIOCore
import NIOPosix
import ServiceLifecycle
package import Settings
import TunnelTransport

/// The public listeners, without and with TLS: HTTP/1.1 and HTTP/2 in, streams of tunnels out.
package struct FrontDoor: Service {
    private let listen: HostAndPort
    private let tls: FrontTLS?
    private let shared: ProxyContext
    private let h2c: Bool
    private let limits: FrontLimits
    private let proxyProtocolFrom: [CIDRBlock]
    private let drain: GatewayDrain
    private let reusePort: Bool
    private let opens: @Sendable () async -> Void
    private let group: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable (SocketAddress) -> Void

    /// - Parameters:
    ///   - h2c: whether clients may speak HTTP/2 without TLS, with prior knowledge.
    ///   - tls: nil: there is no listener for it.
    ///   - challenges: which requests go to solvers of the gateway's own cluster.
    ///   - limits: of its clients; any number of connections where it names none.
    ///   - proxyProtocolFrom: peers that have to say by the PROXY protocol whom they speak for.
    ///   - redirect: sends clients away that come without TLS; nil: they are served.
    ///   - reusePort: whether another process may listen on the same port, too (`SO_REUSEPORT`).
    ///   - opens: returns when the listener may open.
    package init(
        listen: HostAndPort, h2c: Bool = false, tls: FrontTLS? = nil, redirect: HTTPSRedirect? = nil,
        challenges: ChallengeTable? = nil, cache: RouteCache,
        tunnels: TunnelRegistry, policy: ForwardingPolicy, trustedProxies: [CIDRBlock],
        proxyProtocolFrom: [CIDRBlock] = [], limits: FrontLimits = FrontLimits(), accessLog: AccessLog,
        metrics: FrontMetrics = FrontMetrics(), drain: GatewayDrain,
        reusePort: Bool = false, opens: @escaping @Sendable () async -> Void = {},
        group: any EventLoopGroup, logger: Logger, onListening: @escaping @Sendable (SocketAddress) -> Void = { _ in }
    ) {
        self.listen = listen
        self.tls = tls
        shared = ProxyContext(
            cache: cache, tunnels: tunnels, policy: policy, trustedProxies: trustedProxies, accessLog: accessLog,
            metrics: metrics, redirect: redirect, limits: limits, challenges: challenges)
        self.h2c = h2c
        self.limits = limits
        self.proxyProtocolFrom = proxyProtocolFrom
        self.drain = drain
        self.reusePort = reusePort
        self.opens = opens
        self.group = group
        self.logger = logger
        self.onListening = onListening
    }

    /// Serves until graceful shutdown: then each connection is closed behind its next answer, for a short while new ones
    /// are still accepted, and what is under way has the grace time.
    package func run() async throws {
        defer { drain.frontDoorIsDone() }
        await cancelWhenGracefulShutdown { await opens() }
        guard !Task.isCancelled, !Task.isShuttingDownGracefully else { return }
        let connections = OpenConnections(
            ConnectionCount(most: limits.connections ?? .max, mostPerAddress: limits.connectionsPerAddress))
        let admission = FrontAdmission(
            connections, limits: limits, trustedProxies: shared.trustedProxies, proxyProtocolFrom: proxyProtocolFrom,
            logger: logger)
        let listeners = try await bind(admission)
        try? await gracefulShutdown()
        let schedule = drain.begin()
        connections.announceEnd()
        await lameDuck(listeners, connections, until: schedule.lameDuck)
        for listener in listeners { try? await listener.close().get() }
        await connections.close(by: schedule, on: group.next())
    }

    /// Opens all listeners, or none.
    private func bind(_ admission: FrontAdmission) async throws -> [any Channel] {
        let (shared, h2c) = (shared, h2c)
        let plain = try await bind(listen, "front", admission, onListening) { channel, client, isDraining in
            guard h2c else {
                return try FrontProtocol.http11.serve(channel, shared, client, isDraining: isDraining)
            }
            let opening = OpeningHandler(timeout: shared.limits.keepAlive, take: FrontProtocol.byPreface) {
                (_: Never?) in
            } serve: { chosen, channel in
                try chosen.serve(channel, shared, client, isDraining: isDraining)
            }
            try channel.pipeline.syncOperations.addHandler(opening)
        }
        guard let tls else { return [plain] }
        let secured = ProxyContext(securing: shared, transportSecurity: tls.transportSecurity)
        let counters = FrontHandshake.counters()
        do {
            let encrypted = try await bind(tls.listen, "front-tls", admission, tls.onListening) {
                channel, client, isDraining in
                try FrontHandshake.install(on: channel, tls, counters: counters) { negotiated, channel in
                    try negotiated.serve(channel, secured, client, isDraining: isDraining)
                }
            }
            return [plain, encrypted]
        } catch {
            try? await plain.close().get()
            throw error
        }
    }

    /// - Parameter install: adds the handlers of a connection that is let in.
    private func bind(
        _ address: HostAndPort, _ name: String, _ admission: FrontAdmission,
        _ onListening: (SocketAddress) -> Void, install: @escaping FrontAdmission.Install
    ) async throws -> any Channel {
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(SharedPort.option, value: reusePort ? 1 : 0)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                .writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 32 << 10, high: 64 << 10)
            )
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 4096, maximum: 64 * 1024)
            )
            // One read at a time: what is read before the stream says stop is held for it.
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try admission.admit(channel, install) }
            }
            .bind(host: address.host, port: address.port).get()
        if reusePort { await ListenerHandover.end(listener) }
        logger.info(
            "Listening", metadata: ["listener": "\(name)", "address": "\(listener.localAddress.map(\.shown) ?? "")"])
        if let address = listener.localAddress { onListening(address) }
        return listener
    }

    /// Goes on accepting for a while, unless nobody has come for so long that nobody will.
    private func lameDuck(_ listeners: [any Channel], _ connections: OpenConnections, until deadline: NIODeadline) async
    {
        while !Task.isCancelled, NIODeadline.now() < deadline, connections.wereThere(within: .seconds(5)) {
            if reusePort {
                for listener in listeners { await ListenerHandover.begin(listener) }
            }
            // Nobody tells when a successor begins to listen, nor when a client will not come any more.
            try? await Task.sleep(for: .milliseconds(100))
        }
    }
}
