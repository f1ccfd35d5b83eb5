import NIOCore

/// A connection whose peer says first whom it speaks for; in front of TLS and HTTP alike.
final class ProxyHeaderHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let timeout: TimeAmount
    private let serve: (ProxyHeader, any Channel) throws -> Void
    private let refused: (ConnectionRefusal, String) -> Void
    private var received = ByteBuffer()
    private var timer: Scheduled<Void>?
    /// What an ending gateway has asked of the connection meanwhile.
    private var drain: ConnectionDrain?
    private var isOver = false

    /// - Parameters:
    ///   - timeout: from the connection to the header's end.
    ///   - refused: is told why the connection is closed, with a sentence's end for the log.
    ///   - serve: adds the handlers of what follows the header.
    init(
        timeout: TimeAmount, refused: @escaping (ConnectionRefusal, String) -> Void,
        serve: @escaping (ProxyHeader, any Channel) throws -> Void
    ) {
        self.timeout = timeout
        self.refused = refused
        self.serve = serve
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: timeout) {
            let (handler, context) = bound.value
            handler.refuse(.proxyHeaderTimeout, "has sent no whole header of the PROXY protocol in time", context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        isOver = true
        timer?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        received.writeImmutableBuffer(unwrapInboundIn(data))
        let header: ProxyHeader
        do throws(ProxyHeader.Invalid) {
            guard let found = try ProxyHeader.take(from: &received) else { return }
            header = found
        } catch {
            return refuse(.proxyHeader, error.description, context)
        }
        isOver = true
        do {
            try serve(header, context.channel)
        } catch {
            return context.close(promise: nil)
        }
        if let drain { context.fireUserInboundEventTriggered(drain) }
        if received.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(received)) }
        received = ByteBuffer()
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let drain = event as? ConnectionDrain else { return context.fireUserInboundEventTriggered(event) }
        self.drain = drain
        if case .close = drain { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func refuse(_ reason: ConnectionRefusal, _ detail: String, _ context: ChannelHandlerContext) {
        guard !isOver else { return }
        isOver = true
        refused(reason, detail)
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension ProxyHeaderHandler: Sendable {}
