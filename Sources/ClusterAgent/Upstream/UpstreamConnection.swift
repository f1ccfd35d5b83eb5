import HTTPExchange
import NIOCore
import TunnelProtocol
import TunnelTransport

/// One connection to a backend, used by one exchange at a time.
///
/// It returns to its pool by itself once both the request and the response have ended and both sides want to keep it.
final class UpstreamConnection: ChannelDuplexHandler, UpstreamLink {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    let endpoint: UpstreamEndpoint
    private let pool: UpstreamPool
    private var user: (any UpstreamUser)?
    private var context: ChannelHandlerContext?
    private var reader = HTTP1ResponseReader()
    private var writer = BurstWriter()
    private var error: (any Error)?
    private var requestEnded = true
    private var responseEnded = true
    private var keepsAlive = true
    private var isChunked = false
    private var isHeld = false
    /// The connection is gone.
    private var hasEnded = false
    private var isReadPending = false
    /// The flush under way may tell that the backend takes more.
    private var isFlushing = false
    private var isReadingParts = false
    /// When it was given back to the pool.
    private(set) var idleSince = NIODeadline.now()
    private(set) var isReused = false

    init(endpoint: UpstreamEndpoint, pool: UpstreamPool) {
        self.endpoint = endpoint
        self.pool = pool
    }

    var responseHasBody: Bool { reader.expectsBody }

    var isActive: Bool { context?.channel.isActive ?? false }

    // MARK: The exchange's wishes

    func begin(_ head: RequestHead, body: Bool, upgrades: Bool, for user: any UpstreamUser) {
        self.user = user
        requestEnded = false
        responseEnded = false
        keepsAlive = true
        reader.begin(method: head.method)
        isChunked = body && !head.fields.contains(name: "Content-Length")
        let fields = HopByHop.removed(from: head.fields) { _, kind in kind == .host }
        writer.gather { output in
            output.writeHTTP1RequestLine(method: head.method, target: head.target)
            output.writeHTTP1Field("Host", head.authority)
            output.writeHTTP1Fields(fields)
            if isChunked { output.writeHTTP1Field("Transfer-Encoding", "chunked") }
            if upgrades {
                output.writeHTTP1Field("Connection", "upgrade")
                output.writeHTTP1Field("Upgrade", head.upgrade)
            }
            output.writeHTTP1HeadEnd()
        }
    }

    func send(_ bytes: ByteBuffer) {
        guard let context else { return }
        if isChunked { writer.gather { $0.writeHTTP1ChunkLine(bytes.readableBytes) } }
        writer.write(bytes, to: context)
        if isChunked { writer.gather { $0.writeHTTP1HeadEnd() } }
    }

    func endRequest(trailers: HeaderFields?) {
        if isChunked { writer.gather { $0.writeHTTP1LastChunk(trailers: trailers.map(HopByHop.trailers)) } }
        requestEnded = true
        releaseIfOver()
    }

    func becomeOpaque() {
        try? context?.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    }

    func endOutput() { whenAllIsSent { $0.close(mode: .output, promise: nil) } }

    func end() {
        user = nil
        guard let channel = context?.channel else { return }
        let bound = channel.eventLoop.scheduleTask(in: pool.settings.timeouts.idle) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in bound.cancel() }
        whenAllIsSent { $0.close(promise: nil) }
    }

    private func whenAllIsSent(_ body: @escaping (ChannelHandlerContext) -> Void) {
        guard let context else { return }
        _ = flush(to: context, all: true)
        context.whenSent { [self] in if let context = self.context { body(context) } }
    }

    func hold(_ held: Bool) {
        // What has come before the end is passed on, whoever takes it: there is no more to hold back.
        guard isHeld != held, !(held && hasEnded) else { return }
        isHeld = held
        guard !held else { return }
        readParts()
        readIfWelcome()
    }

    private func readIfWelcome() {
        guard isReadPending, !isHeld else { return }
        isReadPending = false
        context?.read()
    }

    /// The connection cannot be used again.
    func cancel() {
        user = nil
        context?.close(promise: nil)
    }

    func close() { context?.close(promise: nil) }

    func giveBack() { pool.giveBack(self) }

    func flush() {
        guard let context, writer.hasOutput, flush(to: context, all: false), let user else { return }
        let size = user.takeOwedCredit()
        guard size > 0 else { return }
        guard !context.isAsGoodAsSent(size) else { return user.sent(size) }
        context.whenSent { user.sent(size) }
    }

    private func flush(to context: ChannelHandlerContext, all: Bool) -> Bool {
        isFlushing = true
        defer { isFlushing = false }
        return writer.flush(to: context, all: all)
    }

    private func releaseIfOver() {
        guard requestEnded, responseEnded, user != nil else { return }
        user = nil
        isHeld = false
        readIfWelcome()
        // Bytes that nobody asked for: whose answer they are cannot be known.
        guard keepsAlive, isActive, reader.bufferedBytes == 0 else {
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
        guard !responseEnded else {
            // Bytes that nobody asked for: whose answer they are cannot be known.
            context.close(promise: nil)
            return
        }
        reader.append(unwrapInboundIn(data))
        readParts()
    }

    private func readParts() {
        // What a part leads to may bring the exchange's wishes back here.
        guard !isReadingParts else { return }
        isReadingParts = true
        defer { isReadingParts = false }
        do throws(HTTP1Error) {
            while !isHeld, let user, let part = try reader.next() {
                switch part {
                case .head(let head) where head.status >= 200 || head.status == 101:
                    keepsAlive = head.status != 101 && head.version.keepsAlive(head.fields)
                case .end: responseEnded = true
                default: break
                }
                user.received(part)
                if responseEnded {
                    user.receivedBurst()
                    releaseIfOver()
                }
            }
        } catch {
            self.error = error
            context?.close(promise: nil)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, !isFlushing { flush() }
        context.fireChannelWritabilityChanged()
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

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event as? ChannelEvent == .inputClosed else { return context.fireUserInboundEventTriggered(event) }
        endInput()
        user?.backendEnded()
    }

    /// All that the backend has sent is here, even where the tunnel took no more of it.
    private func endInput() {
        hasEnded = true
        guard error == nil, !responseEnded else { return }
        isHeld = false
        readParts()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.error = error
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        pool.forget(self)
        endInput()
        // The connection's end is the end of an answer without a length.
        if error == nil, reader.endsWithConnection, !responseEnded {
            responseEnded = true
            user?.received(.end(nil))
            user?.receivedBurst()
        }
        let user = user
        self.user = nil
        user?.connectionClosed(error)
        context.fireChannelInactive()
    }
}

@available(*, unavailable)
extension UpstreamConnection: Sendable {}
