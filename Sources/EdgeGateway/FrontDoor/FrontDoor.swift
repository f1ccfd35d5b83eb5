package import HTTPExchange
package import Logging
package import NIOCore
import NIOPosix
import ServiceLifecycle
package import Settings
import Synchronization
import TunnelTransport

/// The public listeners, without and with TLS: HTTP/1.1 in, streams of tunnels out.
package struct FrontDoor: Service {
    private let listen: HostAndPort
    private let tls: FrontTLS?
    private let shared: ProxyContext
    private let drain: GatewayDrain
    private let reusePort: Bool
    private let opens: @Sendable () async -> Void
    private let group: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable (SocketAddress) -> Void

    /// - Parameters:
    ///   - tls: nil: there is no listener for it.
    ///   - redirect: sends clients away that come without TLS; nil: they are served.
    ///   - reusePort: whether another process may listen on the same port, too (`SO_REUSEPORT`).
    ///   - opens: returns when the listener may open.
    package init(
        listen: HostAndPort, tls: FrontTLS? = nil, redirect: HTTPSRedirect? = nil, cache: RouteCache,
        tunnels: TunnelRegistry, policy: ForwardingPolicy, trustedProxies: [CIDRBlock], accessLog: AccessLog,
        drain: GatewayDrain, reusePort: Bool = false, opens: @escaping @Sendable () async -> Void = {},
        group: any EventLoopGroup, logger: Logger, onListening: @escaping @Sendable (SocketAddress) -> Void = { _ in }
    ) {
        self.listen = listen
        self.tls = tls
        shared = ProxyContext(
            cache: cache, tunnels: tunnels, policy: policy, trustedProxies: trustedProxies, accessLog: accessLog,
            refusals: RefusalMetrics(), scheme: "http", redirect: redirect, keepAlive: .seconds(75))
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
        let connections = OpenConnections()
        let listeners = try await bind(connections)
        try? await gracefulShutdown()
        let schedule = drain.begin()
        connections.announceEnd()
        await lameDuck(listeners, connections, until: schedule.lameDuck)
        for listener in listeners { try? await listener.close().get() }
        await connections.close(by: schedule, on: group.next())
    }

    /// Opens all listeners, or none.
    private func bind(_ connections: OpenConnections) async throws -> [any Channel] {
        let shared = shared
        let plain = try await bind(listen, "front", connections, onListening) { channel, isDraining in
            try channel.pipeline.syncOperations.addHandler(ProxyHandler(shared: shared, isDraining: isDraining))
        }
        guard let tls else { return [plain] }
        var secured = shared
        secured.scheme = "https"
        secured.redirect = nil
        secured.transportSecurity = tls.transportSecurity
        let counters = FrontHandshake.counters()
        do {
            let encrypted = try await bind(tls.listen, "front-tls", connections, tls.onListening) {
                [secured] channel, isDraining in
                try FrontHandshake.install(on: channel, tls, counters: counters) { negotiated, channel in
                    switch negotiated {
                    case .http11:
                        try channel.pipeline.syncOperations.addHandler(
                            ProxyHandler(shared: secured, isDraining: isDraining))
                    }
                }
            }
            return [plain, encrypted]
        } catch {
            try? await plain.close().get()
            throw error
        }
    }

    /// - Parameter install: adds the handlers of a connection; is told whether the gateway is ending already.
    private func bind(
        _ address: HostAndPort, _ name: String, _ connections: OpenConnections,
        _ onListening: (SocketAddress) -> Void,
        install: @escaping @Sendable (_ channel: any Channel, _ isDraining: Bool) throws -> Void
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
                let isDraining = connections.add(channel)
                return channel.eventLoop.makeCompletedFuture { try install(channel, isDraining) }
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

/// The connections that are open, so that an ending gateway leaves none behind.
private final class OpenConnections: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var isDraining = false
        var lastOpenAt: NIODeadline?
    }

    private let state = Mutex(State())

    /// Whether a connection is open, or was not long ago.
    func wereThere(within time: TimeAmount) -> Bool {
        state.withLock { state in
            if !state.channels.isEmpty { return true }
            return state.lastOpenAt.map { NIODeadline.now() - $0 < time } ?? false
        }
    }

    /// Returns whether the gateway is ending already.
    func add(_ channel: any Channel) -> Bool {
        let id = ObjectIdentifier(channel)
        channel.closeFuture.whenComplete { [self] _ in
            state.withLock { state in
                state.channels[id] = nil
                state.lastOpenAt = .now()
            }
        }
        return state.withLock { state in
            state.channels[id] = channel
            return state.isDraining
        }
    }

    /// From now on the next answer is each connection's last.
    func announceEnd() {
        let open = state.withLock { state in
            state.isDraining = true
            return Array(state.channels.values)
        }
        for channel in open { channel.pipeline.fireUserInboundEventTriggered(ConnectionDrain.answerAndClose) }
    }

    /// Lets exchanges end, and closes what is left when the time is over or the task is cancelled.
    func close(by schedule: DrainSchedule, on loop: any EventLoop) async {
        let open = all
        for channel in open { channel.pipeline.fireUserInboundEventTriggered(ConnectionDrain.closeIfIdle) }
        let timer = loop.scheduleTask(deadline: schedule.front) { self.closeAll(by: schedule.streams) }
        await withTaskCancellationHandler {
            try? await EventLoopFuture.andAllComplete(open.map(\.closeFuture), on: loop).get()
        } onCancel: {
            closeAll(by: .now())
        }
        timer.cancel()
    }

    private var all: [any Channel] { state.withLock { Array($0.channels.values) } }

    private func closeAll(by deadline: NIODeadline) {
        for channel in all { channel.pipeline.fireUserInboundEventTriggered(ConnectionDrain.close(by: deadline)) }
    }
}

/// What an ending gateway asks of a connection.
enum ConnectionDrain: Sendable {
    /// No request after the next, or the one under way.
    case answerAndClose
    /// Moreover, do not wait for one.
    case closeIfIdle
    /// Wait for no answer; say goodbye where the connection's protocol has a word for it. Only a last word that is on
    /// its way has time, and until then.
    case close(by: NIODeadline)
}
