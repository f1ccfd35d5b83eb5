import HTTPExchange
import NIOCore
import NIOHPACK
import NIOHTTP2
import Telemetry
import TunnelTransport

/// One public connection of HTTP/2: each of its streams is an object that an exchange talks to.
///
/// There are no channels for streams (ADR 1). When the connection ends `HTTP2ClientState` decides. What is sent to a client
/// that does not take it is bounded by the credit of tunnels, and by not reading from the client meanwhile.
final class HTTP2FrontHandler: ChannelDuplexHandler, NIOHTTP2FrameDelegate, TimedConnection {
    typealias InboundIn = HTTP2Frame
    typealias OutboundIn = Never
    typealias OutboundOut = HTTP2Frame

    /// What a client may send on all streams together before it hears that it came: windows of streams bound what is
    /// held, and a stream that is held holds up no other.
    private static let window = 16 << 20
    /// What windows of streams may grow by, all together.
    private static let mostGrowth = 4 << 20
    /// How long a client may go on sending after the connection's last word.
    private static let lingerTime = TimeAmount.seconds(2)
    /// Malformed requests of one connection.
    private static let mostMalformed = 1000
    /// As the client sees it, at the end of a connection.
    private static let drainPing = HTTP2PingData(withInteger: 0x6472_6169_6E)

    let shared: ProxyContext
    let address: String
    let isTrusted: Bool
    var requestIDs = RequestIDSource()
    var traces = TraceSource()
    private(set) var context: ChannelHandlerContext?
    var timer = ConnectionTimer()
    /// Where bytes are written that the codec is not to know of.
    private var below: ChannelHandlerContext?
    private var state: HTTP2ClientState
    private var flood = HTTP2WindowFlood()
    private var malformed = 0
    private var streams: [HTTP2StreamID: HTTP2FrontStream] = [:]
    /// What the client takes of fields in one frame.
    private(set) var maxFrameSize = 16_384
    /// What the windows of streams have grown by.
    private var growth = 0
    private var isReading = false
    private var isReadPending = false
    private var isFlushPending = false
    /// Streams whose RST_STREAM is this handler's; it may leave late.
    private var resets: Set<HTTP2StreamID> = []
    /// The same of GOAWAY, and what the codec has told the client last.
    private var goAways = 0
    private var codecEnd: HTTP2ErrorCode?
    /// Bytes that had not reached the socket when the timer last looked.
    private var lastUnsent = 0

    private init(shared: ProxyContext, client: ClientAddress, isDraining: Bool) {
        self.shared = shared
        address = client.text
        isTrusted = client.isIn(shared.trustedProxies)
        state = HTTP2ClientState(
            isEnding: isDraining, now: .now(),
            times: .init(keepAlive: shared.limits.keepAlive, preface: shared.limits.header))
    }

    /// Adds the codec and the handler to a connection.
    static func install(
        in channel: any Channel, shared: ProxyContext, client: ClientAddress, isDraining: Bool
    ) throws {
        let handler = HTTP2FrontHandler(shared: shared, client: client, isDraining: isDraining)
        let limits = shared.limits
        var connection = NIOHTTP2Handler.ConnectionConfiguration()
        connection.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: limits.http2Streams),
            // More than is taken, so that there can be an answer of 431.
            HTTP2Setting(parameter: .maxHeaderListSize, value: 2 * limits.http1.head + 32 * limits.http1.fieldCount),
            HTTP2Setting(parameter: .enableConnectProtocol, value: 1),
        ]
        // Looked at by `HTTP2RequestReader`, so that there can be an answer of 400.
        connection.contentLengthValidation = .disabled
        connection.maximumSequentialEmptyDataFrames = 16
        connection.maximumSequentialContinuationFrames = 16
        connection.maximumRecentlyResetStreams = 1024
        connection.maximumConnectionGlitches = 1000
        // Clients of gRPC measure the line with PINGs while they are sent to.
        connection.controlFrameRateLimit.maximumCount = 1000
        connection.controlFrameRateLimit.windowLength = .seconds(1)
        var stream = NIOHTTP2Handler.StreamConfiguration()
        stream.streamResetFrameRateLimit.maximumCount = 1000
        stream.streamResetFrameRateLimit.windowLength = .seconds(30)
        let codec = NIOHTTP2Handler(
            mode: .server, frameDelegate: handler, connectionConfiguration: connection, streamConfiguration: stream)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandlers(HTTP2EarlyFramesHandler(), codec, handler)
        handler.below = try pipeline.context(handler: codec)
    }

    // MARK: For its streams

    var isWritable: Bool { context?.channel.isWritable == true }
    var growthAllowance: Int { Self.mostGrowth - growth }

    func grew(by bytes: Int) { growth += bytes }

    func write(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload) {
        context?.write(wrapOutboundOut(HTTP2Frame(streamID: id, payload: payload)), promise: nil)
    }

    func reset(_ id: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        resets.insert(id)
        write(id, .rstStream(code))
        flush()
    }

    /// - Parameter sent: called when the frame is with the socket, or never will be.
    func write(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload, sent: @escaping () -> Void) {
        guard let context else { return sent() }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in sent() }
        context.write(wrapOutboundOut(HTTP2Frame(streamID: id, payload: payload)), promise: promise)
    }

    /// Hands on what was written: at once where the connection has one stream, and with what the others write in this
    /// turn of the event loop where it has more.
    func flush() {
        guard let context, !isReading, !isFlushPending else { return }
        guard streams.count > 1 else { return context.flush() }
        isFlushPending = true
        context.eventLoop.assumeIsolated().execute { [self] in
            isFlushPending = false
            self.context?.flush()
        }
    }

    /// The exchange of a stream is over, or its codec has forgotten it; both make it over.
    func forgetIfOver(_ stream: HTTP2FrontStream) {
        guard stream.isOver, streams.removeValue(forKey: stream.id) != nil else { return }
        growth -= stream.growth
        run(state.ended(now: .now()))
    }

    /// A request that HTTP/2 allows the form of, but not what it says.
    func countMalformed() {
        malformed += 1
        shared.metrics.http2Violations.count(.malformedRequest)
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        write(.rootStream, .windowUpdate(windowSizeIncrement: Self.window - HTTP2StreamCredit.first))
        context.flush()
        schedule(at: state.deadline)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer.cancel()
        below = nil
        self.context = nil
    }

    func read(context: ChannelHandlerContext) {
        // Who does not take the answers to requests and frames may ask for no more.
        if context.channel.isWritable { context.read() } else { isReadPending = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if isReadPending, context.channel.isWritable {
            isReadPending = false
            context.read()
        }
        context.fireChannelWritabilityChanged()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Behind the last word bytes are read so that they do not destroy it, and thrown away.
        guard !state.isClosed else { return }
        isReading = true
        let frame = unwrapInboundIn(data)
        switch frame.payload {
        case .headers(let block): received(block, on: frame.streamID)
        case .data(let data):
            if case .byteBuffer(let bytes) = data.data {
                streams[frame.streamID]?.received(bytes, endStream: data.endStream)
            }
        case .settings(.settings(let settings)):
            state.prefaceCame()
            if let size = settings.last(where: { $0.parameter == .maxFrameSize })?.value { maxFrameSize = size }
        case .ping(Self.drainPing, ack: true): run(state.answered())
        case .windowUpdate:
            if !flood.updated(now: .now()) { end(.windowFlood, .enhanceYourCalm) }
        // The end of a stream is told by an event.
        case .settings, .ping, .rstStream, .goAway, .priority, .pushPromise, .alternativeService, .origin: break
        }
        // Each costs a stream and its reset, as in rapid reset; the codec counts those that it finds itself.
        if malformed > Self.mostMalformed, !state.isClosed { end(.streamErrors, .enhanceYourCalm) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        context.flush()
        context.fireChannelReadComplete()
    }

    private func received(_ block: HTTP2Frame.FramePayload.Headers, on id: HTTP2StreamID) {
        if let stream = streams[id] { return stream.received(trailers: block.headers) }
        let stream = HTTP2FrontStream(id, connection: self)
        streams[id] = stream
        run(state.opened(Int32(Int(id)), now: .now()))
        stream.received(head: block.headers, endStream: block.endStream)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as NIOHTTP2WindowUpdatedEvent:
            guard let size = event.inboundWindowSize else { return }
            if event.streamID == .rootStream {
                guard size < Self.window / 2, !state.isClosed else { return }
                write(.rootStream, .windowUpdate(windowSizeIncrement: Self.window - size))
            } else {
                streams[event.streamID]?.windowIs(size)
            }
        case let event as StreamClosedEvent:
            streams[event.streamID]?.closed(event.reason)
        case let drain as ConnectionDrain: received(drain)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    func wroteFrame(_ frame: HTTP2Frame) {
        switch frame.payload {
        case .data: flood.sent()
        case .rstStream: if resets.remove(frame.streamID) == nil { streams[frame.streamID]?.isBroken() }
        case .goAway(_, let code, _):
            if goAways > 0 { goAways -= 1 } else { codecEnd = code }
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let code = codecEnd {
            codecEnd = nil
            guard !state.isClosed else { return }
            shared.metrics.http2Violations.count(HTTP2Violation(error, code))
            _ = state.closeNow()
            loseStreams()
            sayGoodbye(by: .now() + Self.lingerTime)
        } else if error is any NIOHTTP2Error, !(error is NIOHTTP2Errors.UnableToSerializeFrame) {
            // Of one stream, which the codec has reset, or will once the client takes more.
            countMalformed()
        } else {
            loseStreams()
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        _ = state.closeNow()
        loseStreams()
        context.fireChannelInactive()
    }

    private func loseStreams() {
        for stream in Array(streams.values) { stream.closed(.cancel) }
    }

    // MARK: The connection's end

    private func received(_ drain: ConnectionDrain) {
        switch drain {
        case .answerAndClose: run(state.drain(now: .now()))
        case .closeIfIdle:
            run(state.drain(now: .now()))
            state.closeIfIdle()
            ensureTimer(by: state.deadline)
        case .close(let deadline):
            var hasLastWords = false
            for stream in Array(streams.values) where stream.gatewayEnds() { hasLastWords = true }
            loseStreams()
            tellEnd(state.closeNow(), .noError)
            if hasLastWords {
                sayGoodbye(by: deadline)
            } else {
                context?.close(promise: nil)
            }
        }
    }

    private func run(_ action: HTTP2ClientState.Action) {
        switch action {
        case .none: break
        case .announce:
            announceEnd()
            ensureTimer(by: state.deadline)
        case .goAway(let last): tellEnd(last, .noError)
        case .goAwayAndClose(let last):
            tellEnd(last, .noError)
            closeBehind()
        case .close: closeBehind()
        }
    }

    /// Written past the codec, which would refuse from now on what it is to let through: requests that are on their way.
    private func announceEnd() {
        guard let below else { return }
        var frame = ByteBuffer()
        // GOAWAY (RFC 9113 §6.8) of 8 bytes on stream 0: no last stream, no error.
        frame.writeBytes([0, 0, 8, 7, 0, 0, 0, 0, 0])
        frame.writeInteger(UInt32(Int32.max))
        frame.writeInteger(UInt32(0))
        below.write(NIOAny(frame), promise: nil)
        write(.rootStream, .ping(Self.drainPing, ack: false))
        context?.flush()
    }

    private func tellEnd(_ last: Int32?, _ code: HTTP2ErrorCode) {
        guard let last else { return }
        goAways += 1
        write(.rootStream, .goAway(lastStreamID: HTTP2StreamID(Int(last)), errorCode: code, opaqueData: nil))
        context?.flush()
    }

    /// The client breaks a rule that the codec does not look after.
    private func end(_ violation: HTTP2Violation, _ code: HTTP2ErrorCode) {
        shared.metrics.http2Violations.count(violation)
        loseStreams()
        tellEnd(state.closeNow(), code)
        sayGoodbye(by: .now() + Self.lingerTime)
    }

    /// All is said.
    private func closeBehind() {
        guard let below else { return }
        below.close(by: .now() + Self.lingerTime)
        let handler = NIOLoopBound(self, eventLoop: below.eventLoop)
        below.whenSent { handler.value.context?.close(promise: nil) }
    }

    /// Lets the last word reach the client: what it still sends is read and thrown away.
    private func sayGoodbye(by deadline: NIODeadline) {
        guard let context, let below else { return }
        context.flush()
        context.close(by: deadline)
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        below.whenSent { handler.value.context?.close(mode: .output, promise: nil) }
    }

    // MARK: Time

    func timerFired() {
        guard let context else { return }
        let now = NIODeadline.now()
        var next = now + .minutes(10)
        for stream in Array(streams.values) {
            stream.checkDeadline(now)
            next = min(next, stream.deadline)
        }
        // A client that still takes the end of its answers, however slowly, is not idle.
        let unsent = context.unsentBytes
        let isTaking = unsent > 0 && unsent != lastUnsent
        lastUnsent = unsent
        if isTaking { state.isTaking(now: now) }
        run(state.check(now: now))
        schedule(at: max(min(next, state.deadline), now + .milliseconds(10)))
    }
}

@available(*, unavailable)
extension HTTP2FrontHandler: Sendable {}
