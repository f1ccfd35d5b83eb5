package import Logging
package import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Synchronization

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The listener for those who run the program: `/metrics`, `/healthz`, `/readyz` and further JSON pages, read only,
/// over plain HTTP/1.1. It has no authentication: bind it where only they can reach it.
package struct OperationsListener: Service {
    private let host: String
    private let port: Int
    private let router: OperationsRouter
    private let group: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable (SocketAddress) -> Void

    /// - Parameters:
    ///   - host: The address to bind, such as `127.0.0.1` or `0.0.0.0`; `::` stands for all addresses of the machine, and
    ///     for those of IPv4 where it has no IPv6.
    ///   - port: 0 for any free port.
    ///   - metrics: What `/metrics` shows.
    ///   - readiness: Why the program cannot serve at the moment, one short text each; empty when it can. Called on an
    ///     event loop for each request to `/readyz`.
    ///   - routes: Further pages.
    ///   - group: Where connections are served.
    ///   - onListening: Told the address once it is bound.
    package init(
        host: String, port: Int, metrics: PrometheusRegistry,
        readiness: @escaping @Sendable () -> [String] = { [] },
        routes: [OperationsRoute] = [],
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, logger: Logger,
        onListening: @escaping @Sendable (SocketAddress) -> Void = { _ in }
    ) {
        self.host = host
        self.port = port
        self.router = OperationsRouter(metrics: metrics, readiness: readiness, routes: routes)
        self.group = group
        self.logger = logger
        self.onListening = onListening
    }

    /// Serves until graceful shutdown or cancellation, then closes its connections. Throws when it cannot bind.
    package func run() async throws {
        let connections = Connections()
        let listener = try await bind(connections)

        if let address = listener.localAddress {
            let name = address.ipAddress ?? host
            let shown = name.contains(":") ? "[\(name)]" : name
            logger.info(
                "Listening", metadata: ["listener": "admin", "address": "\(shown):\(address.port ?? port)"])
            onListening(address)
        }
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                // Closing is the only way it ends, and what it was closed with does not matter.
                _ = try? await listener.closeFuture.get()
            } onGracefulShutdown: {
                listener.close(promise: nil)
            }
        } onCancel: {
            listener.close(promise: nil)
        }
        connections.closeAll()
    }

    private func bind(_ connections: Connections) async throws -> any Channel {
        guard host == "::" else { return try await bootstrap(connections).bind(host: host, port: port).get() }
        do {
            // Whatever the machine's default is: probes come by the family that the cluster has.
            return try await bootstrap(connections)
                .serverChannelOption(ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only), value: 0)
                .bind(host: host, port: port).get()
        } catch let error as IOError where Self.meansNoIPv6(error.errnoCode) {
            return try await bootstrap(connections).bind(host: "0.0.0.0", port: port).get()
        }
    }

    /// Whether binding an IPv6 address failed with an error number that says that the machine has no IPv6, which kernels
    /// do at either of two steps.
    package static func meansNoIPv6(_ errorNumber: CInt) -> Bool {
        errorNumber == EAFNOSUPPORT || errorNumber == EADDRNOTAVAIL
    }

    private func bootstrap(_ connections: Connections) -> ServerBootstrap {
        let router = router
        return ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard connections.add(channel) else { throw TooManyConnections() }
                    try channel.pipeline.syncOperations.addHandler(
                        IdleStateHandler(allTimeout: .seconds(60)))
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                        withPipeliningAssistance: true, withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(OperationsHandler(router: router))
                }
            }
    }
}

/// Thrown while a connection is set up, which closes it.
private struct TooManyConnections: Error {}

/// The open connections of the listener.
private final class Connections: Sendable {
    /// Scrapers and probes need a handful.
    private static let limit = 128

    private let channels = Mutex<[ObjectIdentifier: any Channel]?>([:])

    /// False when there are too many, or the listener has ended.
    func add(_ channel: any Channel) -> Bool {
        let added = channels.withLock { channels in
            guard let count = channels?.count, count < Self.limit else { return false }
            channels?[ObjectIdentifier(channel)] = channel
            return true
        }
        if added {
            channel.closeFuture.whenComplete { _ in
                self.channels.withLock { _ = $0?.removeValue(forKey: ObjectIdentifier(channel)) }
            }
        }
        return added
    }

    func closeAll() {
        let open = channels.withLock { channels in
            defer { channels = nil }
            return channels.map { Array($0.values) } ?? []
        }
        for channel in open { channel.close(promise: nil) }
    }
}
