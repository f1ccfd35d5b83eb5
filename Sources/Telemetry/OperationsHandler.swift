import NIOCore
import NIOHTTP1

/// Answers the requests of one connection to the operations listener, one after another.
final class OperationsHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// Nobody has a reason to send more to a page that is only read.
    private static let largestIgnoredBody = 65_536

    private let router: OperationsRouter
    private var request: HTTPRequestHead?
    private var ignoredBytes = 0

    init(router: OperationsRouter) {
        self.router = router
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            request = head
            ignoredBytes = 0
        case .body(let bytes):
            ignoredBytes += bytes.readableBytes
            if ignoredBytes > Self.largestIgnoredBody { context.close(promise: nil) }
        case .end:
            guard let request else { return }
            self.request = nil
            respond(to: request, context: context)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func respond(to request: HTTPRequestHead, context: ChannelHandlerContext) {
        switch router.reply(method: request.method, target: request.uri) {
        case .now(let answer): write(answer, to: request, context: context)
        case .later(let work):
            // Requests that come meanwhile wait for their turn in the pipeline.
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            context.eventLoop.makeFutureWithTask { await work() }.whenSuccess { answer in
                let (handler, context) = bound.value
                if context.channel.isActive { handler.write(answer, to: request, context: context) }
            }
        }
    }

    private func write(_ answer: OperationsRouter.Answer, to request: HTTPRequestHead, context: ChannelHandlerContext) {
        var headers: HTTPHeaders = [
            "content-type": answer.contentType, "content-length": String(answer.body.count),
            "cache-control": "no-store",
        ]
        if answer.status == .methodNotAllowed { headers.add(name: "allow", value: "GET, HEAD") }
        if !request.isKeepAlive { headers.add(name: "connection", value: "close") }
        let head = HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.method != .HEAD {
            context.write(
                wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: answer.body)))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        if !request.isKeepAlive { context.close(mode: .output, promise: nil) }
    }
}
