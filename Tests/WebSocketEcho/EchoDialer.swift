import NIOCore
import NIOHTTP1
import NIOPosix
import TunnelTransport

/// Dials WebSocket connections as the agent does, without a token, and echoes until they end.
struct EchoDialer {
    var port: Int
    var group: MultiThreadedEventLoopGroup

    /// Returns when the connection has ended.
    ///
    /// - Throws: where no WebSocket connection came up.
    func run(_ target: String) async throws {
        let loop = group.next()
        let ended = loop.makePromise(of: Void.self)
        let connecting = ClientBootstrap(group: loop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { [port] channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHTTPClientHandlers(
                        leftOverBytesStrategy: .forwardBytes,
                        withClientUpgrade: (upgraders: [Upgrader(ended: ended)], completionHandler: { _ in }))
                    try pipeline.addHandler(Asking(target: target, host: "127.0.0.1:\(port)", ended: ended))
                }
            }
            .connect(host: "127.0.0.1", port: port)
        connecting.cascadeFailure(to: ended)
        try await ended.futureResult.get()
    }

    private struct NotUpgraded: Error {
        var target: String
        /// What was answered instead, if anything.
        var status: UInt?
    }

    private final class Upgrader: NIOHTTPClientProtocolUpgrader {
        let supportedProtocol = "websocket"
        let requiredUpgradeHeaders: [String] = []
        private let key = TunnelHandshake.makeKey()
        private let ended: EventLoopPromise<Void>

        init(ended: EventLoopPromise<Void>) { self.ended = ended }

        func addCustom(upgradeRequestHeaders fields: inout HTTPHeaders) {
            fields.add(contentsOf: TunnelHandshake.question(key: key, subprotocol: nil))
        }

        func shouldAllowUpgrade(upgradeResponse: HTTPResponseHead) -> Bool {
            TunnelHandshake.isAnswer(upgradeResponse.headers, to: key, subprotocol: nil)
        }

        func upgrade(context: ChannelHandlerContext, upgradeResponse: HTTPResponseHead) -> EventLoopFuture<Void> {
            context.eventLoop.makeCompletedFuture {
                let pipeline = context.pipeline.syncOperations
                try pipeline.removeHandler(context: pipeline.context(handlerType: Asking.self), promise: nil)
                try pipeline.addHandler(EchoHandler(role: .client, ended: ended))
            }
        }
    }

    /// Sends the request, and reports an answer that is no upgrade.
    private final class Asking: ChannelInboundHandler, RemovableChannelHandler {
        typealias InboundIn = HTTPClientResponsePart
        typealias OutboundOut = HTTPClientRequestPart
        private let target: String
        private let host: String
        private let ended: EventLoopPromise<Void>

        init(target: String, host: String, ended: EventLoopPromise<Void>) {
            self.target = target
            self.host = host
            self.ended = ended
        }

        func channelActive(context: ChannelHandlerContext) {
            let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target, headers: ["Host": host])
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard case .head(let head) = unwrapInboundIn(data) else { return }
            ended.fail(NotUpgraded(target: target, status: head.status.code))
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            ended.fail(NotUpgraded(target: target, status: nil))
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            ended.fail(error)
            context.close(promise: nil)
        }
    }
}
