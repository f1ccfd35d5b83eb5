package import NIOCore
package import NIOHTTP1
import NIOPosix
package import NIOSSL

/// Who may open a tunnel, and what becomes of it; called on the connection's event loop.
package protocol TunnelAdmission: Sendable {
    associatedtype Identity: Sendable

    /// Decides from the request alone; must not block. Fails with a `TunnelRefusal`.
    func admit(_ request: TunnelRequest) -> EventLoopFuture<Identity>
    /// A request was refused, by this or by the handshake.
    func refused(_ refusal: TunnelRefusal, from remote: SocketAddress?)
    /// The observer and the settings of a tunnel that is about to start.
    func observer(for identity: Identity) -> any TunnelObserver
    func configuration(for identity: Identity) -> TunnelConfiguration
    /// The tunnel is up.
    func accepted(_ tunnel: Tunnel, identity: Identity, observer: any TunnelObserver, from remote: SocketAddress?)
}

/// A request to open a tunnel that is in order, but for who sent it.
package struct TunnelRequest: Sendable {
    package var head: HTTPRequestHead
    package var remote: SocketAddress?
    /// What the client showed in the TLS handshake, which has verified it; nil if it showed none.
    package var certificate: NIOSSLCertificate?
    /// Of the connection.
    package var eventLoop: any EventLoop

    package init(
        head: HTTPRequestHead, remote: SocketAddress?, certificate: NIOSSLCertificate?, eventLoop: any EventLoop
    ) {
        self.head = head
        self.remote = remote
        self.certificate = certificate
        self.eventLoop = eventLoop
    }
}

/// Listens for agents and turns their connections into tunnels.
package enum TunnelAcceptor {
    /// Binds and returns the listening channel; closing it stops the listener and leaves the tunnels alone.
    ///
    /// - Parameters:
    ///   - tls: asked for each connection, so that certificates can be changed; gives `nil` for plain text.
    ///   - reusePort: whether another process may listen on the same port, too (`SO_REUSEPORT`).
    package static func bind(
        host: String, port: Int, tls: @escaping @Sendable () -> NIOSSLContext?, reusePort: Bool = false,
        admission: some TunnelAdmission,
        group: any EventLoopGroup,
        handshakeTimeout: TimeAmount = .seconds(10)
    ) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(SharedPort.option, value: reusePort ? 1 : 0)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.writeBufferWaterMark, value: TunnelSocket.writeWaterMark)
            .childChannelOption(.recvAllocator, value: TunnelSocket.receiveAllocator)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls = tls() { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    let refuser = RefusingHandler(admission: admission)
                    let upgrader = TunnelServerUpgrader(admission: admission, refuser: refuser)
                    try pipeline.configureHTTPServerPipeline(
                        withPipeliningAssistance: false,
                        withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }),
                        withErrorHandling: true)
                    try pipeline.addHandler(refuser)
                    refuser.closeUnlessUpgraded(within: handshakeTimeout, channel)
                }
            }
            .bind(host: host, port: port).get()
    }
}

/// Sizes that suit bulk without weighing on idle tunnels.
enum TunnelSocket {
    /// Bytes handed to the socket before the writer waits.
    static let writeWaterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 64 * 1024, high: 192 * 1024)
    /// Starts small: the buffer of the first read stays with a tunnel that is idle afterwards. It doubles with each read
    /// that fills it.
    static var receiveAllocator: AdaptiveRecvByteBufferAllocator {
        AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 1024, maximum: 256 * 1024)
    }
}

/// Upgrades a connection whose request is admitted.
private final class TunnelServerUpgrader<Admission: TunnelAdmission>: HTTPServerProtocolUpgrader {
    let supportedProtocol = "websocket"
    let requiredUpgradeHeaders: [String] = []

    private let admission: Admission
    private let refuser: RefusingHandler<Admission>
    private var identity: Admission.Identity?

    init(admission: Admission, refuser: RefusingHandler<Admission>) {
        self.admission = admission
        self.refuser = refuser
    }

    func buildUpgradeResponse(
        channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
    ) -> EventLoopFuture<HTTPHeaders> {
        do throws(TunnelRefusal) {
            try TunnelHandshake.check(upgradeRequest)
        } catch {
            return refuse(error, channel.eventLoop)
        }
        let request = TunnelRequest(
            head: upgradeRequest, remote: channel.remoteAddress,
            certificate: (try? channel.pipeline.syncOperations.nioSSL_peerCertificate()) ?? nil,
            eventLoop: channel.eventLoop)
        return admission.admit(request).hop(to: channel.eventLoop).assumeIsolated().map { identity in
            self.identity = identity
            return TunnelHandshake.answer(to: upgradeRequest)
        }.flatMapError { error in
            self.refuse(error as? TunnelRefusal ?? TunnelRefusal(.unauthorized, "not admitted"), channel.eventLoop)
        }.nonisolated()
    }

    /// The request then reaches the refuser, which answers it.
    private func refuse(_ refusal: TunnelRefusal, _ loop: any EventLoop) -> EventLoopFuture<HTTPHeaders> {
        refuser.refusal = refusal
        return loop.makeFailedFuture(refusal)
    }

    func upgrade(context: ChannelHandlerContext, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Void> {
        let channel = context.channel
        return channel.eventLoop.makeCompletedFuture {
            guard let identity else { throw TunnelRefusal(.unauthorized, "not admitted") }
            channel.pipeline.syncOperations.removeHandler(refuser, promise: nil)
            let observer = admission.observer(for: identity)
            let tunnel = try Tunnel.install(
                on: channel, configuration: admission.configuration(for: identity), observer: observer)
            admission.accepted(tunnel, identity: identity, observer: observer, from: channel.remoteAddress)
        }
    }
}

/// Answers what is not a tunnel, with a status and a sentence, and closes the connection.
private final class RefusingHandler<Admission: TunnelAdmission>: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let admission: Admission
    private var timeout: Scheduled<Void>?
    /// Why the upgrade was refused, where it was tried.
    var refusal: TunnelRefusal?
    private var hasAnswered = false

    init(admission: Admission) { self.admission = admission }

    func closeUnlessUpgraded(within time: TimeAmount, _ channel: any Channel) {
        timeout = channel.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timeout?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = unwrapInboundIn(data), !hasAnswered else { return }
        hasAnswered = true
        let refusal = refusal ?? refusalWithoutUpgrade(head)
        admission.refused(refusal, from: context.channel.remoteAddress)
        let body = ByteBuffer(string: refusal.description + "\n")
        var fields: HTTPHeaders = [
            "Content-Type": "text/plain; charset=utf-8", "Content-Length": "\(body.readableBytes)",
            "Connection": "close",
        ]
        switch refusal.kind {
        case .unauthorized: fields.add(name: "WWW-Authenticate", value: "Bearer")
        case .upgradeRequired:
            fields.add(name: "Upgrade", value: "websocket")
            fields.add(name: "Sec-WebSocket-Version", value: "13")
        case .methodNotAllowed: fields.add(name: "Allow", value: "GET")
        case .notFound, .badRequest, .overloaded, .tooManyAttempts, .tooManyAtOnce: break
        }
        if let retryAfter = refusal.retryAfter { fields.add(name: "Retry-After", value: "\(retryAfter)") }
        let answer = HTTPResponseHead(version: .http1_1, status: refusal.status, headers: fields)
        context.write(wrapOutboundOut(.head(answer)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A refused upgrade is reported here first; the request follows and is answered.
        if !(error is TunnelRefusal) { context.close(promise: nil) }
    }

    private func refusalWithoutUpgrade(_ head: HTTPRequestHead) -> TunnelRefusal {
        do throws(TunnelRefusal) {
            try TunnelHandshake.check(head)
            return TunnelRefusal(.upgradeRequired, "this is a WebSocket endpoint")
        } catch {
            return error
        }
    }
}
