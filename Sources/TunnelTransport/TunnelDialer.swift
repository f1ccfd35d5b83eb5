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
    package var group: any EventLoopGroup
    /// For connecting, TLS and the handshake together.
    package var timeout: TimeAmount

    package init(
        host: String, port: Int, tls: NIOSSLContext?, group: any EventLoopGroup, timeout: TimeAmount = .seconds(10)
    ) {
        self.host = host
        self.port = port
        self.tls = tls
        self.group = group
        self.timeout = timeout
    }

    /// - Parameter token: sent as `Authorization: Bearer`.
    /// - Throws: `TunnelDialError`.
    package func dial(
        token: String, configuration: TunnelConfiguration, observer: any TunnelObserver
    ) async throws -> Tunnel {
        let loop = group.next()
        let promise = loop.makePromise(of: Tunnel.self)
        let connecting = ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.writeBufferWaterMark, value: TunnelSocket.writeWaterMark)
            .channelOption(.recvAllocator, value: TunnelSocket.receiveAllocator)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try configure(channel, token, configuration, observer, promise)
                }
            }
            .connect(host: host, port: port)
        connecting.whenFailure { promise.fail(TunnelDialError.unreachable(String(describing: $0))) }
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
            try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: isAddress ? nil : host))
        }
        let handshake = ClientHandshakeHandler(
            host: host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)", promise: promise)
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
    /// The gateway answered with a status other than 101.
    case refused(status: Int, detail: String, retryAfter: Int?)

    package var description: String {
        switch self {
        case .unreachable(let error): "the gateway cannot be reached: \(error)"
        case .failed(let error): "the handshake failed: \(error)"
        case .timedOut: "the handshake took too long"
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
    private var refusal: HTTPResponseHead?
    private var detail = ""

    init(host: String, promise: EventLoopPromise<Tunnel>) {
        self.host = host
        self.promise = promise
    }

    func channelActive(context: ChannelHandlerContext) {
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: TunnelHandshake.path, headers: ["Host": host])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
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
            promise.fail(TunnelDialError.failed("the connection ended during the handshake"))
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
