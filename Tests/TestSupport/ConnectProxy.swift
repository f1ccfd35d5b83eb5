import NIOCore
import NIOPosix
package import NIOSSL
import Synchronization

/// An HTTP proxy that does CONNECT and nothing else.
package final class ConnectProxy: Sendable {
    package enum Answer: Sendable {
        /// Connects to this port of 127.0.0.1, whatever was asked for.
        case connect(port: Int)
        /// Says this and hangs up.
        case say(String)
        /// Says nothing.
        case silence
    }

    private let requests = Mutex<[String]>([])
    private let listener = Mutex<(any Channel)?>(nil)

    /// The heads of the requests, as they came.
    package var heads: [String] { requests.withLock { $0 } }

    private init() {}

    /// Runs a proxy on a port of 127.0.0.1 for as long as `body` takes.
    package static func run<Result>(
        tls: NIOSSLContext? = nil, _ answer: Answer, _ body: (ConnectProxy, Int) async throws -> Result
    ) async throws -> Result {
        let proxy = ConnectProxy()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    try pipeline.addHandler(ConnectHandler(proxy: proxy, answer: answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        do {
            let result = try await body(proxy, listener.localAddress?.port ?? 0)
            try await listener.close()
            return result
        } catch {
            try? await listener.close()
            throw error
        }
    }

    fileprivate func record(_ head: String) { requests.withLock { $0.append(head) } }
}

/// Reads one request and becomes a pipe.
private final class ConnectHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let proxy: ConnectProxy
    private let answer: ConnectProxy.Answer
    private var head = ByteBuffer()
    private var destination: (any Channel)?

    init(proxy: ConnectProxy, answer: ConnectProxy.Answer) {
        self.proxy = proxy
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if let destination {
            destination.writeAndFlush(unwrapInboundIn(data), promise: nil)
            return
        }
        head.writeImmutableBuffer(unwrapInboundIn(data))
        let text = String(buffer: head)
        guard text.hasSuffix("\r\n\r\n") else { return }
        proxy.record(text)
        switch answer {
        case .silence: break
        case .say(let text):
            let channel = context.channel
            channel.writeAndFlush(ByteBuffer(string: text)).whenComplete { _ in channel.close(promise: nil) }
        case .connect(let port): connect(context, to: port)
        }
    }

    private func connect(_ context: ChannelHandlerContext, to port: Int) {
        let client = context.channel
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        ClientBootstrap(group: context.eventLoop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(PipeHandler(to: client))
                }
            }
            .connect(host: "127.0.0.1", port: port)
            .whenComplete { result in
                switch result {
                case .success(let destination):
                    handler.value.destination = destination
                    client.closeFuture.whenComplete { _ in destination.close(promise: nil) }
                    client.writeAndFlush(
                        ByteBuffer(string: "HTTP/1.1 200 Connection established\r\n\r\n"), promise: nil)
                case .failure: client.close(promise: nil)
                }
            }
    }
}

private final class PipeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let other: any Channel

    init(to other: any Channel) { self.other = other }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        other.writeAndFlush(unwrapInboundIn(data), promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }
}
