import NIOCore
import NIOHTTP1
import NIOPosix
import TunnelTransport

/// Accepts WebSocket connections as the gateway does, at any path and without a token.
enum EchoListener {
    static func bind(address: String, port: Int, group: MultiThreadedEventLoopGroup) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                        withPipeliningAssistance: false,
                        withServerUpgrade: (upgraders: [Upgrader()], completionHandler: { _ in }),
                        withErrorHandling: true)
                }
            }
            .bind(host: address, port: port).get()
    }

    private final class Upgrader: HTTPServerProtocolUpgrader {
        let supportedProtocol = "websocket"
        let requiredUpgradeHeaders: [String] = []

        func buildUpgradeResponse(
            channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
        ) -> EventLoopFuture<HTTPHeaders> {
            channel.eventLoop.makeCompletedFuture {
                try TunnelHandshake.checkUpgrade(upgradeRequest)
                return TunnelHandshake.answer(to: upgradeRequest, subprotocol: nil)
            }
        }

        func upgrade(context: ChannelHandlerContext, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Void> {
            context.eventLoop.makeCompletedFuture {
                try context.pipeline.syncOperations.addHandler(EchoHandler(role: .server))
            }
        }
    }
}
