import HTTPExchange
import NIOCore
import Routing
import Settings
import TunnelProtocol
import TunnelTransport

/// What all connections of the front door share.
struct ProxyContext: Sendable {
    var cache: RouteCache
    var tunnels: TunnelRegistry
    var policy: ForwardingPolicy
    var trustedProxies: [CIDRBlock]
    var accessLog: AccessLog
    var refusals: RefusalMetrics
    /// `http` or `https`.
    var scheme: String
    /// The value of `Strict-Transport-Security` in every answer; nil for none.
    var transportSecurity: String?
    /// Where requests are not carried but sent to TLS.
    var redirect: HTTPSRedirect?
    var limits: FrontLimits
}

/// One public connection: reads requests, one at a time, and starts an exchange for each.
///
/// What a client sends ahead stays unread, first in `HTTP1RequestReader` and then with the kernel, until the request
/// before it is answered and the client has taken the answer.
final class ProxyHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    /// How long a client may go on sending a request that is answered already.
    private static let lingerTime = TimeAmount.seconds(2)
    /// How long a connection of an ending gateway has to be without a request to be closed: one may be on its way.
    private static let drainIdleTime = TimeAmount.seconds(1)

    /// Bytes gathered beyond which what a client can do without is left out.
    private static let mostOptionalBytes = 64 * 1024

    private let shared: ProxyContext
    private var context: ChannelHandlerContext?
    private var reader: HTTP1RequestReader
    private var writer = BurstWriter()
    private var exchange: FrontExchange?
    private var requestIDs = RequestIDSource()
    private var traces = TraceSource()
    private let client: String
    private let isTrusted: Bool
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
    private var timer: Scheduled<Void>?
    private var timerDeadline = NIODeadline.distantFuture
    private var idleSince = NIODeadline.now()
    /// When the head has to be whole whose beginning is here.
    private var headDeadline: NIODeadline?
    /// Bytes of answers that had not reached the socket when the timer last looked.
    private var lastUnsent = 0

    /// - Parameter client: who speaks on the connection.
    init(shared: ProxyContext, client: ClientAddress = ClientAddress(nil), isDraining: Bool = false) {
        self.shared = shared
        self.client = client.text
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
        timer?.cancel()
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
            if !isFlushing, flush() { exchange?.flushed() }
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
                close(by: deadline)
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
            let exchange = FrontExchange(
                unreadable: error, id: requestIDs.make(), client: client, handler: self)
            self.exchange = exchange
            return exchange.fail(error.failure)
        }
        exchange.fail(error.failure)
    }

    // MARK: Starting

    private func start(_ request: HTTP1Request) {
        let exchange = FrontExchange(
            request, id: requestIDs.id(for: request.fields), hasBody: reader.expectsBody, client: client, handler: self)
        self.exchange = exchange
        do throws(ExchangeFailure) {
            let target = try RequestTarget(request)
            exchange.record.host = target.host
            exchange.record.path = String(target.path)
            let trace = TraceContext(request.fields)
            var begunTrace: TraceContext?
            if trace == nil, shared.policy.traces != .pass {
                begunTrace = traces.begin(sampled: shared.policy.traces == .sampled)
            }
            exchange.record.traceID = (trace ?? begunTrace)?.traceID
            if let answer = shared.redirect?.answer(to: target, request.fields, isTrusted: isTrusted) {
                return exchange.received(.head(answer, endStream: true))
            }
            let route: ServedRoute
            switch shared.cache.lookup(host: target.host, path: target.path) {
            case .found(let found): route = found
            case .noSuchHost: throw .noSuchHost
            case .noSuchPath: throw .noSuchPath
            }
            exchange.record.cluster = route.cluster
            if let limiter = route.limiter, let quota = limiter.refusal(now: exchange.started) {
                exchange.quota = quota
                throw .rateLimited
            }
            if let length = reader.announcedLength, length > route.maxBodySize { throw .bodyTooLarge }
            let fields = shared.policy.requestFields(
                request.fields, client: client, isTrusted: isTrusted, scheme: shared.scheme,
                authority: target.authority, requestID: exchange.requestID, begunTrace: begunTrace,
                routeStrips: route.strippedRequestFields)
            exchange.start(
                RequestHead(
                    method: request.method, authority: target.authority, target: target.target,
                    upgrade: exchange.upgrade ?? "", fields: fields),
                timeouts: route.timeouts, maxBodySize: route.maxBodySize
            ) { [policy = shared.policy, isTrusted] trailers in
                policy.requestTrailers(trailers, isTrusted: isTrusted, routeStrips: route.strippedRequestFields)
            }
            forward(exchange, cluster: route.cluster, avoiding: nil, otherwise: .clusterOffline)
            ensureTimer(by: exchange.deadline)
        } catch {
            exchange.fail(error)
        }
    }

    /// Sends the exchange's request through a tunnel of the cluster.
    func forward(
        _ exchange: FrontExchange, cluster: String, avoiding: String?, otherwise failure: ExchangeFailure
    ) {
        guard let context, let head = exchange.head else { return }
        let loop = context.eventLoop
        let tunnel: ConnectedTunnel
        switch shared.tunnels.choose(for: cluster, on: loop, avoiding: avoiding, now: exchange.started) {
        case .tunnel(let chosen): tunnel = chosen
        case .full: return exchange.fail(.overloaded)
        case .limited(let quota):
            exchange.quota = quota
            return exchange.fail(.rateLimited)
        case .none: return exchange.fail(failure)
        }
        exchange.record.tunnel = tunnel.id
        exchange.attach(tunnel.tunnel.open(head, endStream: !exchange.keepsStreamOpen, receiver: exchange, on: loop))
    }

    /// Since when the cluster has had no tunnel, where that is known.
    func offlineSince(_ cluster: String) -> String? { shared.tunnels.offlineSince(cluster).map { "\($0)" } }

    // MARK: The exchange's wishes

    func gather(_ body: (inout ByteBuffer) -> Void) {
        guard context != nil else { return }
        writer.gather(body)
    }

    func write(_ bytes: ByteBuffer) {
        guard let context else { return }
        writer.write(bytes, to: context)
    }

    /// Whether the client takes this many bytes soon that it can do without.
    func hasRoom(_ bytes: Int) -> Bool {
        context?.channel.isWritable == true && writer.gatheredBytes + bytes <= Self.mostOptionalBytes
    }

    /// Hands on what was written. Returns whether nothing of it waits for the client to take more; with `all` it never
    /// does.
    @discardableResult
    func flush(all: Bool = true) -> Bool {
        guard let context else { return true }
        isFlushing = true
        defer { isFlushing = false }
        return writer.flush(to: context, all: all)
    }

    /// Whether so many bytes, flushed, are as good as with the client's socket, or will never be there.
    func isAsGoodAsSent(_ bytes: Int) -> Bool { context?.isAsGoodAsSent(bytes) ?? true }

    /// Calls `body` once what was flushed is with the client's socket, or will never be.
    func whenSent(_ body: @escaping () -> Void) {
        guard let context else { return body() }
        context.whenSent(body)
    }

    func holdRequest(_ held: Bool) {
        guard isHeld != held, !(held && hasEnded) else { return }
        isHeld = held
        if !held { readParts() }
    }

    /// Both sides have agreed to speak another protocol from here on, in which one may end before the other.
    func becomeOpaque() {
        try? context?.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        reader.becomeOpaque()
        readParts()
    }

    /// The exchange is over, and its answer written; the connection is closed behind it where it cannot be used again.
    ///
    /// - Parameter requestEnded: whether the client has sent all of its request. Where it has not, the connection is
    ///   read for a while after the answer: closing it over unread bytes would destroy the answer on its way.
    func finish(_ exchange: FrontExchange, reusable: Bool, requestEnded: Bool) {
        log(exchange)
        guard let context, self.exchange === exchange else { return }
        self.exchange = nil
        idleSince = .now()
        isHeld = false
        // Before the flush, which may tell that the client takes more.
        isClosing = !reusable || isDraining
        flush()
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
        close(by: .now() + Self.lingerTime)
        readIfWelcome()
    }

    private func close(by deadline: NIODeadline) {
        guard let context else { return }
        let channel = context.channel
        let closing = context.eventLoop.scheduleTask(deadline: deadline) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in closing.cancel() }
    }

    /// The application has said its last of another protocol; the client may still speak.
    func endOutput() {
        guard let context else { return }
        flush()
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.whenSent { handler.value.context?.close(mode: .output, promise: nil) }
    }

    /// The exchange is over, and the client has been told so in the words of its protocol.
    func sayGoodbye(_ exchange: FrontExchange) {
        forget(exchange)
        sayGoodbye(by: .now() + Self.lingerTime)
    }

    /// Lets the last word reach the client: what it still sends is read and thrown away until it has closed its side,
    /// because closing over unread bytes would destroy what is on its way.
    private func sayGoodbye(by deadline: NIODeadline) {
        guard let context else { return }
        isClosing = true
        isHeld = false
        idleSince = .now()
        flush()
        close(by: deadline)
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.whenSent { handler.value.answered(requestEnded: false) }
        readIfWelcome()
    }

    /// The exchange is over, and the client must see that its answer is incomplete.
    func abort(_ exchange: FrontExchange) {
        log(exchange)
        if self.exchange === exchange { self.exchange = nil }
        isClosing = true
        flush()
        context?.close(promise: nil)
    }

    /// The exchange is over because the client is gone.
    func forget(_ exchange: FrontExchange) {
        log(exchange)
        if self.exchange === exchange { self.exchange = nil }
    }

    private func log(_ exchange: FrontExchange) {
        exchange.record.duration = .now() - exchange.started
        shared.accessLog.record(exchange.record)
    }

    var eventLoop: (any EventLoop)? { context?.eventLoop }
    var refusals: RefusalMetrics { shared.refusals }
    /// The value of `Strict-Transport-Security` in every answer.
    var transportSecurity: String? { shared.transportSecurity }
    /// Whether the connection can carry another request, as far as the gateway is concerned.
    var keepsAlive: Bool { !isDraining }

    /// A request that comes while TLS says goodbye is not taken any more.
    private func closeNow(_ context: ChannelHandlerContext) {
        isClosing = true
        context.close(promise: nil)
    }

    // MARK: Time

    /// One timer a connection; it is not moved with every request but looks again when it fires.
    private func schedule(at deadline: NIODeadline) {
        guard let context else { return }
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(deadline: deadline) { handler.value.timerFired() }
        timerDeadline = deadline
    }

    /// An exchange began or has an earlier deadline than the timer.
    func ensureTimer(by deadline: NIODeadline) {
        guard deadline < timerDeadline else { return }
        timer?.cancel()
        schedule(at: deadline)
    }

    private func timerFired() {
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
