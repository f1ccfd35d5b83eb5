import NIOCore
import NIOPosix

/// A line to a gateway that carries some three megabytes a second there, and keeps little of what waits.
enum SlowLine {
    private static let chunk = 16 * 1024
    private static let interval = TimeAmount.milliseconds(5)

    /// - Parameter target: the gateway's port. Who comes before it is known is sent away.
    static func listen(to target: Box<Int>) async throws -> any Channel {
        try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.socketOption(.so_rcvbuf), value: 64 * 1024)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: chunk))
            .childChannelInitializer { front in
                front.eventLoop.makeCompletedFuture {
                    guard let port = target.value else { throw ChannelError.ioOnClosedChannel }
                    try front.pipeline.syncOperations.addHandler(Near(port: port))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    /// The agent's side.
    private final class Near: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let port: Int
        private var far: (any Channel)?
        private var clock: RepeatedTask?

        init(port: Int) { self.port = port }

        func channelActive(context: ChannelHandlerContext) {
            let near = context.channel
            let bound = NIOLoopBound(self, eventLoop: near.eventLoop)
            ClientBootstrap(group: near.eventLoop)
                .channelInitializer { far in
                    far.eventLoop.makeCompletedFuture {
                        try far.pipeline.syncOperations.addHandler(Far(near: near))
                    }
                }
                .connect(host: "127.0.0.1", port: port)
                .whenComplete { result in
                    guard case .success(let far) = result else { return near.close(promise: nil) }
                    bound.value.far = far
                    bound.value.clock = near.eventLoop.scheduleRepeatedTask(
                        initialDelay: .zero, delay: SlowLine.interval
                    ) { _ in near.read() }
                }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            far?.writeAndFlush(unwrapInboundIn(data), promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            clock?.cancel()
            far?.close(promise: nil)
        }
    }

    /// The gateway's side.
    private final class Far: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let near: any Channel

        init(near: any Channel) { self.near = near }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            near.writeAndFlush(unwrapInboundIn(data), promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) { near.close(promise: nil) }
    }
}
