import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport
import Testing

/// A backend of HTTP/2 that does exactly what a test tells it, frame by frame.
final class HTTP2Backend: Sendable {
    typealias Script = @Sendable (HTTP2BackendStream) async throws -> Void

    let port: Int
    private let listener: any Channel
    private let accepted: AsyncStream<HTTP2BackendConnection>
    private let all = Mutex<[HTTP2BackendConnection]>([])

    init(settings: HTTP2Settings = [], tls: NIOSSLContext? = nil) async throws {
        let (accepted, post) = AsyncStream.makeStream(of: HTTP2BackendConnection.self)
        self.accepted = accepted
        listener = try await ServerBootstrap(group: Loops.backends)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    let connection = HTTP2BackendConnection(channel)
                    try pipeline.addHandlers(
                        NIOHTTP2Handler(mode: .server, initialSettings: settings), FrameCollector(connection))
                    post.yield(connection)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = listener.localAddress?.port ?? 0
    }

    var connections: [HTTP2BackendConnection] { all.withLock { $0 } }
    /// All streams of all connections.
    var streams: [HTTP2BackendStream] { connections.flatMap(\.streams) }

    /// Runs `script` on each stream for as long as `body` takes.
    func run(_ script: @escaping Script, _ body: () async throws -> Void) async throws {
        let server = Task {
            await withDiscardingTaskGroup { group in
                for await connection in accepted {
                    all.withLock { $0.append(connection) }
                    group.addTask {
                        await withDiscardingTaskGroup { group in
                            for await stream in connection.opened { group.addTask { try? await script(stream) } }
                        }
                    }
                }
            }
        }
        do {
            try await body()
        } catch {
            await stop(server)
            throw error
        }
        await stop(server)
    }

    private func stop(_ server: Task<Void, Never>) async {
        try? await listener.close()
        for connection in connections { connection.channel.close(promise: nil) }
        server.cancel()
        await server.value
    }
}

final class HTTP2BackendConnection: Sendable {
    let channel: any Channel
    fileprivate let opened: AsyncStream<HTTP2BackendStream>
    private let post: AsyncStream<HTTP2BackendStream>.Continuation
    private let known = Mutex<[HTTP2StreamID: HTTP2BackendStream]>([:])

    init(_ channel: any Channel) {
        self.channel = channel
        (opened, post) = AsyncStream.makeStream()
    }

    var streams: [HTTP2BackendStream] { known.withLock { $0.values.sorted { $0.id < $1.id } } }
    var isOpen: Bool { channel.isActive }

    func send(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload) async throws {
        try await channel.writeAndFlush(HTTP2Frame(streamID: id, payload: payload))
    }

    func goAway(last: HTTP2StreamID) async throws {
        try await send(.rootStream, .goAway(lastStreamID: last, errorCode: .noError, opaqueData: nil))
    }

    fileprivate func received(_ frame: HTTP2Frame) {
        switch frame.payload {
        case .headers(let block):
            let stream = known.withLock { known in
                if let stream = known[frame.streamID] { return (stream, false) }
                let stream = HTTP2BackendStream(frame.streamID, block.headers, self)
                known[frame.streamID] = stream
                return (stream, true)
            }
            if stream.1 {
                post.yield(stream.0)
            } else {
                stream.0.received { $0.trailers = block.headers }
            }
            if block.endStream { stream.0.received { $0.hasEnded = true } }
        case .data(let data):
            guard case .byteBuffer(let bytes) = data.data else { return }
            known.withLock { $0[frame.streamID] }?.received { state in
                state.body.writeImmutableBuffer(bytes)
                state.frames.append(bytes.readableBytes)
                if data.endStream { state.hasEnded = true }
            }
        case .rstStream(let code): known.withLock { $0[frame.streamID] }?.received { $0.reset = code }
        default: break
        }
    }

    fileprivate func ended() {
        post.finish()
        for stream in streams { stream.received { $0.isLost = true } }
    }
}

/// A request that came to the backend, and the way to answer it.
final class HTTP2BackendStream: Sendable {
    struct State: Sendable {
        var body = ByteBuffer()
        var trailers: HPACKHeaders?
        var hasEnded = false
        /// Bytes of each DATA frame.
        var frames: [Int] = []
        var reset: HTTP2ErrorCode?
        var isLost = false
    }

    let id: HTTP2StreamID
    let head: HPACKHeaders
    let connection: HTTP2BackendConnection
    private let current = Mutex(State())

    init(_ id: HTTP2StreamID, _ head: HPACKHeaders, _ connection: HTTP2BackendConnection) {
        (self.id, self.head, self.connection) = (id, head, connection)
    }

    var state: State { current.withLock { $0 } }
    fileprivate func received(_ body: (inout State) -> Void) { current.withLock { body(&$0) } }

    subscript(_ name: String) -> String? { head.first(name: name) }

    func respond(_ status: Int, _ fields: [(String, String)] = [], end: Bool = false) async throws {
        let block = HPACKHeaders([(":status", "\(status)")] + fields)
        try await connection.send(id, .headers(.init(headers: block, endStream: end)))
    }

    func send(_ text: String, end: Bool = false) async throws { try await send(ByteBuffer(string: text), end: end) }

    func send(_ bytes: ByteBuffer, end: Bool = false) async throws {
        try await connection.send(id, .data(.init(data: .byteBuffer(bytes), endStream: end)))
    }

    func trailers(_ fields: [(String, String)]) async throws {
        try await connection.send(id, .headers(.init(headers: HPACKHeaders(fields), endStream: true)))
    }

    func reset(_ code: HTTP2ErrorCode) async throws { try await connection.send(id, .rstStream(code)) }

    /// Lets the client send as many bytes more.
    func widen(_ bytes: Int) async throws {
        try await connection.send(.rootStream, .windowUpdate(windowSizeIncrement: bytes))
        try await connection.send(id, .windowUpdate(windowSizeIncrement: bytes))
    }

    /// Waits for the request's end.
    func end() async throws { try await eventually("the request has ended") { state.hasEnded } }

    /// Answers at once, with a body.
    func answer(_ text: String = "ok", _ fields: [(String, String)] = []) async throws {
        try await respond(200, fields)
        try await send(text, end: true)
    }
}

private final class FrameCollector: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    private let connection: HTTP2BackendConnection

    init(_ connection: HTTP2BackendConnection) { self.connection = connection }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { connection.received(unwrapInboundIn(data)) }
    func channelInactive(context: ChannelHandlerContext) { connection.ended() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
