package import HTTPExchange
package import Logging
package import NIOCore
import NIOPosix
import ServiceLifecycle
package import Settings
import Synchronization

/// The public listener: HTTP/1.1 in, streams of tunnels out.
package struct FrontDoor: Service {
    private let listen: HostAndPort
    private let shared: ProxyContext
    private let shutdownGrace: Duration
    private let group: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable (SocketAddress) -> Void

    package init(
        listen: HostAndPort, cache: RouteCache, tunnels: TunnelRegistry, policy: ForwardingPolicy,
        trustedProxies: [CIDRBlock], accessLog: AccessLog, shutdownGrace: Duration, group: any EventLoopGroup,
        logger: Logger, onListening: @escaping @Sendable (SocketAddress) -> Void = { _ in }
    ) {
        self.listen = listen
        shared = ProxyContext(
            cache: cache, tunnels: tunnels, policy: policy, trustedProxies: trustedProxies, accessLog: accessLog,
            scheme: "http", keepAlive: .seconds(75))
        self.shutdownGrace = shutdownGrace
        self.group = group
        self.logger = logger
        self.onListening = onListening
    }

    /// Serves until graceful shutdown: then no connection is accepted any more, and open ones have the grace time.
    package func run() async throws {
        let connections = OpenConnections()
        let shared = shared
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                .writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10)
            )
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 4096, maximum: 64 * 1024)
            )
            // One read at a time: what is read before the stream says stop is held for it.
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelInitializer { channel in
                connections.add(channel)
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ProxyHandler(shared: shared))
                }
            }
            .bind(host: listen.host, port: listen.port).get()
        logger.info(
            "Listening",
            metadata: ["listener": "front", "address": "\(listener.localAddress.map(\.shown) ?? "")"])
        if let address = listener.localAddress { onListening(address) }
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                try? await listener.closeFuture.get()
            } onGracefulShutdown: {
                listener.close(promise: nil)
            }
        } onCancel: {
            listener.close(promise: nil)
        }
        await connections.close(within: shutdownGrace, on: group.next())
    }
}

/// The connections that are open, so that an ending gateway leaves none behind.
private final class OpenConnections: Sendable {
    private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])

    func add(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        channels.withLock { $0[id] = channel }
        channel.closeFuture.whenComplete { [self] _ in channels.withLock { $0[id] = nil } }
    }

    /// Lets exchanges end, and closes what is left when the grace time is over or the task is cancelled.
    func close(within grace: Duration, on loop: any EventLoop) async {
        let open = channels.withLock { Array($0.values) }
        for channel in open { channel.pipeline.fireUserInboundEventTriggered(DrainConnection()) }
        let deadline = loop.scheduleTask(in: TimeAmount(grace)) { self.closeAll() }
        await withTaskCancellationHandler {
            try? await EventLoopFuture.andAllComplete(open.map(\.closeFuture), on: loop).get()
        } onCancel: {
            closeAll()
        }
        deadline.cancel()
    }

    private func closeAll() {
        for channel in channels.withLock({ Array($0.values) }) {
            channel.pipeline.fireUserInboundEventTriggered(EndConnection())
        }
    }
}

/// Asks a connection to close as soon as no exchange is under way.
struct DrainConnection: Sendable {}

/// Asks a connection to close now, with a goodbye where its protocol has one.
struct EndConnection: Sendable {}
