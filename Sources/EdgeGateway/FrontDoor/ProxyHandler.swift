import HTTPExchange
import NIOCore
import NIOHTTP1
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
    /// `http` or `https`.
    var scheme: String
    /// How long a connection may stay without a request.
    var keepAlive: TimeAmount
}

/// One public connection: reads requests, one at a time, and starts an exchange for each.
///
/// Runs behind NIO's HTTP/1.1 codec and pipelining handler, which holds the next request back until this one is
/// answered.
final class ProxyHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// How long a client may go on sending a request that is answered already.
    private static let lingerTime = TimeAmount.seconds(2)
    /// How long a connection of an ending gateway has to be without a request to be closed: one may be on its way.
    private static let drainIdleTime = TimeAmount.seconds(1)

    private let shared: ProxyContext
    private var context: ChannelHandlerContext?
    private var exchange: FrontExchange?
    private var client = "unknown"
    private var isTrusted = false
    /// The exchange wants no more of the request for now.
    private var isHeld = false
    private var isReadPending = false
    private var isClosing = false
    /// The end of the last answer, while the socket takes nothing more.
    private var deferredEnd: AnswerEnd?
    /// The gateway is ending: no request after the next, or the one under way.
    private var isDraining: Bool
    /// Nor is one waited for.
    private var closesWhenIdle = false
    private var timer: Scheduled<Void>?
    private var timerDeadline = NIODeadline.distantFuture
    private var idleSince = NIODeadline.now()
    /// Bytes of answers that had not reached the socket when the timer last looked.
    private var lastUnsent = 0

    init(shared: ProxyContext, isDraining: Bool = false) {
        self.shared = shared
        self.isDraining = isDraining
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if let address = context.channel.remoteAddress?.ipAddress {
            client = address
            if let parsed = IPAddress(address) { isTrusted = shared.trustedProxies.contains { $0.contains(parsed) } }
        }
        schedule(at: idleSince + shared.keepAlive)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            guard exchange == nil, !isClosing else { return }
            start(head, context)
        case .body(let bytes):
            exchange?.requestBody(bytes)
        case .end(let trailers):
            exchange?.requestEnded(trailers)
        }
    }

    func read(context: ChannelHandlerContext) {
        if isHeld {
            isReadPending = true
        } else {
            context.read()
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        exchange?.clientClosed()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What the parser refuses is answered with 400 by NIO's error handler; after that the connection is done for.
        exchange?.clientClosed()
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let drain = event as? ConnectionDrain else { return context.fireUserInboundEventTriggered(event) }
        isDraining = true
        exchange?.closeAfterwards()
        deferredEnd?.reusable = false
        guard drain == .closeIfIdle else { return }
        closesWhenIdle = true
        if exchange == nil { ensureTimer(by: idleSince + Self.drainIdleTime) }
    }

    // MARK: Starting

    private func start(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let exchange = FrontExchange(head: head, client: client, handler: self)
        self.exchange = exchange
        if isDraining { exchange.closeAfterwards() }
        do throws(ExchangeFailure) {
            let target = try RequestTarget(head)
            exchange.record.host = target.host
            exchange.record.path = String(target.path)
            let route: ServedRoute
            switch shared.cache.lookup(host: target.host, path: target.path) {
            case .found(let found): route = found
            case .noSuchHost: throw .noSuchHost
            case .noSuchPath: throw .noSuchPath
            }
            exchange.record.cluster = route.cluster
            let fields = shared.policy.requestFields(
                head.headers, client: client, isTrusted: isTrusted, scheme: shared.scheme,
                authority: target.authority, routeStrips: route.strippedRequestFields)
            exchange.start(
                RequestHead(
                    method: head.method.rawValue, authority: target.authority, target: target.target, fields: fields),
                timeouts: route.timeouts)
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
        switch shared.tunnels.choose(for: cluster, on: loop, avoiding: avoiding) {
        case .tunnel(let chosen): tunnel = chosen
        case .full: return exchange.fail(.overloaded)
        case .none: return exchange.fail(failure)
        }
        exchange.record.tunnel = tunnel.id
        exchange.attach(tunnel.tunnel.open(head, endStream: !exchange.hasRequestBody, receiver: exchange, on: loop))
    }

    // MARK: The exchange's wishes

    var eventLoop: (any EventLoop)? { context?.eventLoop }

    func write(_ part: HTTPServerResponsePart, promise: EventLoopPromise<Void>? = nil) {
        guard let context else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        context.write(wrapOutboundOut(part), promise: promise)
    }

    func flush() { context?.flush() }

    func holdRequest(_ held: Bool) {
        isHeld = held
        if !held, isReadPending {
            isReadPending = false
            context?.read()
        }
    }

    /// Writes the end of an answer and closes the connection behind it where it cannot be used again.
    ///
    /// - Parameter requestEnded: whether the client has sent all of its request. Where it has not, the connection is
    ///   read for a while after the answer: closing it over unread bytes would destroy the answer on its way.
    func writeEnd(_ trailers: HTTPHeaders?, reusable: Bool, requestEnded: Bool) {
        guard let context else { return }
        context.flush()
        let end = AnswerEnd(trailers: trailers, reusable: reusable && !isDraining, requestEnded: requestEnded)
        guard context.channel.isWritable else {
            // The next pipelined request begins with the end of this answer: a client that does not read its answers
            // gets no more of them.
            deferredEnd = end
            return
        }
        write(end)
    }

    private func write(_ end: AnswerEnd) {
        guard let context else { return }
        guard !end.reusable else {
            context.writeAndFlush(wrapOutboundOut(.end(end.trailers)), promise: nil)
            return
        }
        isClosing = true
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(end.trailers))).whenComplete { _ in
            handler.value.answered(requestEnded: end.requestEnded)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, let end = deferredEnd {
            deferredEnd = nil
            write(end)
        }
        context.fireChannelWritabilityChanged()
    }

    /// The last answer is with the socket.
    private func answered(requestEnded: Bool) {
        guard let context else { return }
        guard !requestEnded else { return context.close(promise: nil) }
        context.close(mode: .output, promise: nil)
        let channel = context.channel
        let linger = context.eventLoop.scheduleTask(in: Self.lingerTime) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in linger.cancel() }
    }

    /// Bytes of answers that have not reached the socket.
    private var unsentBytes: Int { (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0 }

    /// The exchange is over.
    func finished(_ exchange: FrontExchange) {
        exchange.record.duration = .now() - exchange.started
        shared.accessLog.record(exchange.record)
        guard self.exchange === exchange else { return }
        self.exchange = nil
        idleSince = .now()
        holdRequest(false)
    }

    /// Breaks the connection behind what was written: the client must see that the answer is incomplete.
    func abort() {
        context?.flush()
        context?.close(promise: nil)
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
        } else {
            // A client that still takes the end of its answer, however slowly, is not idle.
            let unsent = unsentBytes
            if unsent > 0, unsent != lastUnsent { idleSince = .now() }
            lastUnsent = unsent
            guard NIODeadline.now() - idleSince < keepAlive else { return context.close(promise: nil) }
        }
        schedule(at: max(exchange?.deadline ?? idleSince + keepAlive, .now() + .milliseconds(10)))
    }

    private var keepAlive: TimeAmount { closesWhenIdle ? Self.drainIdleTime : shared.keepAlive }
}

@available(*, unavailable)
extension ProxyHandler: Sendable {}

/// How an answer ends.
private struct AnswerEnd {
    var trailers: HTTPHeaders?
    /// Whether the connection may carry another request.
    var reusable: Bool
    /// Whether the client has sent all of its request.
    var requestEnded: Bool
}

/// Where a request wants to go (RFC 9112 §3.2, §3.2.2).
struct RequestTarget {
    /// As the client sent it; what the application sees as `Host`.
    var authority: String
    /// As routes are looked up.
    var host: String
    /// Path and query, untouched.
    var target: String

    init(_ head: HTTPRequestHead) throws(ExchangeFailure) {
        let codings = head.headers["Transfer-Encoding"]
        guard codings.isEmpty || codings.count == 1 && codings[0].lowercased() == "chunked" else {
            throw .badRequest("its Transfer-Encoding is not chunked alone")
        }
        let hosts = head.headers["Host"]
        guard hosts.count <= 1 else { throw .badRequest("it has more than one Host field") }
        if head.uri.utf8.first == UInt8(ascii: "/") || head.uri == "*" {
            guard let host = hosts.first else { throw .badRequest("it has no Host field") }
            authority = host
            target = head.uri
        } else if let scheme = head.uri.range(of: "://"), head.method != .CONNECT {
            let rest = head.uri[scheme.upperBound...]
            let end = rest.utf8.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
            authority = String(rest[..<end])
            let path = rest[end...]
            target = path.utf8.first == UInt8(ascii: "/") ? String(path) : "/" + path
        } else {
            throw .badRequest("its target is neither a path nor a URL")
        }
        host = RequestHost.normalize(authority)
        guard !host.isEmpty else { throw .badRequest("it names no host") }
        guard Self.isAuthority(authority) else { throw .badRequest("its Host is not a host with an optional port") }
        guard FieldSyntax.isTarget(target) else { throw .badRequest("its target has a space or a control character") }
    }

    /// `host [":" port]` (RFC 9110 §7.2): what is looked up must be all there is.
    private static func isAuthority(_ authority: String) -> Bool {
        var rest = authority.utf8[...]
        if rest.first == UInt8(ascii: "[") {
            guard let end = rest.firstIndex(of: UInt8(ascii: "]")) else { return false }
            rest = rest[rest.index(after: end)...]
        } else {
            rest = rest.drop { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                    UInt8(ascii: "*"), 0x80...:
                    true
                default: false
                }
            }
        }
        guard rest.first == UInt8(ascii: ":") else { return rest.isEmpty }
        return rest.count <= 6 && rest.dropFirst().allSatisfy { (0x30...0x39).contains($0) }
    }

    /// Without the query.
    var path: Substring {
        guard let query = target.utf8.firstIndex(of: UInt8(ascii: "?")) else { return target[...] }
        return target[..<query]
    }
}

extension StringProtocol {
    /// The first place of an ASCII text, without Foundation.
    fileprivate func range(of text: StaticString) -> Range<Index>? {
        let wanted = Array("\(text)".utf8)
        var start = utf8.startIndex
        while start != utf8.endIndex {
            if utf8[start...].starts(with: wanted) { return start..<utf8.index(start, offsetBy: wanted.count) }
            start = utf8.index(after: start)
        }
        return nil
    }
}
