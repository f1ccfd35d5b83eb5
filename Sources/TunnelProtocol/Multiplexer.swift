import DequeModule
package import NIOCore

/// The streams of one tunnel: who may send what, how much, and in which order it leaves.
///
/// Everything here is decided and nothing is done: a shell feeds in frames (`receive`), carries out the actions, and
/// fetches bytes to write (`write`) whenever its socket can take some.
///
/// Both ends run the same flow control and the same writer; they differ in who opens streams (`Role`) and hence in
/// which kind of head they may receive. What cannot happen is classified: a mistake of this side's caller is a
/// precondition, a mistake of the peer is `.close(ProtocolViolation)`, and a frame that crossed our RESET on the wire
/// is ignored.
package struct Multiplexer {
    package enum Role: Hashable, Sendable {
        /// Opens streams, sends requests, receives responses.
        case gateway
        /// Accepts streams, receives requests, sends responses.
        case agent
    }

    /// What the caller has to do about a received frame.
    package enum Action: Equatable {
        /// Nothing: flow control, or a harmless race.
        case none
        /// A request arrived (agent only).
        case opened(StreamID, RequestHead, endStream: Bool)
        /// A response head arrived (gateway only).
        case responded(StreamID, ResponseHead, endStream: Bool)
        /// Bytes of a body arrived; report them with `consumed` once they are written onward.
        case data(StreamID, ByteBuffer, endStream: Bool)
        /// Trailers arrived; the peer's direction has ended.
        case trailers(StreamID, HeaderFields)
        /// A request was not taken, and the peer was told so (agent only).
        case refused(StreamID, ResetCode, detail: String)
        /// The peer ended the stream.
        case reset(StreamID, ResetCode, detail: String)
        /// The peer accepts no more streams, or (towards an agent) soon opens none; the listed ones were never processed.
        case draining(unprocessed: [StreamID], detail: String)
        /// The peer broke the protocol; the tunnel must be closed.
        case close(ProtocolViolation)
    }

    package enum OpenResult: Equatable {
        case opened(StreamID)
        /// The peer or this side is draining, or the stream numbers are used up: try another tunnel.
        case draining
        /// As many streams as allowed are open.
        case streamLimit
        /// The memory budget is reserved.
        case memory
    }

    let role: Role
    let limits: FlowLimits
    package private(set) var maxStreams: Int
    var budget: ReceiveBudget
    var streams: [StreamID: Stream] = [:]
    /// Streams with something to send and the credit for it, in the order of their turns.
    var ready: Deque<StreamID> = []
    /// Encoded frames that go before any DATA: heads, credit, resets.
    var urgent = ByteBuffer()
    /// The highest stream opened (gateway) or accepted (agent).
    var lastStreamID = StreamID(0)
    /// No stream is opened, or accepted, any more.
    var isDraining = false
    /// The end of the tunnel is announced, by this side or by the peer; streams may still be opened.
    var isDrainAnnounced = false
    /// What the peer sends that does nothing.
    var flood: FloodGuard
    /// What this gateway sends that may look so to the agent.
    var pace: ResetPace
    /// When the frame under way was received.
    var now = NIODeadline.distantPast
    /// How often a stream had something to send and no credit for it.
    package internal(set) var stalls = 0
    /// Streams that stand still for want of credit now.
    package internal(set) var stalledStreams = 0
    /// Bytes of bodies that wait to be sent, over all streams.
    var queuedBody: Int {
        get { budget.queued }
        set { budget.queued = newValue }
    }
    /// Streams whose source was told to stop although little of their own waits, because much of the others' does.
    var crowdedOut: Deque<StreamID> = []
    /// Bytes of heads that may wait for the socket before no more streams are opened.
    static let mostUrgentBytes = 1024 * 1024

    /// - Parameter maxStreams: streams open at once; the gateway opens no more, the agent refuses more.
    package init(role: Role, maxStreams: Int, limits: FlowLimits = FlowLimits()) {
        self.role = role
        self.maxStreams = maxStreams
        self.limits = limits
        budget = ReceiveBudget(total: limits.budget)
        flood = FloodGuard(role: role, maxStreams: maxStreams)
        pace = ResetPace(maxStreams: maxStreams)
    }

    package var streamCount: Int { streams.count }
    /// Bytes of memory promised to the peer.
    package var reservedBytes: Int { budget.reserved }
    /// Bytes waiting to be sent.
    package var queuedBytes: Int { urgent.readableBytes + queuedBody }
    package var hasOutput: Bool { urgent.readableBytes > 0 || !ready.isEmpty }
    /// Frames that answer the peer's (credit, resets) and wait to be sent; no credit bounds them.
    package internal(set) var waitingAnswers = 0
    /// Bytes of frames that may leave next, at most, with the headers that they still need.
    package var sendableBytes: Int {
        urgent.readableBytes + (ready.isEmpty ? 0 : queuedBody + ready.count * FrameWire.headerSize)
    }
    package func isOpen(_ id: StreamID) -> Bool { streams[id] != nil }
    /// Whether `open` could succeed now.
    package var acceptsStreams: Bool { !isDraining && streams.count < maxStreams }

    /// One exchange. `sent` and `received` tell how far each direction has come.
    struct Stream {
        enum Direction: Hashable {
            /// No final head yet. Next: `body`, `ended`.
            case head
            /// DATA or trailers may follow. Next: `ended`.
            case body
            /// Nothing may follow.
            case ended
        }

        var sent: Direction
        var received: Direction
        var sendWindow: SendWindow
        var receiveWindow: ReceiveWindow
        /// Bytes of a request's large fields (agent only), until the stream is over.
        var heldRequest = 0
        var outbound = OutboundQueue()
        var isReady = false
        /// Something waits to be sent, and there is no credit.
        var isStalled = false
        /// The source was told to stop and has not been told to go on.
        var isHeldBack = false
        /// It was told so because the queues of all streams together are long.
        var isCrowdedOut = false
        /// Its user is gone, and its RESET waits for its time.
        var isAbandoned = false

        /// Bytes of large heads that arrived and are not written onward.
        var heldHeads = 0

        /// Both directions have ended, and what arrived is written onward: until then its memory is spoken for.
        var isOver: Bool { sent == .ended && received == .ended && receiveWindow.held == 0 && heldHeads == 0 }
    }

    /// What one stream still has to send.
    struct OutboundQueue {
        /// How the queue ends once its bytes are gone.
        enum End {
            case open
            /// END_STREAM on the last DATA.
            case plain
            case trailers(HeaderFields)
        }

        var held = HeldBytes()
        var end = End.open

        var bytes: Int { held.readableBytes }
        var isOpen: Bool { if case .open = end { true } else { false } }
    }
}

// MARK: - Opening and sending

extension Multiplexer {
    /// Opens a stream for a request (gateway only). `head.window` is filled in.
    package mutating func open(_ head: RequestHead, endStream: Bool) -> OpenResult {
        precondition(role == .gateway, "only the gateway opens streams")
        guard hasNumbersLeft else { return .draining }
        guard streams.count < maxStreams else { return .streamLimit }
        guard queuedBody < limits.budget, !isStuck, let grant = budget.openingGrant(limits: limits) else {
            return .memory
        }
        return open(head, endStream: endStream, grant: grant)
    }

    /// Opens a canary (gateway only): beyond the limit of streams, and with hardly any memory, so that a tunnel that is
    /// merely full is not taken for one that hangs. The caller has no more than one open.
    package mutating func openCanary() -> OpenResult {
        precondition(role == .gateway, "only the gateway opens streams")
        return open(.canary, endStream: true, grant: RequestHead.canaryWindow)
    }

    private var hasNumbersLeft: Bool { !isDraining && lastStreamID.rawValue < UInt32(Int32.max) }

    private mutating func open(_ head: RequestHead, endStream: Bool, grant: Int) -> OpenResult {
        guard hasNumbersLeft else { return .draining }
        guard urgent.readableBytes < Self.mostUrgentBytes else { return .memory }
        budget.reserve(grant)
        flood.opened(by: role)
        let id = StreamID(lastStreamID.rawValue + 1)
        lastStreamID = id
        var head = head
        head.window = UInt32(grant)
        streams[id] = Stream(
            sent: endStream ? .ended : .body, received: .head,
            sendWindow: SendWindow(credit: FrameLimits.initialRequestCredit),
            receiveWindow: ReceiveWindow(granted: grant))
        urgent.writeFrame(.headers(id, .request(head), endStream: endStream))
        return .opened(id)
    }

    /// Sends a response head (agent only); any number of informational ones may precede the final one.
    /// A stream that is gone is ignored: its reset may just have arrived.
    ///
    /// - Returns: whether the body's source may begin; if not, `write` reports when it may.
    @discardableResult
    package mutating func respond(_ id: StreamID, _ head: ResponseHead, endStream: Bool) -> Bool {
        precondition(role == .agent, "only the agent responds")
        guard var stream = streams[id] else { return true }
        precondition(stream.sent == .head, "a second final head on stream \(id)")
        precondition(!endStream || !head.isInformational, "stream \(id) cannot end with status \(head.status)")
        urgent.writeFrame(.headers(id, .response(head), endStream: endStream))
        if endStream {
            stream.sent = .ended
        } else if !head.isInformational {
            stream.sent = .body
            holdBackIfCrowded(id, &stream)
        }
        update(id, stream)
        return !stream.isHeldBack
    }

    /// Queues bytes of a body. Returns whether the source may go on; if not, `write` reports when it may.
    /// A stream that is gone takes everything and sends nothing. Where both directions have ended with it the stream is
    /// forgotten.
    package mutating func send(_ id: StreamID, _ bytes: ByteBuffer, endStream: Bool) -> Bool {
        guard var stream = streams[id], !stream.isAbandoned else { return true }
        precondition(stream.sent == .body && stream.outbound.isOpen, "DATA outside the body of stream \(id)")
        if mayPassQueue(bytes, stream) {
            urgent.writeDataFrameHeader(stream: id, length: bytes.readableBytes, endStream: endStream)
            urgent.writeImmutableBuffer(bytes)
            stream.sendWindow.spend(bytes.readableBytes)
            flood.earn(.window)
            if endStream { stream.sent = .ended }
            update(id, stream)
            return true
        }
        if bytes.readableBytes > 0 { queue(bytes, &stream) }
        if endStream { stream.outbound.end = .plain }
        makeReadyIfPossible(id, &stream)
        noteStall(&stream)
        if stream.outbound.bytes > limits.sendQueueHigh { stream.isHeldBack = true }
        holdBackIfCrowded(id, &stream)
        let mayGoOn = !stream.isHeldBack
        streams[id] = stream
        return mayGoOn
    }

    /// Whether DATA may be encoded at once, as most small bodies are: where no stream waits for its turn, and all that
    /// waits to be sent is less than one turn, nobody is passed over by it.
    private func mayPassQueue(_ bytes: ByteBuffer, _ stream: Stream) -> Bool {
        ready.isEmpty && stream.outbound.bytes == 0 && bytes.readableBytes <= stream.sendWindow.credit
            && urgent.readableBytes + bytes.readableBytes <= limits.turn
    }

    /// Ends this side's direction with trailers, after what is queued.
    package mutating func send(_ id: StreamID, trailers: HeaderFields) {
        guard var stream = streams[id], !stream.isAbandoned else { return }
        precondition(stream.sent == .body && stream.outbound.isOpen, "trailers outside the body of stream \(id)")
        stream.outbound.end = trailers.isEmpty ? .plain : .trailers(trailers)
        makeReadyIfPossible(id, &stream)
        streams[id] = stream
    }

    /// Opens (gateway) or takes (agent) no more streams at once than this; those that are open go on.
    package mutating func limitStreams(to count: Int) {
        maxStreams = min(maxStreams, max(0, count))
        pace.limit(to: maxStreams)
    }

    /// Bytes that `receive` delivered were written onward, or thrown away: their credit returns to the peer. To be
    /// told of every byte, those of the last DATA included, and of an answer's `HeaderFields.heldBytes`, unless the
    /// stream is reset.
    package mutating func consumed(_ id: StreamID, _ bytes: Int) {
        guard var stream = streams[id] else { return }
        var bytes = bytes
        if stream.heldHeads > 0 {
            let ofHeads = min(bytes, stream.heldHeads)
            stream.heldHeads -= ofHeads
            budget.release(ofHeads)
            bytes -= ofHeads
        }
        if stream.received == .ended {
            stream.receiveWindow.consumedAfterEnd(bytes, budget: &budget)
        } else {
            let increment = stream.receiveWindow.consumed(bytes, budget: &budget, limits: limits)
            if increment > 0 { answer(.window(id, increment: UInt32(increment))) }
        }
        update(id, stream)
    }

    /// Announces that the tunnel is about to end, once (gateway only): the agent is to dial another. Streams may be
    /// opened until `drain`.
    package mutating func announceDrain(detail: String) {
        precondition(role == .gateway, "only the gateway announces")
        guard !isDrainAnnounced, !isDraining else { return }
        isDrainAnnounced = true
        urgent.writeFrame(.goAway(lastStreamID: .announcement, detail: detail))
    }

    /// Announces that no stream above the last one is opened, or accepted, any more, once.
    package mutating func drain(detail: String) {
        guard !isDraining else { return }
        isDraining = true
        urgent.writeFrame(.goAway(lastStreamID: lastStreamID, detail: detail))
    }

    mutating func answer(_ frame: Frame) {
        urgent.writeFrame(frame)
        waitingAnswers += 1
    }

    func mayTakeTurn(_ stream: Stream) -> Bool {
        if stream.outbound.bytes > 0 { return stream.sendWindow.credit > 0 }
        return stream.sent == .body && !stream.outbound.isOpen
    }

    mutating func makeReadyIfPossible(_ id: StreamID, _ stream: inout Stream) {
        guard !stream.isReady, mayTakeTurn(stream) else { return }
        stream.isReady = true
        ready.append(id)
    }

    /// Stores a stream's new state, or forgets it once it is over.
    mutating func update(_ id: StreamID, _ stream: Stream) {
        streams[id] = stream
        if stream.isOver { remove(id) }
    }

    mutating func remove(_ id: StreamID) {
        guard var stream = streams.removeValue(forKey: id) else { return }
        queuedBody -= stream.outbound.bytes
        if stream.isStalled { stalledStreams -= 1 }
        stream.receiveWindow.closed(budget: &budget)
        budget.release(stream.heldHeads + stream.heldRequest)
        // Its place in `ready` is passed over by `write`.
    }
}
