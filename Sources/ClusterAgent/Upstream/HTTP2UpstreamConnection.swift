import HTTPExchange
import NIOCore
import NIOHPACK
import NIOHTTP2
import TunnelProtocol

/// One connection of HTTP/2 to a backend, which carries many exchanges at a time.
///
/// There are no channels for its streams: each is an object that its exchange talks to. What the connection may be used
/// for `HTTP2ConnectionState` decides.
final class HTTP2UpstreamConnection: ChannelInboundHandler, NIOHTTP2FrameDelegate {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    /// What the peer may send on all streams together before it hears that it was taken. Far more than on one, so that
    /// streams nobody reads hold up no other.
    static let window = 16 << 20
    /// The same of one stream: what it holds for an exchange that takes nothing (RFC 9113 §6.9.2).
    static let streamWindow = 65_535

    private let scheme: String
    private let group: HTTP2ConnectionGroup
    private(set) var state: HTTP2ConnectionState
    private var streams: [HTTP2StreamID: HTTP2UpstreamStream] = [:]
    private var context: ChannelHandlerContext?
    /// Told once the peer has begun to speak HTTP/2, or will not.
    private var ready: ((Result<Void, any Error>) -> Void)?
    private var isReading = false
    /// The codec has given the connection up.
    private var hasGivenUp = false
    /// A stream that the codec has reset, and whose error comes next.
    private var codecReset: HTTP2StreamID?
    private var isResetting = false
    private var error: (any Error)?

    init(
        scheme: String, group: HTTP2ConnectionGroup, limits: HTTP2ConnectionState.Limits,
        ready: @escaping (Result<Void, any Error>) -> Void
    ) {
        self.scheme = scheme
        self.group = group
        self.ready = ready
        state = HTTP2ConnectionState(now: .now(), limits: limits)
    }

    /// Adds the codec and this handler to a channel.
    func install(in channel: any Channel) throws {
        var connection = NIOHTTP2Handler.ConnectionConfiguration()
        connection.initialSettings = [
            HTTP2Setting(parameter: .enablePush, value: 0),
            HTTP2Setting(parameter: .maxHeaderListSize, value: HTTP1Limits().head),
        ]
        // Looked at by `HTTP2ResponseReader`, which knows the answers to HEAD.
        connection.contentLengthValidation = .disabled
        connection.maximumSequentialEmptyDataFrames = 16
        connection.maximumRecentlyResetStreams = 1024
        // Servers of gRPC measure the line with PINGs while they are sent to.
        connection.controlFrameRateLimit.maximumCount = 1000
        connection.controlFrameRateLimit.windowLength = .seconds(1)
        var stream = NIOHTTP2Handler.StreamConfiguration()
        // Each costs the backend a request of ours.
        stream.streamResetFrameRateLimit.maximumCount = 1000
        stream.streamResetFrameRateLimit.windowLength = .seconds(1)
        try channel.pipeline.syncOperations.addHandlers(
            NIOHTTP2Handler(
                mode: .client, frameDelegate: self, connectionConfiguration: connection, streamConfiguration: stream),
            self)
    }

    // MARK: For the pool

    /// Whether it takes another stream now.
    var hasRoom: Bool { state.hasRoom && context != nil && !hasGivenUp }

    /// A stream for one exchange; there must be room.
    func makeStream() -> HTTP2UpstreamStream {
        state.reserve()
        return HTTP2UpstreamStream(connection: self)
    }

    func check(_ now: NIODeadline) {
        switch state.check(now: now) {
        case .none: break
        case .dead:
            error = UpstreamError(.backendClosed, "the connection has been silent for too long")
            close()
        case .close: close()
        case .retire:
            group.forget(self)
            if state.drain() == .close { close() }
        }
    }

    func close() { context?.close(promise: nil) }

    // MARK: For its streams

    /// Opens a stream with the head of a request; `nil` where that is impossible.
    ///
    /// - Throws: where the head does not fit into a frame of the peer.
    func open(
        _ head: RequestHead, endStream: Bool, _ stream: HTTP2UpstreamStream
    ) throws(UpstreamError) -> HTTP2StreamID? {
        guard let context, !hasGivenUp, !state.isDraining else { return nil }
        let block = HPACKHeaders(head, scheme: scheme)
        guard block.mostEncodedBytes <= state.maxFrameSize else {
            throw UpstreamError(.headerTooLarge, "the request's fields do not fit into a frame of HTTP/2")
        }
        let opened = state.open(now: .now())
        let id = HTTP2StreamID(Int(opened.id))
        streams[id] = stream
        if state.isDraining { group.forget(self) }
        if opened.ping {
            write(HTTP2Frame(streamID: .rootStream, payload: .ping(HTTP2PingData(withInteger: 0), ack: false)), context)
        }
        write(HTTP2Frame(streamID: id, payload: .headers(.init(headers: block, endStream: endStream))), context)
        return id
    }

    func sendHeaders(_ id: HTTP2StreamID, trailers: HeaderFields) {
        guard let context else { return }
        var block = HPACKHeaders()
        block.add(trailers)
        guard block.mostEncodedBytes <= state.maxFrameSize else { return sendData(id, ByteBuffer(), endStream: true) }
        write(HTTP2Frame(streamID: id, payload: .headers(.init(headers: block, endStream: true))), context)
    }

    /// - Parameter sent: called when the bytes are with the socket, or never will be.
    func sendData(_ id: HTTP2StreamID, _ bytes: ByteBuffer, endStream: Bool, sent: (() -> Void)? = nil) {
        guard let context else {
            sent?()
            return
        }
        let frame = HTTP2Frame(
            streamID: id, payload: .data(.init(data: .byteBuffer(bytes), endStream: endStream)))
        guard let sent else { return write(frame, context) }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in sent() }
        context.write(wrapOutboundOut(frame), promise: promise)
    }

    func sendWindow(_ id: HTTP2StreamID, _ increment: Int) {
        guard let context else { return }
        write(HTTP2Frame(streamID: id, payload: .windowUpdate(windowSizeIncrement: increment)), context)
        // While a burst is read, what it leads to leaves with its end.
        if !isReading { context.flush() }
    }

    func reset(_ id: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        guard let context else { return }
        isResetting = true
        defer { isResetting = false }
        write(HTTP2Frame(streamID: id, payload: .rstStream(code)), context)
        context.flush()
    }

    func flush() { context?.flush() }

    /// The stream is over; nothing of it is passed on any more.
    func forget(_ id: HTTP2StreamID?) {
        if let id { streams[id] = nil }
        if state.release(now: .now()) == .close { return close() }
        group.hasRoom()
    }

    private func write(_ frame: HTTP2Frame, _ context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(frame), promise: nil)
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { widen(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        widen(context)
        context.fireChannelActive()
    }

    private func widen(_ context: ChannelHandlerContext) {
        let increment = Self.window - Self.streamWindow
        write(HTTP2Frame(streamID: .rootStream, payload: .windowUpdate(windowSizeIncrement: increment)), context)
        context.flush()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        if !isReading {
            isReading = true
            state.received(now: .now())
        }
        switch frame.payload {
        case .headers(let block): streams[frame.streamID]?.received(block.headers, endStream: block.endStream)
        case .data(let data):
            if case .byteBuffer(let bytes) = data.data {
                streams[frame.streamID]?.received(bytes, endStream: data.endStream)
            }
        case .rstStream(let code): streams[frame.streamID]?.wasReset(code)
        case .settings(.settings(let settings)): received(settings)
        case .goAway(let last, let code, _): goAway(last, code)
        case .settings, .ping, .priority, .pushPromise, .windowUpdate, .alternativeService, .origin: break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        // The codec has flushed already what it wrote itself.
        context.flush()
        context.fireChannelReadComplete()
    }

    private func received(_ settings: HTTP2Settings) {
        func last(_ parameter: HTTP2SettingsParameter) -> Int? { settings.last { $0.parameter == parameter }?.value }
        state.settings(
            maxConcurrentStreams: last(.maxConcurrentStreams), maxFrameSize: last(.maxFrameSize))
        if let ready {
            self.ready = nil
            ready(.success(()))
        } else {
            group.hasRoom()
        }
    }

    private func goAway(_ last: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        group.forget(self)
        let above = streams.filter { $0.key > last }
        for (id, _) in above { streams[id] = nil }
        let ends = state.drain()
        for stream in above.values { stream.neverProcessed("the backend ends the connection (GOAWAY, \(code))") }
        if ends == .close { close() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as NIOHTTP2WindowUpdatedEvent:
            guard let size = event.inboundWindowSize else { return }
            if event.streamID == .rootStream {
                if size < Self.window / 2, !hasGivenUp { sendWindow(.rootStream, Self.window - size) }
            } else {
                streams[event.streamID]?.windowIs(size)
            }
        case let event as StreamClosedEvent:
            guard event.streamID != codecReset else { return }
            streams[event.streamID]?.wasClosed(event.reason)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    /// What the codec writes by itself tells what becomes of the error that it reports next.
    func wroteFrame(_ frame: HTTP2Frame) {
        switch frame.payload {
        case .goAway: hasGivenUp = true
        case .rstStream where !isResetting: codecReset = frame.streamID
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let id = codecReset {
            codecReset = nil
            streams[id]?.failed(UpstreamError(.backendInvalid, "\(error)"))
            return
        }
        if let error = error as? NIOHTTP2Errors.StreamError {
            streams[error.streamID]?.failed(UpstreamError(.backendInvalid, "\(error.baseError)"))
            return
        }
        self.error = self.error ?? (hasGivenUp ? UpstreamError(.backendInvalid, "\(error)") : error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        group.ended(self)
        let error = error ?? UpstreamError(.backendClosed, "the backend closed the connection")
        if let ready {
            self.ready = nil
            ready(.failure(error))
        }
        let left = streams
        streams = [:]
        for stream in left.values { stream.failed(error) }
        context.fireChannelInactive()
    }
}

@available(*, unavailable)
extension HTTP2UpstreamConnection: Sendable {}
