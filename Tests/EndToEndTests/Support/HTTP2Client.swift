import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix
import Synchronization
import TestSupport
import Testing

/// A client of HTTP/2 that does exactly what a test tells it, frame by frame; it checks nothing of what it sends.
final class HTTP2Client: Sendable {
    private struct State {
        var streams: [HTTP2StreamID: HTTP2ClientStream] = [:]
        var next = 1
        var goAways: [(last: HTTP2StreamID, code: HTTP2ErrorCode)] = []
        var settings: HTTP2Settings?
        var isOpen = true
    }

    let channel: any Channel
    private let state = Mutex(State())

    private init(_ channel: any Channel) { self.channel = channel }

    /// - Parameters:
    ///   - settings: sent first.
    ///   - returnsCredit: whether every byte that comes is credited at once, on its stream and on the connection.
    static func connect(
        port: Int, settings: HTTP2Settings = [], returnsCredit: Bool = true
    ) async throws -> HTTP2Client {
        let made = Mutex<HTTP2Client?>(nil)
        _ = try await ClientBootstrap(group: Loops.clients)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let client = HTTP2Client(channel)
                    made.withLock { $0 = client }
                    var configuration = NIOHTTP2Handler.ConnectionConfiguration()
                    configuration.initialSettings = settings
                    configuration.headerBlockValidation = .disabled
                    configuration.contentLengthValidation = .disabled
                    configuration.controlFrameRateLimit.maximumCount = 1_000_000
                    let codec = NIOHTTP2Handler(mode: .client, connectionConfiguration: configuration)
                    try channel.pipeline.syncOperations.addHandlers(
                        codec, ClientFrames(client, returnsCredit: returnsCredit))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return try #require(made.withLock { $0 })
    }

    var isOpen: Bool { state.withLock { $0.isOpen } }
    var goAways: [(last: HTTP2StreamID, code: HTTP2ErrorCode)] { state.withLock { $0.goAways } }
    /// The gateway's; `nil` until they have come.
    var settings: HTTP2Settings? { state.withLock { $0.settings } }

    func send(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload) async throws {
        try await channel.writeAndFlush(HTTP2Frame(streamID: id, payload: payload))
    }

    /// Opens a stream with these fields, pseudo ones included.
    func open(_ fields: [(String, String)], end: Bool = true) async throws -> HTTP2ClientStream {
        // Streams begin in the order of their numbers.
        try await channel.eventLoop.flatSubmit { [self] in
            let stream = state.withLock { state in
                let stream = HTTP2ClientStream(HTTP2StreamID(state.next), self)
                state.next += 2
                state.streams[stream.id] = stream
                return stream
            }
            let payload = HTTP2Frame.FramePayload.headers(.init(headers: HPACKHeaders(fields), endStream: end))
            return channel.writeAndFlush(HTTP2Frame(streamID: stream.id, payload: payload)).map { stream }
        }.get()
    }

    /// Sends a request for `app.test`.
    func request(
        _ method: String = "GET", _ path: String = "/", _ fields: [(String, String)] = [], end: Bool = true
    ) async throws -> HTTP2ClientStream {
        try await open(Self.pseudo(method, path) + fields, end: end)
    }

    static func pseudo(_ method: String = "GET", _ path: String = "/") -> [(String, String)] {
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "app.test")]
    }

    /// Asks for a WebSocket (RFC 8441).
    func webSocket(
        _ path: String = "/chat", protocol name: String = "websocket", _ fields: [(String, String)] = []
    ) async throws -> HTTP2ClientStream {
        try await eventually("the gateway's settings have come") { settings != nil }
        return try await open(
            Self.pseudo("CONNECT", path) + [(":protocol", name), ("sec-websocket-version", "13")] + fields, end: false)
    }

    func close() { channel.close(promise: nil) }

    fileprivate func received(_ frame: HTTP2Frame) {
        switch frame.payload {
        case .settings(.settings(let settings)): state.withLock { $0.settings = settings }
        case .goAway(let last, let code, _): state.withLock { $0.goAways.append((last, code)) }
        default: state.withLock { $0.streams[frame.streamID] }?.received(frame.payload)
        }
    }

    fileprivate func ended() {
        let streams = state.withLock { state in
            state.isOpen = false
            return Array(state.streams.values)
        }
        for stream in streams { stream.lost() }
    }
}

/// A request, and what has come of its answer.
final class HTTP2ClientStream: Sendable {
    struct State: Sendable {
        var informational: [HPACKHeaders] = []
        var head: HPACKHeaders?
        var body = ByteBuffer()
        var trailers: HPACKHeaders?
        var hasEnded = false
        var reset: HTTP2ErrorCode?
        var isLost = false
        /// Credit that came.
        var credit = 0
    }

    let id: HTTP2StreamID
    let client: HTTP2Client
    private let current = Mutex(State())

    fileprivate init(_ id: HTTP2StreamID, _ client: HTTP2Client) { (self.id, self.client) = (id, client) }

    var state: State { current.withLock { $0 } }
    var status: Int? { state.head?.first(name: ":status").flatMap { Int($0) } }
    var text: String { String(buffer: state.body) }
    var isOver: Bool { state.hasEnded || state.reset != nil || state.isLost }

    fileprivate func lost() { current.withLock { $0.isLost = true } }

    fileprivate func received(_ payload: HTTP2Frame.FramePayload) {
        current.withLock { state in
            switch payload {
            case .headers(let block):
                if block.headers.first(name: ":status")?.hasPrefix("1") == true {
                    state.informational.append(block.headers)
                } else if state.head == nil {
                    state.head = block.headers
                } else {
                    state.trailers = block.headers
                }
                if block.endStream { state.hasEnded = true }
            case .data(let data):
                if case .byteBuffer(let bytes) = data.data { state.body.writeImmutableBuffer(bytes) }
                if data.endStream { state.hasEnded = true }
            case .rstStream(let code): state.reset = code
            case .windowUpdate(let increment): state.credit += increment
            default: break
            }
        }
    }

    func send(_ text: String, end: Bool = false) async throws { try await send(ByteBuffer(string: text), end: end) }

    /// Returns once the bytes are with the socket: the gateway's credit may be waited for.
    func send(_ bytes: ByteBuffer, end: Bool = false) async throws {
        try await client.send(id, .data(.init(data: .byteBuffer(bytes), endStream: end)))
    }

    func trailers(_ fields: [(String, String)]) async throws {
        try await client.send(id, .headers(.init(headers: HPACKHeaders(fields), endStream: true)))
    }

    func reset(_ code: HTTP2ErrorCode = .cancel) async throws { try await client.send(id, .rstStream(code)) }

    /// Lets the gateway send as many bytes more.
    func widen(_ bytes: Int) async throws {
        try await client.send(.rootStream, .windowUpdate(windowSizeIncrement: bytes))
        try await client.send(id, .windowUpdate(windowSizeIncrement: bytes))
    }

    /// Waits for the answer's head.
    func head() async throws -> HPACKHeaders {
        try await eventually("the head of stream \(id) has come") { state.head != nil || isOver }
        return try #require(state.head, "stream \(id) ended without a head: \(state)")
    }

    /// Waits for the answer's end, or the stream's.
    @discardableResult
    func end() async throws -> State {
        try await eventually("stream \(id) is over") { isOver }
        return state
    }

    /// Waits for so many bytes of the body.
    func body(_ count: Int) async throws -> ByteBuffer {
        try await eventually("\(count) bytes have come on stream \(id)") { state.body.readableBytes >= count || isOver }
        return state.body
    }
}

extension Stack {
    /// A new connection to the front door, by HTTP/2 without TLS.
    func http2(settings: HTTP2Settings = [], returnsCredit: Bool = true) async throws -> HTTP2Client {
        try await HTTP2Client.connect(port: frontPort, settings: settings, returnsCredit: returnsCredit)
    }
}

/// Tells the client what comes.
private final class ClientFrames: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame
    private let client: HTTP2Client
    private let returnsCredit: Bool

    init(_ client: HTTP2Client, returnsCredit: Bool) { (self.client, self.returnsCredit) = (client, returnsCredit) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        client.received(frame)
        guard returnsCredit, case .data(let data) = frame.payload, data.data.readableBytes > 0 else { return }
        for id in [.rootStream, frame.streamID] where id == .rootStream || !data.endStream {
            let update = HTTP2Frame.FramePayload.windowUpdate(windowSizeIncrement: data.data.readableBytes)
            context.write(wrapOutboundOut(HTTP2Frame(streamID: id, payload: update)), promise: nil)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }
    func channelInactive(context: ChannelHandlerContext) { client.ended() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
