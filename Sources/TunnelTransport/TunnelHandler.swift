package import NIOCore
import TunnelProtocol

/// The tunnel on its event loop: bytes ↔ WebSocket messages ↔ frames ↔ streams.
///
/// It decides nothing about streams: `Multiplexer` does. It keeps three habits: one read burst ends in one flush; no
/// more is handed to the socket than it takes; the reader neither waits nor drops.
package final class TunnelHandler: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// Bytes of frames that go into one WebSocket message: with its header they fill a buffer of 64 KiB.
    private static let messageSize = 64 * 1024 - WebSocketWriter.headerSpace
    /// Answers to frames that may wait for a peer that does not read.
    private static let mostWaitingAnswers = 100_000
    /// Bytes that may wait in the socket's buffer before another control message.
    private static let mostWaitingBytes = 4 * 1024 * 1024
    /// How long to wait for the other side's goodbye.
    package static let goodbyeTimeout = TimeAmount.milliseconds(700)
    /// The same for that of TLS, behind it.
    package static let secureGoodbyeTimeout = TimeAmount.milliseconds(300)

    private let configuration: TunnelConfiguration
    private let observer: any TunnelObserver
    private var reader: WebSocketReader
    private var writer: WebSocketWriter
    var multiplexer: Multiplexer
    private var streams: [StreamID: TunnelStream] = [:]
    /// Streams that got events in this read burst.
    private var touched: [TunnelStream] = []
    var liveness: Liveness
    /// Only where this side sends canaries.
    var canary: Canary?
    /// Only where this side expects canaries.
    var canaryWatch: CanaryWatch?
    /// When the last canary came: the first may be here before the control path has said to expect any.
    var canaryCameAt: NIODeadline?
    /// The stream of the canary that is under way.
    var canaryStream: StreamID?
    var roundTrip = RoundTrip()
    var counts = TunnelCounts()
    let vitals: TunnelVitals
    /// When the last tick was.
    var tickedAt = NIODeadline.now()
    /// When the read burst began.
    private(set) var readAt = NIODeadline.now()
    private(set) var hasToldDraining = false
    private var ticker: RepeatedTask?
    private var context: ChannelHandlerContext?
    private var isReading = false
    private var isFlushScheduled = false
    private var areResetsScheduled = false
    private var hasUnflushedWrites = false
    private var closeReason: TunnelCloseReason?
    private let ownTunnel: () -> Tunnel?

    init(
        configuration: TunnelConfiguration, observer: any TunnelObserver, now: NIODeadline,
        tunnel: @escaping () -> Tunnel?
    ) {
        self.configuration = configuration
        self.observer = observer
        ownTunnel = tunnel
        let role: WebSocketRole = configuration.role == .agent ? .client : .server
        reader = WebSocketReader(role: role)
        writer = WebSocketWriter(role: role)
        multiplexer = Multiplexer(
            role: configuration.role, maxStreams: configuration.maxStreams, limits: configuration.flow)
        vitals = TunnelVitals(maxStreams: configuration.maxStreams)
        liveness = Liveness(now: now, interval: configuration.pingInterval, timeout: configuration.deadAfter)
    }

    // MARK: Channel events

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        let interval = min(Self.tickInterval, configuration.canaryInterval ?? Self.tickInterval)
        ticker = context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            handler.value.tick()
        }
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        ticker?.cancel()
        // Where the connection had ended before the handler came.
        finish(.disconnected)
        self.context = nil
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard closeReason == nil else { return awaitGoodbye(unwrapInboundIn(data)) }
        isReading = true
        readAt = .now()
        liveness.received(at: readAt)
        let bytes = unwrapInboundIn(data)
        counts.bytesIn += bytes.readableBytes
        reader.append(bytes)
        do throws(ProtocolViolation) {
            while closeReason == nil, let message = try reader.next() { try receive(message) }
            for _ in 0..<reader.takeEmptyFragments() { try count(.emptyFragment) }
        } catch {
            close(.violated(error))
        }
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        endBurst()
        flushOutput()
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { flushOutput() }
        context.fireChannelWritabilityChanged()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        finish(.disconnected)
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(.failed(String(describing: error)))
        context.close(promise: nil)
    }

    // MARK: Receiving

    /// This side has said goodbye: all that counts is the other's.
    private func awaitGoodbye(_ bytes: ByteBuffer) {
        // Behind a violation no byte can be told from another.
        if case .violated = closeReason { return }
        reader.append(bytes)
        do throws(ProtocolViolation) {
            while let message = try reader.next() {
                guard case .close = message else { continue }
                context?.close(promise: nil)
                return
            }
        } catch {
            context?.close(promise: nil)
        }
    }

    private func receive(_ message: WebSocketMessage) throws(ProtocolViolation) {
        switch message {
        case .binary(let frames):
            if frames.readableBytes == 0 { try count(.emptyMessage) } else { canaryWatch?.moved(at: readAt) }
            var frames = FrameReader(frames)
            while closeReason == nil, let frame = try frames.next() {
                carryOut(multiplexer.receive(frame, at: readAt, isShared: frames.isShared))
            }
            for _ in 0..<frames.passedOver { try count(.unknownFrame) }
            guard multiplexer.waitingAnswers <= Self.mostWaitingAnswers else {
                throw ProtocolViolation(.controlFlood, "answers to frames are not read")
            }
        case .text(let text):
            try count(.control)
            guard observer.tunnelReceived(text) else {
                throw ProtocolViolation(.controlFlood, "control messages arrive faster than they are handled")
            }
        case .ping(let payload):
            try count(.ping)
            // A peer that does not read gets no answers it would have to read first (RFC 6455 §5.5.3 allows that).
            if context?.channel.isWritable == true { write(payload, opcode: WebSocketOpcode.pong) }
        case .pong(let payload):
            try count(.ping)
            receivedPong(payload)
        case .close(let code, let reason):
            close(.closedByPeer(code: code ?? 1005, reason: reason))
        }
    }

    /// The peer sent something that does nothing.
    private func count(_ useless: FloodGuard.Kind) throws(ProtocolViolation) {
        if let violation = multiplexer.receivedUseless(useless, at: readAt) { throw violation }
    }

    /// The owner has found that a control message did nothing.
    func receivedUselessControl() {
        guard closeReason == nil else { return }
        if let violation = multiplexer.receivedUseless(.uselessControl, at: .now()) { close(.violated(violation)) }
    }

    private func carryOut(_ action: Multiplexer.Action) {
        switch action {
        case .none: break
        case .opened(let id, let head, let endStream): accept(id, head, endStream)
        case .responded(let id, let head, let endStream):
            if id == canaryStream { return takeCanary(id, isLast: endStream) }
            canary?.moved(at: readAt)
            deliver(.head(head, endStream: endStream), to: id)
        case .data(let id, let bytes, let endStream):
            if id == canaryStream { return takeCanary(id, bytes: bytes.readableBytes, isLast: endStream) }
            canary?.moved(at: readAt)
            deliver(.data(bytes, endStream: endStream), to: id)
        case .trailers(let id, let fields):
            if id == canaryStream { return takeCanary(id, isLast: true) }
            deliver(.trailers(fields), to: id)
        case .refused(_, let code, let detail): observer.streamRefused(code, detail: detail)
        case .reset(let id, let code, let detail):
            if id == canaryStream { return takeCanary(id, isLast: true) }
            deliver(.reset(code, detail: detail), to: id)
        case .draining(let unprocessed, let detail):
            for id in unprocessed { deliver(.reset(.refused, detail: detail), to: id) }
            endCanaries()
            if configuration.role == .gateway { vitals.takeNoMore() }
            guard !hasToldDraining else { return }
            hasToldDraining = true
            observer.tunnelDraining(detail)
        case .close(let violation): close(.violated(violation))
        }
    }

    private func accept(_ id: StreamID, _ head: RequestHead, _ endStream: Bool) {
        guard let context, let tunnel = ownTunnel() else { return }
        counts.streamsOpened += 1
        if head.isCanary {
            canaryCameAt = readAt
            canaryWatch?.received(at: readAt)
        }
        guard let receiver = observer.streamOpened(head, endStream: endStream, on: tunnel) else {
            multiplexer.reset(id, .refused)
            return
        }
        let loop = context.eventLoop
        let stream = TunnelStream(
            id: id, handler: self, tunnelLoop: loop, receiver: NIOLoopBound(receiver, eventLoop: loop),
            receiverLoop: loop)
        streams[id] = stream
        touched.append(stream)
        receiver.attached(to: stream)
    }

    private func deliver(_ event: StreamEvent, to id: StreamID) {
        guard let stream = streams[id] else { return }
        stream.deliver(event)
        touched.append(stream)
        if !multiplexer.isOpen(id) { streams.removeValue(forKey: id)?.finish() }
    }

    private func endBurst() {
        guard !touched.isEmpty else { return }
        let streams = touched
        touched.removeAll(keepingCapacity: true)
        for stream in streams { stream.endBurst() }
    }

    /// Forgets a stream whose last frame was sent. What it still has to deliver leaves first.
    private func forget(_ id: StreamID) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        stream.finish()
        stream.endBurst()
    }

    // MARK: Streams' wishes

    func open(_ head: RequestHead, endStream: Bool, as stream: TunnelStream) {
        let refusal: StreamRefusal
        guard closeReason == nil else { return refuse(stream, .closed) }
        guard HeaderBlock.request(head).isSendable else { return refuse(stream, .headTooLarge) }
        switch multiplexer.open(head, endStream: endStream) {
        case .opened(let id):
            streams[id] = stream
            stream.opened(id, by: self)
            counts.streamsOpened += 1
            publishLoad()
            scheduleFlush()
            return
        case .draining: refusal = .draining
        case .streamLimit: refusal = .streamLimit
        case .memory: refusal = .memory
        }
        refuse(stream, refusal)
    }

    private func refuse(_ stream: TunnelStream, _ refusal: StreamRefusal) {
        publishLoad()
        stream.deliver(.refused(refusal))
        stream.endBurst()
    }

    func respond(_ id: StreamID, _ head: ResponseHead, endStream: Bool) {
        guard HeaderBlock.response(head).isSendable else {
            let detail = "the answer's header fields are too large, or not allowed in HTTP"
            multiplexer.reset(id, .backendInvalid, detail: detail)
            // The backend's answer must be stopped, too.
            deliver(.reset(.backendInvalid, detail: detail), to: id)
            if !isReading { endBurst() }
            return scheduleFlush()
        }
        let mayGoOn = multiplexer.respond(id, head, endStream: endStream)
        if !multiplexer.isOpen(id) { forget(id) }
        if !mayGoOn, let stream = streams[id] {
            stream.deliver(.holdBack)
            stream.endBurst()
        }
        scheduleFlush()
    }

    func send(_ id: StreamID, _ bytes: ByteBuffer, endStream: Bool) {
        if !multiplexer.send(id, bytes, endStream: endStream), let stream = streams[id] {
            stream.deliver(.holdBack)
            stream.endBurst()
        }
        if !multiplexer.isOpen(id) { forget(id) }
        scheduleFlush()
    }

    func send(_ id: StreamID, trailers: HeaderFields) {
        let sendable = HeaderBlock.trailers(trailers).isSendable
        multiplexer.send(id, trailers: sendable ? trailers : [:])
        scheduleFlush()
    }

    func reset(_ id: StreamID, _ code: ResetCode, detail: String) {
        multiplexer.reset(id, code, detail: detail, at: .now())
        streams.removeValue(forKey: id)?.detach()
        scheduleFlush()
        scheduleResets()
    }

    /// RESETs that have to wait leave in steps that are short against the time within which a backend is to be told.
    private func scheduleResets() {
        guard !areResetsScheduled, multiplexer.hasAbandoned, let context else { return }
        areResetsScheduled = true
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .milliseconds(20)) {
            let handler = handler.value
            handler.areResetsScheduled = false
            handler.multiplexer.resetAbandoned(at: .now())
            handler.flushOutput()
            handler.scheduleResets()
        }
    }

    func consumed(_ id: StreamID, _ bytes: Int) {
        multiplexer.consumed(id, bytes)
        if !multiplexer.isOpen(id) {
            forget(id)
            publishLoad()
        }
        if multiplexer.hasOutput { scheduleFlush() }
    }

    func announceDrain(detail: String) {
        multiplexer.announceDrain(detail: detail)
        scheduleFlush()
    }

    func drain(detail: String) {
        multiplexer.drain(detail: detail)
        endCanaries()
        vitals.takeNoMore()
        scheduleFlush()
    }

    /// No stream is open and nothing waits to be sent.
    var isQuiet: Bool { multiplexer.streamCount == 0 && !multiplexer.hasOutput }

    // MARK: Sending

    /// - Parameter promise: fulfilled once the message is with the socket.
    func sendControl(_ text: String, promise: EventLoopPromise<Void>? = nil) {
        guard closeReason == nil, let context else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        // Streams wait for the socket; control messages do not, and must not pile up before a peer that reads nothing.
        let waiting = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        guard waiting <= Self.mostWaitingBytes else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return close(.violated(ProtocolViolation(.controlFlood, "control messages are not read")))
        }
        write(ByteBuffer(string: text), opcode: WebSocketOpcode.text, promise: promise)
    }

    /// Takes no more streams at once than this; those that are open go on.
    func limitStreams(to count: Int) {
        multiplexer.limitStreams(to: count)
        vitals.setMaxStreams(multiplexer.maxStreams)
    }

    private func publishLoad() { vitals.setOpenStreams(multiplexer.streamCount) }

    /// Everything that wants to be sent in this turn of the event loop leaves together.
    func scheduleFlush() {
        guard !isReading, !isFlushScheduled, let context else { return }
        isFlushScheduled = true
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            handler.value.isFlushScheduled = false
            handler.value.flushOutput()
        }
    }

    func flushOutput() {
        guard let context else { return }
        while closeReason == nil, multiplexer.hasOutput, context.channel.isWritable {
            let capacity = min(multiplexer.sendableBytes, Self.messageSize)
            var message = writer.startMessage(capacity: capacity, allocator: context.channel.allocator)
            let written = multiplexer.write(into: &message, limit: Self.messageSize)
            if message.readableBytes > 0 {
                writer.finish(&message, opcode: WebSocketOpcode.binary)
                counts.bytesOut += message.readableBytes
                context.write(wrapOutboundOut(message), promise: nil)
                hasUnflushedWrites = true
            }
            for id in written.finished { forget(id) }
            release(written.released)
        }
        release(multiplexer.letIn())
        publishLoad()
        if hasUnflushedWrites {
            hasUnflushedWrites = false
            context.flush()
        }
    }

    /// The sources of these streams may go on.
    private func release(_ ids: [StreamID]) {
        for id in ids {
            streams[id]?.deliver(.resume)
            streams[id]?.endBurst()
        }
    }

    func write(_ payload: ByteBuffer, opcode: UInt8, promise: EventLoopPromise<Void>? = nil) {
        guard let context else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        var message = writer.startMessage(capacity: payload.readableBytes, allocator: context.channel.allocator)
        message.writeImmutableBuffer(payload)
        writer.finish(&message, opcode: opcode)
        counts.bytesOut += message.readableBytes
        context.writeAndFlush(wrapOutboundOut(message), promise: promise)
    }

    // MARK: Ending

    /// Says goodbye behind everything that is due, and closes the connection.
    ///
    /// The side that says goodbye first waits for the other's before it closes (RFC 6455 §7.1.1): closing over bytes
    /// that are still arriving would destroy what was said on its way.
    func close(_ reason: TunnelCloseReason) {
        guard closeReason == nil, let context else { return }
        if let error = reason.told {
            write(ByteBuffer(string: ControlMessage.error(error).encoded()), opcode: WebSocketOpcode.text)
        } else {
            flushOutput()
        }
        let goodbye = WebSocketClose.payload(reason.webSocketCode, reason: reason.description)
        write(goodbye, opcode: WebSocketOpcode.close)
        finish(reason)
        let channel = context.channel
        // Once both have said goodbye the server ends the connection; the client waits for that (RFC 6455 §7.1.1).
        if case .closedByPeer = reason, configuration.role == .gateway {
            channel.close(promise: nil)
        } else {
            let deadline = channel.eventLoop.scheduleTask(in: Self.goodbyeTimeout) { channel.close(promise: nil) }
            channel.closeFuture.whenComplete { _ in deadline.cancel() }
        }
    }

    private func finish(_ reason: TunnelCloseReason) {
        guard closeReason == nil else { return }
        closeReason = reason
        ticker?.cancel()
        vitals.takeNoMore()
        publishCounts()
        let orphans = streams.values
        streams = [:]
        for stream in orphans {
            stream.deliver(.lost)
            stream.endBurst()
        }
        // A burst that ends the connection has no end of its own, and what came in it is still due.
        endBurst()
        observer.tunnelClosed(reason)
    }
}

@available(*, unavailable)
extension TunnelHandler: Sendable {}
