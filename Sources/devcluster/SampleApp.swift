import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle

/// The sample application: a plain HTTP/1.1 server that the demo puts behind Services.
struct SampleApp: Service {
    let name: String
    let addresses: [ListenAddress]
    let logger: Logger

    func run() async throws {
        var listeners: [any Channel] = []
        do {
            for address in addresses { listeners.append(try await listen(address)) }
        } catch {
            for listener in listeners { try? await listener.close() }
            throw error
        }
        // Returns when the shutdown is asked for; being cancelled is another way of asking.
        try? await gracefulShutdown()
        for listener in listeners { try? await listener.close() }
    }

    private func listen(_ address: ListenAddress) async throws -> any Channel {
        let name = self.name
        let logger = self.logger
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.backlog, value: 1024)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline(withErrorHandling: true)
                    try pipeline.addHandler(SampleAppHandler(name: name, logger: logger))
                }
            }
            .bind(host: address.host, port: address.port).get()
        logger.info(
            "Listening",
            metadata: ["listener": "app", "address": "\(address.host):\(listener.localAddress?.port ?? address.port)"])
        return listener
    }
}
