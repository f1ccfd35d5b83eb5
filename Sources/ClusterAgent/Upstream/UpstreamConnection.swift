import NIOCore
import NIOHTTP1

/// What a connection tells the exchange that uses it.
protocol UpstreamUser: AnyObject {
    func received(_ part: HTTPClientResponsePart)
    func receivedBurst()
    /// The connection is gone; `error` where it did not end by itself.
    func connectionClosed(_ error: (any Error)?)
}

/// One connection to a backend, used by one exchange at a time.
///
/// It returns to its pool by itself once both the request and the response have ended and both sides want to keep it.
final class UpstreamConnection: ChannelDuplexHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundIn = HTTPClientRequestPart
    typealias OutboundOut = HTTPClientRequestPart

    let endpoint: UpstreamEndpoint
    private let pool: UpstreamPool
    private weak var user: (any UpstreamUser)?
    private var context: ChannelHandlerContext?
    private var error: (any Error)?
    private var requestEnded = true
    private var responseEnded = true
    private var keepsAlive = true
    private var isHeld = false
    private var isReadPending = false
    private var isFlushScheduled = false
    /// When it was given back to the pool.
    private(set) var idleSince = NIODeadline.now()
    /// Whether it has carried an exchange before: then the backend may have closed it already.
    private(set) var isReused = false

    init(endpoint: UpstreamEndpoint, pool: UpstreamPool) {
        self.endpoint = endpoint
        self.pool = pool
    }

    var isActive: Bool { context?.channel.isActive ?? false }

    // MARK: The exchange's wishes

    /// Starts an exchange.
    func begin(_ head: HTTPRequestHead, for user: any UpstreamUser) {
        self.user = user
        requestEnded = false
        responseEnded = false
        keepsAlive = true
        write(.head(head), promise: nil)
    }

    func send(_ bytes: ByteBuffer, promise: EventLoopPromise<Void>?) {
        write(.body(.byteBuffer(bytes)), promise: promise)
    }

    func endRequest(trailers: HTTPHeaders?) {
        write(.end(trailers), promise: nil)
        requestEnded = true
        releaseIfOver()
    }

    func hold(_ held: Bool) {
        isHeld = held
        if !held, isReadPending {
            isReadPending = false
            context?.read()
        }
    }

    /// Gives the exchange up: the connection cannot be used again.
    func cancel() {
        user = nil
        context?.close(promise: nil)
    }

    func close() { context?.close(promise: nil) }

    private func write(_ part: HTTPClientRequestPart, promise: EventLoopPromise<Void>?) {
        guard let context else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        context.write(wrapOutboundOut(part), promise: promise)
        guard !isFlushScheduled else { return }
        // What one burst brings leaves in one system call.
        isFlushScheduled = true
        let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            connection.value.isFlushScheduled = false
            connection.value.context?.flush()
        }
    }

    private func releaseIfOver() {
        guard requestEnded, responseEnded else { return }
        user = nil
        hold(false)
        guard keepsAlive, isActive else {
            context?.close(promise: nil)
            return
        }
        isReused = true
        idleSince = .now()
        pool.giveBack(self)
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        guard !responseEnded else {
            // Bytes that nobody asked for: whose answer they are cannot be known.
            context.close(promise: nil)
            return
        }
        switch part {
        case .head(let head) where head.status.code >= 200: keepsAlive = head.isKeepAlive
        case .end: responseEnded = true
        default: break
        }
        let user = user
        user?.received(part)
        if responseEnded {
            user?.receivedBurst()
            releaseIfOver()
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        user?.receivedBurst()
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        if isHeld {
            isReadPending = true
        } else {
            context.read()
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.error = error
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        pool.forget(self)
        let user = user
        self.user = nil
        user?.connectionClosed(error)
        context.fireChannelInactive()
    }
}

@available(*, unavailable)
extension UpstreamConnection: Sendable {}
