import NIOCore
import NIOPosix
import Synchronization

/// A proxy that speaks HTTP `CONNECT` and SOCKS 5, and writes down what it was asked for. Whatever host that was, it connects
/// to 127.0.0.1.
package final class ForwardingProxy: Sendable {
    /// What a client has asked for.
    package struct Request: Hashable, Sendable {
        /// `http` or `socks`.
        package var kind: String
        /// `host:port`.
        package var target: String
        package var authorization: String?

        package init(kind: String, target: String, authorization: String? = nil) {
            self.kind = kind
            self.target = target
            self.authorization = authorization
        }
    }

    private let state = Mutex<[Request]>([])
    private let listener = Mutex<(any Channel)?>(nil)

    /// What it was asked for so far.
    package var requests: [Request] { state.withLock { $0 } }

    package var port: Int { listener.withLock { $0?.localAddress?.port ?? 0 } }

    fileprivate func start(host: String) async throws {
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Front(proxy: self))
                }
            }
            .bind(host: host, port: 0).get()
        listener.withLock { $0 = channel }
    }

    fileprivate func stop() async { try? await listener.withLock { $0 }?.close() }

    fileprivate func record(_ request: Request) { state.withLock { $0.append(request) } }
}

/// Runs a proxy at `host`, an address of the loopback interface, for as long as `body` runs.
package func withForwardingProxy<Result>(
    host: String, _ body: (ForwardingProxy) async throws -> Result
) async throws -> Result {
    let proxy = ForwardingProxy()
    try await proxy.start(host: host)
    do {
        let result = try await body(proxy)
        await proxy.stop()
        return result
    } catch {
        await proxy.stop()
        throw error
    }
}

/// The side of the client: first its request, then whatever it sends goes on.
private final class Front: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let proxy: ForwardingProxy
    private var pending = ByteBuffer()
    private var hasGreeted = false
    private var isConnecting = false
    private var far: (any Channel)?

    init(proxy: ForwardingProxy) { self.proxy = proxy }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if let far { return far.writeAndFlush(bytes, promise: nil) }
        pending.writeBuffer(&bytes)
        guard !isConnecting, let first = pending.getInteger(at: pending.readerIndex, as: UInt8.self) else { return }
        if first == 5 { readSOCKS(context) } else { readHTTP(context) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        far?.close(promise: nil)
        context.fireChannelInactive()
    }

    private func readHTTP(_ context: ChannelHandlerContext) {
        let text = String(buffer: pending)
        guard text.hasSuffix("\r\n\r\n") else { return }
        let lines = text.split(separator: "\r\n")
        let words = lines[0].split(separator: " ")
        guard words.count == 3, words[0] == "CONNECT" else { return context.close(promise: nil) }
        let name = "proxy-authorization: "
        let authorization = lines.first { $0.lowercased().hasPrefix(name) }.map { String($0.dropFirst(name.count)) }
        pending.clear()
        connect(
            context, .init(kind: "http", target: String(words[1]), authorization: authorization),
            answer: ByteBuffer(string: "HTTP/1.1 200 Connection established\r\n\r\n"))
    }

    private func readSOCKS(_ context: ChannelHandlerContext) {
        if !hasGreeted {
            guard let methods = pending.getInteger(at: pending.readerIndex + 1, as: UInt8.self),
                pending.readSlice(length: 2 + Int(methods)) != nil
            else { return }
            hasGreeted = true
            return context.writeAndFlush(NIOAny(ByteBuffer(bytes: [5, 0])), promise: nil)
        }
        guard let head = pending.readBytes(length: 4) else { return }
        var host = ""
        if head[3] == 1 {
            host = (pending.readBytes(length: 4) ?? []).map { "\($0)" }.joined(separator: ".")
        } else if head[3] == 3, let length = pending.readInteger(as: UInt8.self) {
            host = pending.readString(length: Int(length)) ?? ""
        }
        let port = pending.readInteger(as: UInt16.self) ?? 0
        connect(
            context, .init(kind: "socks", target: "\(host):\(port)"),
            answer: ByteBuffer(bytes: [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
    }

    private func connect(_ context: ChannelHandlerContext, _ request: ForwardingProxy.Request, answer: ByteBuffer) {
        isConnecting = true
        proxy.record(request)
        let near = context.channel
        let port = request.target.split(separator: ":").last.flatMap { Int($0) } ?? 0
        ClientBootstrap(group: context.eventLoop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Back(near: near))
                }
            }
            .connect(host: "127.0.0.1", port: port)
            .assumeIsolated().whenComplete { result in
                guard case .success(let channel) = result else { return near.close(promise: nil) }
                self.far = channel
                near.writeAndFlush(answer, promise: nil)
            }
    }
}

/// The side of the server.
private final class Back: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let near: any Channel

    init(near: any Channel) { self.near = near }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        near.writeAndFlush(unwrapInboundIn(data), promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        near.close(promise: nil)
        context.fireChannelInactive()
    }
}
