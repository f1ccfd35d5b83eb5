import HTTPExchange
import NIOCore
import TunnelProtocol
import TunnelTransport

/// One public connection of HTTP/1.1: reads requests, one at a time, and starts an exchange for each.
///
/// What a client sends ahead stays unread, first in `HTTP1RequestReader` and then with the kernel, until the request
/// before it is answered and the client has taken the answer.
final class ProxyHandler: ChannelDuplexHandler, FrontClient, TimedConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    /// How long a client may go on sending a request that is answered already.
    private static let lingerTime = TimeAmount.seconds(2)
    /// How long a connection of an ending gateway has to be without a request to be closed: one may be on its way.
    private static let drainIdleTime = TimeAmount.seconds(1)

    /// Bytes gathered beyond which what a client can do without is left out.
    private static let mostOptionalBytes = 64 * 1024

    let shared: ProxyContext
    private(set) var context: ChannelHandlerContext?
    private var reader: HTTP1RequestReader
    private var writer = BurstWriter()
    private var exchange: FrontExchange?
    private var answer = HTTP1Answer()
    private var requestIDs = RequestIDSource()
    private var traces = TraceSource()
    let address: String
    let isTrusted: Bool
    /// The exchange wants no more of the request for now.
    private var isHeld = false
    /// The client has said its last: there is no more to hold back.
    private var hasEnded = false
    /// The last answer is with the socket.
    private var hasAnswered = false
    private var isReadPending = false
    /// The flush under way may tell that the client takes more.
    private var isFlushing = false
    private var isReadingParts = false
    private var isClosing = false
    /// The gateway is ending: no request after the next, or the one under way.
    private var isDraining: Bool
    /// Nor is one waited for.
    private var closesWhenIdle = false
    var timer = ConnectionTimer()
    private var idleSince = NIODeadline.now()
    /// When the head has to be whole whose beginning is here.
    private var headDeadline: NIODeadline?
    /// Bytes of answers that had not reached the socket when the timer last looked.
    private var lastUnsent = 0

    /// - Parameter client: who speaks on the connection.
    init(shared: ProxyContext, client: ClientAddress = ClientAddress(nil), isDraining: Bool = false) {
        self.shared = shared
        address = client.text
        reader = HTTP1RequestReader(limits: shared.limits.http1)
        isTrusted = client.isIn(shared.trustedProxies)
        self.isDraining = isDraining
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        schedule(at: idleSince + keepAlive)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer.cancel()
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Behind the last answer bytes are read so that they do not destroy it, and thrown away.
        guard !isClosing else { return }
        reader.append(unwrapInboundIn(data))
        readParts()
    }

    func read(context: ChannelHandlerContext) {
        if mayRead { context.read() } else { isReadPending = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            if !isFlushing { flush() }
            readParts()
        }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        endInput()
        exchange?.clientClosed()
        context.fireChannelInactive()
    }

    /// No more comes; what the client said last of another protocol has been read, however little the cluster takes.
    private func endInput() {
        hasEnded = true
        isHeld = false
        readParts()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        exchange?.clientClosed()
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event as? ChannelEvent == .inputClosed {
            endInput()
            // What is written for a client that has closed its side only still leaves.
            if let exchange { exchange.clientEnded() } else if hasAnswered { context.close(promise: nil) }
            return
        }
        guard let drain = event as? ConnectionDrain else { return context.fireUserInboundEventTriggered(event) }
        isDraining = true
        switch drain {
        case .answerAndClose: break
        case .closeIfIdle:
            closesWhenIdle = true
            if exchange == nil { ensureTimer(by: idleSince + Self.drainIdleTime) }
        case .close(let deadline):
            if exchange?.gatewayEnds() == true {
                sayGoodbye(by: deadline)
            } else if exchange == nil, isClosing {
                context.close(by: deadline)
            } else {
                closeNow(context)
            }
        }
    }

    // MARK: Reading

    /// Whether bytes from the client are welcome: not while the answer to what is here waits for the cluster, or for the
    /// client to take it.
    private var mayRead: Bool {
        guard !isHeld else { return false }
        guard let exchange else { return isClosing || context?.channel.isWritable == true }
        return exchange.wantsRequest || reader.bufferedBytes == 0
    }

    private func readIfWelcome() {
        guard isReadPending, mayRead else { return }
        isReadPending = false
        context?.read()
    }

    /// Takes the parts of requests that have arrived, as far as there is an exchange to take them.
    private func readParts() {
        // An exchange that is over at once comes back here.
        guard !isReadingParts else { return }
        isReadingParts = true
        do throws(HTTP1Error) {
            while let context, !isClosing, !isHeld, exchange?.wantsRequest ?? context.channel.isWritable,
                let part = try reader.next()
            {
                switch part {
                case .head(let request): start(request)
                case .body(let bytes), .opaque(let bytes): exchange?.requestBody(bytes)
                case .end(let trailers): exchange?.requestEnded(trailers)
                }
            }
        } catch {
            refuse(error)
        }
        isReadingParts = false
        watchHead()
        readIfWelcome()
    }

    /// Time runs from a request's first byte, however the others trickle in.
    private func watchHead() {
        guard exchange == nil, !isClosing, reader.bufferedBytes > 0, context?.channel.isWritable == true else {
            guard headDeadline != nil else { return }
            headDeadline = nil
            // What had begun was an empty line: the connection is as idle as before.
            if exchange == nil { ensureTimer(by: idleSince + keepAlive) }
            return
        }
        guard headDeadline == nil else { return }
        let deadline = NIODeadline.now() + shared.limits.header
        headDeadline = deadline
        ensureTimer(by: deadline)
    }

    /// What the client sends cannot be understood, and so nothing that follows either.
    private func refuse(_ error: HTTP1Error) {
        guard let exchange else {
            let exchange = FrontExchange(unreadable: error, id: requestIDs.make(), client: self)
            answer = HTTP1Answer()
            self.exchange = exchange
            return exchange.fail(error.failure)
        }
        exchange.fail(error.failure)
    }

    private func start(_ request: HTTP1Request) {
        // Beside a body nobody could tell its end from where the other protocol begins.
        let hasBody = reader.expectsBody
        let exchange = FrontExchange(
            request, id: requestIDs.id(for: request.fields), hasBody: hasBody, upgrade: hasBody ? nil : request.upgrade,
            client: self)
        answer = HTTP1Answer(to: request)
        self.exchange = exchange
        exchange.start(request, announcedLength: reader.announcedLength)
    }

    // MARK: The exchange's wishes

    var spoken: FrontProtocol { .http11 }
    var eventLoop: (any EventLoop)? { context?.eventLoop }
    var knowsUpgrade: Bool { true }

    func beginTrace(sampled: Bool) -> TraceContext { traces.begin(sampled: sampled) }
    func problem(with head: ResponseHead) -> String? { nil }

    func inform(_ head: ResponseHead) {
        // Nobody has to be told (RFC 9110 §15.2): not a client that does not read.
        guard let context, answer.isHTTP11, context.channel.isWritable,
            writer.gatheredBytes + head.fields.byteCount <= Self.mostOptionalBytes
        else { return }
        writer.gather { answer.writeInformational(head, to: &$0) }
    }

    func answer(_ head: ResponseHead, endStream: Bool, requestStays: Bool) {
        guard context != nil else { return }
        let isLast = requestStays || isDraining
        writer.gather { answer.write(head, endStream: endStream, isLast: isLast, to: &$0) }
    }

    func write(_ bytes: ByteBuffer) {
        guard let context else { return }
        writer.gather { answer.writeBegin(of: bytes.readableBytes, to: &$0) }
        writer.write(bytes, to: context)
        writer.gather { answer.writeEndOfPart(to: &$0) }
    }

    func flush() { flush(all: false) }

    /// Hands on what was written, and returns its credit once it is with the client's socket, or will never be.
    ///
    /// - Parameter all: `false`: what is little may wait for the client to take more.
    private func flush(all: Bool) {
        guard let context else {
            if let exchange { exchange.sent(exchange.takeOwedCredit()) }
            return
        }
        isFlushing = true
        let isOut = writer.flush(to: context, all: all)
        isFlushing = false
        guard isOut, let exchange else { return }
        let size = exchange.takeOwedCredit()
        guard size > 0 else { return }
        guard !context.isAsGoodAsSent(size) else { return exchange.sent(size) }
        context.whenSent { exchange.sent(size) }
    }

    func hold(_ held: Bool) {
        guard isHeld != held, !(held && hasEnded) else { return }
        isHeld = held
        if !held { readParts() }
    }

    func switchProtocols(to chosen: String, _ fields: HeaderFields) {
        guard context != nil else { return }
        writer.gather { answer.writeSwitch(to: chosen, fields, to: &$0) }
        flush(all: true)
        // One side of the other protocol may end before the other.
        try? context?.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        reader.becomeOpaque()
        readParts()
    }

    /// The connection is closed behind an answer after which it cannot be used again. Where the client has not sent all of
    /// its request, the connection is read for a while after the answer: closing it over unread bytes would destroy the
    /// answer on its way.
    func end(trailers: HeaderFields?, requestEnded: Bool) {
        if context != nil { writer.gather { answer.writeEnd(trailers, to: &$0) } }
        // Before the next request of the connection may come in.
        flush(all: true)
        exchange = nil
        guard let context else { return }
        idleSince = .now()
        isHeld = false
        isClosing = !answer.keepsAlive || !requestEnded || isDraining
        guard isClosing else { return readParts() }
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.whenSent { handler.value.answered(requestEnded: requestEnded) }
    }

    /// The last answer is with the socket.
    private func answered(requestEnded: Bool) {
        guard let context else { return }
        hasAnswered = true
        guard !hasEnded, !requestEnded || reader.bufferedBytes > 0 else { return context.close(promise: nil) }
        context.close(mode: .output, promise: nil)
        context.close(by: .now() + Self.lingerTime)
        readIfWelcome()
    }

    func endOutput() {
        flush(all: true)
        guard let context else { return }
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.whenSent { handler.value.context?.close(mode: .output, promise: nil) }
    }

    func sayGoodbye() {
        forget()
        sayGoodbye(by: .now() + Self.lingerTime)
    }

    /// Lets the last word reach the client: what it still sends is read and thrown away until it has closed its side,
    /// because closing over unread bytes would destroy what is on its way.
    private func sayGoodbye(by deadline: NIODeadline) {
        guard let context else { return }
        isClosing = true
        isHeld = false
        idleSince = .now()
        flush(all: true)
        context.close(by: deadline)
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.whenSent { handler.value.answered(requestEnded: false) }
        readIfWelcome()
    }

    func abort() {
        isClosing = true
        flush(all: true)
        exchange = nil
        context?.close(promise: nil)
    }

    func forget() { exchange = nil }

    /// A request that comes while TLS says goodbye is not taken any more.
    private func closeNow(_ context: ChannelHandlerContext) {
        isClosing = true
        context.close(promise: nil)
    }

    // MARK: Time

    func timerFired() {
        guard let context else { return }
        if let exchange {
            exchange.checkDeadline()
        } else if let headDeadline, !closesWhenIdle {
            if headDeadline <= .now() { refuse(.tooSlow) }
        } else {
            // A client that still takes the end of its answer, however slowly, is not idle.
            let unsent = context.unsentBytes
            if unsent > 0, unsent != lastUnsent { idleSince = .now() }
            lastUnsent = unsent
            guard NIODeadline.now() - idleSince < keepAlive else { return closeNow(context) }
        }
        let next = exchange?.deadline ?? (closesWhenIdle ? nil : headDeadline) ?? idleSince + keepAlive
        schedule(at: max(next, .now() + .milliseconds(10)))
    }

    private var keepAlive: TimeAmount { closesWhenIdle ? Self.drainIdleTime : shared.limits.keepAlive }
}

@available(*, unavailable)
extension ProxyHandler: Sendable {}

extension HTTP1Request {
    /// The protocol that the client wants to switch to (RFC 9110 §7.8).
    ///
    /// Not HTTP/2: what is inside it would reach the application past this gateway's routes.
    fileprivate var upgrade: String? {
        guard version == .http11, let upgrade = UpgradeOffer.text(in: fields),
            fields.list("connection").contains(where: { $0.lowercased() == "upgrade" }),
            UpgradeOffer.mayPass(fields)
        else { return nil }
        return upgrade
    }
}
