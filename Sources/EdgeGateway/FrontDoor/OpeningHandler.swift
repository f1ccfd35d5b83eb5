import NIOCore

/// A connection whose first bytes say what follows them, and hence which handlers it gets: the PROXY protocol's header, or
/// the preface of HTTP/2.
final class OpeningHandler<Opening, Invalid: Error>: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    /// Reads what the connection opens with, and takes it out; `nil` until more bytes arrive.
    typealias Take = (inout ByteBuffer) throws(Invalid) -> Opening?

    private let timeout: TimeAmount
    private let take: Take
    private let refused: (Invalid?) -> Void
    private let serve: (Opening, any Channel) throws -> Void
    private var received = ByteBuffer()
    private var timer: Scheduled<Void>?
    /// What an ending gateway has asked of the connection meanwhile.
    private var drain: ConnectionDrain?
    private var isOver = false

    /// - Parameters:
    ///   - timeout: from the connection to the end of what it opens with.
    ///   - refused: is told why the connection is closed; nil: the time is over.
    ///   - serve: adds the handlers of what follows.
    init(
        timeout: TimeAmount, take: @escaping Take, refused: @escaping (Invalid?) -> Void,
        serve: @escaping (Opening, any Channel) throws -> Void
    ) {
        self.timeout = timeout
        self.take = take
        self.refused = refused
        self.serve = serve
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: timeout) {
            let (handler, context) = bound.value
            handler.refuse(nil, context)
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
        let opening: Opening
        do throws(Invalid) {
            guard let found = try take(&received) else { return }
            opening = found
        } catch {
            return refuse(error, context)
        }
        isOver = true
        do {
            try serve(opening, context.channel)
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

    private func refuse(_ reason: Invalid?, _ context: ChannelHandlerContext) {
        guard !isOver else { return }
        isOver = true
        refused(reason)
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension OpeningHandler: Sendable {}
