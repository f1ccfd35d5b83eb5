package import NIOCore
import NIOHTTP1
import NIOPosix
package import NIOSSL
import TunnelProtocol

/// Dials a gateway and opens a tunnel.
package struct TunnelDialer: Sendable {
    package var host: String
    package var port: Int
    /// `nil` for plain text.
    package var tls: NIOSSLContext?
    /// The name that the gateway's certificate must have and that is sent as SNI (RFC 6066 §3); `nil`: `host`.
    package var serverName: String?
    /// `nil`: the gateway is connected to directly.
    package var proxy: TunnelProxy?
    package var group: any EventLoopGroup
    /// Which of the group's event loops the tunnel lives on, counted round and round, so that an agent's tunnels share
    /// none without need; `nil`: the group's choice.
    package var loopNumber: Int?
    /// For connecting, the proxy, TLS and the handshake together.
    package var timeout: TimeAmount

    package init(
        host: String, port: Int, tls: NIOSSLContext?, serverName: String? = nil, proxy: TunnelProxy? = nil,
        group: any EventLoopGroup, timeout: TimeAmount = .seconds(10)
    ) {
        self.host = host
        self.port = port
        self.tls = tls
        self.serverName = serverName
        self.proxy = proxy
        self.group = group
        self.timeout = timeout
    }

    /// Connects, to `address` where one of the host's addresses was chosen, and shakes hands.
    ///
    /// - Parameters:
    ///   - address: ignored where there is a proxy, which resolves names itself.
    ///   - token: sent as `Authorization: Bearer`.
    /// - Throws: `TunnelDialError`, or `CancellationError`.
    package func dial(
        _ address: SocketAddress? = nil, token: String, configuration: TunnelConfiguration,
        observer: any TunnelObserver
    ) async throws -> Tunnel {
        let loops = Array(group.makeIterator())
        let loop = loopNumber.map { loops[$0 % loops.count] } ?? group.next()
        let promise = loop.makePromise(of: Tunnel.self)
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.writeBufferWaterMark, value: TunnelSocket.writeWaterMark)
            .channelOption(.recvAllocator, value: TunnelSocket.receiveAllocator)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let shakeHands = { @Sendable (channel: any Channel) throws in
                        try configure(channel, token, configuration, observer, promise)
                    }
                    guard let proxy else { return try shakeHands(channel) }
                    try proxy.connect(channel, to: hostAndPort(host, port), promise: promise, then: shakeHands)
                }
            }
        let connecting =
            if let proxy {
                bootstrap.connect(host: proxy.host, port: proxy.port)
            } else if let address {
                bootstrap.connect(to: address)
            } else {
                bootstrap.connect(host: host, port: port)
            }
        connecting.whenFailure { error in
            let problem = proxy.map { "the proxy \($0): \(error)" } ?? String(describing: error)
            promise.fail(TunnelDialError.unreachable(problem))
        }
        let deadline = loop.scheduleTask(in: timeout) {
            promise.fail(TunnelDialError.timedOut)
            connecting.whenSuccess { $0.close(promise: nil) }
        }
        promise.futureResult.whenComplete { _ in deadline.cancel() }
        return try await withTaskCancellationHandler {
            try await promise.futureResult.get()
        } onCancel: {
            promise.fail(CancellationError())
            connecting.whenSuccess { $0.close(promise: nil) }
        }
    }

    private func configure(
        _ channel: any Channel, _ token: String, _ configuration: TunnelConfiguration, _ observer: any TunnelObserver,
        _ promise: EventLoopPromise<Tunnel>
    ) throws {
        let pipeline = channel.pipeline.syncOperations
        if let tls {
            let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
            // Beside the name, swift-nio-ssl takes a certificate for the address of the connection, which is the
            // proxy's where there is one; a gateway that has only an address needs a server name then.
            let name = serverName ?? (isAddress ? nil : host)
            try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: name))
        }
        let handshake = ClientHandshakeHandler(host: hostAndPort(host, port), promise: promise)
        let upgrader = TunnelClientUpgrader(
            token: token, configuration: configuration, observer: observer, handshake: handshake, promise: promise)
        try pipeline.addHTTPClientHandlers(
            leftOverBytesStrategy: .forwardBytes,
            withClientUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
        try pipeline.addHandler(handshake)
    }
}

/// Why no tunnel came up.
package enum TunnelDialError: Error, Hashable, Sendable, CustomStringConvertible {
    /// No connection: name, address, TCP.
    case unreachable(String)
    /// TLS failed, or the connection ended during the handshake.
    case failed(String)
    case timedOut
    /// The proxy does not connect to the gateway: its name, and its status and reason, or what else is wrong with it.
    case proxyRefused(proxy: String, detail: String)
    /// The gateway answered with a status other than 101.
    case refused(status: Int, detail: String, retryAfter: Int?)

    static let endedInHandshake = Self.failed("the connection ended during the handshake")

    package var description: String {
        switch self {
        case .unreachable(let error): "the gateway cannot be reached: \(error)"
        case .failed(let error): "the handshake failed: \(error)"
        case .timedOut: "the handshake took too long"
        case .proxyRefused(let proxy, let detail): "the proxy \(proxy) does not connect to the gateway: \(detail)"
        case .refused(let status, let detail, _): "the gateway refused the tunnel: \(status) \(detail)"
        }
    }
}

private final class TunnelClientUpgrader: NIOHTTPClientProtocolUpgrader {
    let supportedProtocol = "websocket"
    let requiredUpgradeHeaders: [String] = []

    private let key = TunnelHandshake.makeKey()
    private let token: String
    private let configuration: TunnelConfiguration
    private let observer: any TunnelObserver
    private let handshake: ClientHandshakeHandler
    private let promise: EventLoopPromise<Tunnel>

    init(
        token: String, configuration: TunnelConfiguration, observer: any TunnelObserver,
        handshake: ClientHandshakeHandler, promise: EventLoopPromise<Tunnel>
    ) {
        self.handshake = handshake
        self.token = token
        self.configuration = configuration
        self.observer = observer
        self.promise = promise
    }

    func addCustom(upgradeRequestHeaders fields: inout HTTPHeaders) {
        fields.add(contentsOf: TunnelHandshake.question(key: key))
        fields.add(name: "Authorization", value: "Bearer \(token)")
    }

    func shouldAllowUpgrade(upgradeResponse: HTTPResponseHead) -> Bool {
        TunnelHandshake.isAnswer(upgradeResponse.headers, to: key)
    }

    func upgrade(context: ChannelHandlerContext, upgradeResponse: HTTPResponseHead) -> EventLoopFuture<Void> {
        context.eventLoop.makeCompletedFuture {
            // The end may overtake the upgrade, which takes a turn of the event loop.
            guard context.channel.isActive else {
                promise.fail(TunnelDialError.endedInHandshake)
                throw TunnelDialError.endedInHandshake
            }
            context.pipeline.syncOperations.removeHandler(handshake, promise: nil)
            let tunnel = try Tunnel.install(on: context.channel, configuration: configuration, observer: observer)
            promise.succeed(tunnel)
        }
    }
}

/// Sends the request and reports an answer that is not an upgrade.
private final class ClientHandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let host: String
    private let promise: EventLoopPromise<Tunnel>
    private var hasSent = false
    private var refusal: HTTPResponseHead?
    private var detail = ""

    init(host: String, promise: EventLoopPromise<Tunnel>) {
        self.host = host
        self.promise = promise
    }

    /// Behind a proxy the connection is there before the handshake.
    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { send(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        send(context)
        context.fireChannelActive()
    }

    private func send(_ context: ChannelHandlerContext) {
        guard !hasSent else { return }
        hasSent = true
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: TunnelHandshake.path, headers: ["Host": host])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): refusal = head
        case .body(let bytes):
            if detail.utf8.count < 256 { detail += String(buffer: bytes).prefix(256) }
        case .end:
            fail()
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(TunnelDialError.failed(String(describing: error)))
        context.close(promise: nil)
    }

    private func fail() {
        guard let refusal else {
            promise.fail(TunnelDialError.endedInHandshake)
            return
        }
        let status = Int(refusal.status.code)
        let reason =
            status == 101 ? "an upgrade to something else" : detail.split(separator: "\n").first.map(String.init)
        promise.fail(
            TunnelDialError.refused(
                status: status, detail: reason ?? refusal.status.reasonPhrase,
                retryAfter: refusal.headers.first(name: "Retry-After").flatMap(Int.init)))
    }
}
