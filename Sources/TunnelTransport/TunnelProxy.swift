import NIOCore
package import NIOSSL

/// An HTTP proxy that connects to the gateway on request (CONNECT, RFC 9110 §9.3.6).
package struct TunnelProxy: Sendable, CustomStringConvertible {
    package var host: String
    package var port: Int
    /// For the connection to the proxy itself; `nil` for plain text.
    package var tls: NIOSSLContext?
    /// The value of `Proxy-Authorization`, a secret.
    package var authorization: String?

    package init(host: String, port: Int, tls: NIOSSLContext? = nil, authorization: String? = nil) {
        self.host = host
        self.port = port
        self.tls = tls
        self.authorization = authorization
    }

    /// Without the secret.
    package var description: String { hostAndPort(host, port) }

    /// Sets a new connection to the proxy up: once it leads to `authority`, `then` sets up what is spoken there.
    func connect(
        _ channel: any Channel, to authority: String, promise: EventLoopPromise<Tunnel>,
        then: @escaping (any Channel) throws -> Void
    ) throws {
        let pipeline = channel.pipeline.syncOperations
        if let tls {
            let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
            try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: isAddress ? nil : host))
        }
        try pipeline.addHandler(ProxyConnectHandler(proxy: self, authority: authority, promise: promise, then: then))
    }
}

/// Asks the proxy for the connection and makes way once it has it.
///
/// The handler of swift-nio-extras for the same purpose keeps the proxy's status to itself; a person who has to mend the
/// proxy needs it.
private final class ProxyConnectHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What a proxy may say before the connection is there.
    private static let mostBytes = 16 * 1024

    private let proxy: TunnelProxy
    private let authority: String
    private let promise: EventLoopPromise<Tunnel>
    private let then: (any Channel) throws -> Void
    private var answer = ByteBuffer()
    private var hasEnded = false

    init(
        proxy: TunnelProxy, authority: String, promise: EventLoopPromise<Tunnel>,
        then: @escaping (any Channel) throws -> Void
    ) {
        self.proxy = proxy
        self.authority = authority
        self.promise = promise
        self.then = then
    }

    func channelActive(context: ChannelHandlerContext) {
        var lines = ["CONNECT \(authority) HTTP/1.1", "Host: \(authority)"]
        if let authorization = proxy.authorization { lines.append("Proxy-Authorization: \(authorization)") }
        let request = ByteBuffer(string: lines.joined(separator: "\r\n") + "\r\n\r\n")
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
        // No further: nothing behind this handler may take the proxy's connection for the gateway's.
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasEnded else { return }
        answer.writeImmutableBuffer(unwrapInboundIn(data))
        guard let end = answer.readableBytesView.firstRange(of: Array("\r\n\r\n".utf8)) else {
            if answer.readableBytes > Self.mostBytes { fail(context, "its answer has no end") }
            return
        }
        let head = answer.readString(length: end.upperBound - answer.readerIndex) ?? ""
        switch ProxyAnswer(head) {
        case .connected: makeWay(context)
        // Behind an interim answer comes the one that counts.
        case .interim: channelRead(context: context, data: NIOAny(ByteBuffer()))
        case .refused(let status): fail(context, status)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(context, "it ended the connection without an answer")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(context, String(describing: error)) }

    private func makeWay(_ context: ChannelHandlerContext) {
        hasEnded = true
        do {
            try then(context.channel)
        } catch {
            promise.fail(TunnelDialError.failed(String(describing: error)))
            context.close(promise: nil)
            return
        }
        // What came with the answer is the gateway's.
        if answer.readableBytes > 0 {
            context.fireChannelRead(wrapInboundOut(answer))
            context.fireChannelReadComplete()
        }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func fail(_ context: ChannelHandlerContext, _ detail: String) {
        guard !hasEnded else { return }
        hasEnded = true
        promise.fail(TunnelDialError.proxyRefused(proxy: proxy.description, detail: detail))
        context.close(promise: nil)
    }
}

/// What a proxy's status line means for a CONNECT.
private enum ProxyAnswer {
    case connected
    case interim
    /// Status and reason, or that the answer is none.
    case refused(String)

    init(_ head: String) {
        let line = head.prefix { $0 != "\r\n" }
        let parts = line.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].hasPrefix("HTTP/1."), let status = Int(parts[1].prefix(3)) else {
            self = .refused("its answer is not HTTP")
            return
        }
        switch status {
        case 100..<200: self = .interim
        case 200..<300: self = .connected
        default: self = .refused(String(parts[1].prefix(256)))
        }
    }
}
