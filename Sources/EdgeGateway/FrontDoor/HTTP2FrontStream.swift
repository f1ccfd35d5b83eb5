import HTTPExchange
import NIOCore
import NIOHPACK
import NIOHTTP2
import TunnelProtocol
import TunnelTransport

/// One stream of a client's connection of HTTP/2: a request and its answer, or another protocol's bytes.
final class HTTP2FrontStream: FrontClient {
    /// DATA that waits for more, or for the end of the burst, is not made longer than this.
    private static let gathered = 16 * 1024
    /// What the gateway may add to an answer's head.
    private static let ownFields = 512
    /// How long a client may go on sending after the last word of another protocol.
    private static let lingerTime = TimeAmount.seconds(2)

    let id: HTTP2StreamID
    private let connection: HTTP2FrontHandler
    private var reader: HTTP2RequestReader
    private var exchange: FrontExchange?

    // From the client.
    private var credit = HTTP2StreamCredit()
    /// What came while the exchange took nothing; bounded by the window.
    private var waiting = HeldBytes()
    private var waitingTrailers: HeaderFields?
    private var isHeld = false
    private var isPassing = false
    /// END_STREAM came.
    private var hasRequestEnded = false
    /// The exchange knows of it.
    private var hasToldEnd = false

    // To the client.
    /// DATA that leaves with the burst, or with the end: one frame less.
    private var last: (bytes: ByteBuffer, credit: Int)?
    private var hasAnswerEnded = false
    /// All of the answer is with the socket.
    private var isAnswerSent = false
    private var lastSent = NIODeadline.now()
    /// When the stream is reset, whatever comes.
    private var resetBy: NIODeadline?
    private var abortCode = HTTP2ErrorCode.internalError
    /// The codec knows the stream no more.
    private var isClosed = false

    // Another protocol (RFC 8441).
    /// What the application must answer to the key that it is sent; nil where HTTP is spoken.
    private var acceptance: String?
    private var hasSwitched = false

    init(_ id: HTTP2StreamID, connection: HTTP2FrontHandler) {
        self.id = id
        self.connection = connection
        reader = HTTP2RequestReader(limits: connection.shared.limits.http1)
    }

    var isOver: Bool { isClosed && exchange == nil }
    var growth: Int { credit.growth }

    // MARK: What an exchange wants to know

    var shared: ProxyContext { connection.shared }
    var spoken: FrontProtocol { .http2 }
    var address: String { connection.address }
    var isTrusted: Bool { connection.isTrusted }
    var eventLoop: (any EventLoop)? { connection.context?.eventLoop }
    var knowsUpgrade: Bool { false }

    func beginTrace(sampled: Bool) -> TraceContext { connection.traces.begin(sampled: sampled) }

    func problem(with head: ResponseHead) -> String? {
        if let acceptance {
            if head.status == 101 {
                guard (UpgradeOffer.text(in: head.fields) ?? "websocket").lowercased() == "websocket",
                    head.fields["Sec-WebSocket-Accept"] == [acceptance]
                else { return "its Sec-WebSocket-Accept does not answer the key" }
            } else if (200..<300).contains(head.status) {
                // The client would take it for a WebSocket (RFC 8441 §5).
                return "it does not switch to WebSocket, and says that all is well"
            }
        }
        // A quick look is enough for nearly all: a byte that is not UTF-8 becomes three, which take most of nine.
        let size = head.fields.byteCount + Self.ownFields
        guard size * 9 > connection.maxFrameSize,
            HPACKHeaders(head).mostEncodedBytes + Self.ownFields > connection.maxFrameSize
        else { return nil }
        return "its fields do not fit into a frame of HTTP/2"
    }

    // MARK: From the client

    func received(head block: HPACKHeaders, endStream: Bool) {
        hasRequestEnded = endStream
        do throws(HTTP1Error) {
            let head = try reader.received(head: block, endStream: endStream)
            var request = head.request
            if head.connectProtocol == "websocket" { request = websocket(request) }
            let isUpgrade = acceptance != nil
            let exchange = FrontExchange(
                request, id: connection.requestIDs.id(for: request.fields), hasBody: !isUpgrade && !endStream,
                upgrade: isUpgrade ? "websocket" : nil, client: self)
            self.exchange = exchange
            hasToldEnd = endStream && !isUpgrade
            guard isUpgrade || head.connectProtocol == nil else { return exchange.fail(.protocolNotSupported) }
            exchange.start(request, announcedLength: reader.announcedLength)
        } catch {
            connection.countMalformed()
            let exchange = FrontExchange(unreadable: error, id: connection.requestIDs.make(), client: self)
            self.exchange = exchange
            exchange.fail(error.failure)
        }
    }

    /// The request as an application of HTTP/1.1 understands it: with a key of the gateway's.
    private func websocket(_ request: HTTP1Request) -> HTTP1Request {
        let key = TunnelHandshake.makeKey()
        acceptance = TunnelHandshake.accept(for: key)
        var request = request
        request.method = "GET"
        request.fields = HopByHop.removed(from: request.fields) { field, _ in field.isNamed("sec-websocket-key") }
        request.fields.add(name: "Sec-WebSocket-Key", value: key)
        return request
    }

    func received(_ bytes: ByteBuffer, endStream: Bool) {
        if endStream { hasRequestEnded = true }
        // It is answered: what still comes is thrown away, and no credit returns.
        guard exchange != nil else { return }
        do throws(HTTP1Error) {
            try reader.received(bytes.readableBytes, endStream: endStream)
        } catch {
            return refuse(error)
        }
        if mayPass { waiting.append(bytes) } else { waiting.hold(bytes) }
        passOn()
    }

    func received(trailers block: HPACKHeaders) {
        hasRequestEnded = true
        guard exchange != nil else { return }
        do throws(HTTP1Error) {
            waitingTrailers = try reader.received(trailers: block)
        } catch {
            return refuse(error)
        }
        passOn()
    }

    private func refuse(_ error: HTTP1Error) {
        connection.countMalformed()
        abortCode = .protocolError
        exchange?.fail(error.failure)
    }

    /// Whether the exchange takes what comes.
    private var mayPass: Bool { !isHeld && (acceptance == nil || hasSwitched) }

    /// Passes on what waits, for as long as it is taken.
    private func passOn() {
        // What is passed on may lead back here.
        guard !isPassing else { return }
        isPassing = true
        defer { isPassing = false }
        while mayPass, let exchange, let bytes = waiting.takeFirst() {
            let isEnd = hasRequestEnded && waitingTrailers == nil && waiting.readableBytes == 0 && !hasSwitched
            hasToldEnd = hasToldEnd || isEnd
            exchange.requestBody(bytes, isEnd: isEnd)
        }
        guard mayPass, let exchange, waiting.readableBytes == 0 else { return credit.waited() }
        guard hasRequestEnded else { return widen() }
        guard !hasToldEnd else { return }
        hasToldEnd = true
        if hasSwitched { exchange.clientEnded() } else { exchange.requestEnded(waitingTrailers) }
    }

    private func widen() {
        guard !isClosed else { return }
        let before = credit.growth
        let increment = credit.increment(waiting: waiting.readableBytes, allowance: connection.growthAllowance)
        guard increment > 0 else { return }
        connection.grew(by: credit.growth - before)
        connection.write(id, .windowUpdate(windowSizeIncrement: increment))
        connection.flush()
    }

    /// What the client may still send, after each frame that changed it.
    func windowIs(_ size: Int) {
        credit.update(size)
        if mayPass, exchange != nil, !hasRequestEnded { widen() }
    }

    func hold(_ held: Bool) {
        guard isHeld != held else { return }
        isHeld = held
        if !held { passOn() }
    }

    /// The codec knows the stream no more.
    ///
    /// - Parameter reason: nil where both sides have ended it.
    func closed(_ reason: HTTP2ErrorCode?) {
        isClosed = true
        if reason != nil { exchange?.clientClosed() }
        connection.forgetIfOver(self)
    }

    /// The codec has reset the stream for what the client sent on it; it is closed next.
    func isBroken() { exchange?.record.failureDetail = "the client broke a rule of HTTP/2" }

    // MARK: Answering

    func inform(_ head: ResponseHead) {
        // Nobody has to be told (RFC 9110 §15.2): not a client that does not read.
        guard connection.isWritable, !isClosed else { return }
        let block = HPACKHeaders(head)
        guard block.mostEncodedBytes <= connection.maxFrameSize else { return }
        connection.write(id, .headers(.init(headers: block, endStream: false)))
    }

    func answer(_ head: ResponseHead, endStream: Bool, requestStays: Bool) {
        send(.headers(.init(headers: HPACKHeaders(head), endStream: endStream)), isEnd: endStream)
    }

    func switchProtocols(to chosen: String, _ fields: HeaderFields) {
        hasSwitched = true
        let fields = HopByHop.removed(from: fields) { field, _ in field.isNamed("sec-websocket-accept") }
        answer(ResponseHead(status: 200, fields: fields), endStream: false, requestStays: false)
        connection.flush()
        passOn()
    }

    func write(_ bytes: ByteBuffer) {
        let credit = exchange?.takeOwedCredit() ?? 0
        if let waiting = last, waiting.bytes.readableBytes + bytes.readableBytes <= Self.gathered {
            var joined = waiting.bytes
            last = nil
            joined.writeImmutableBuffer(bytes)
            last = (joined, waiting.credit + credit)
        } else {
            sendLast(endStream: false)
            last = (bytes, credit)
        }
    }

    func flush() {
        sendLast(endStream: false)
        connection.flush()
    }

    func endOutput() {
        if !sendLast(endStream: true) { endAnswer() }
        connection.flush()
    }

    func end(trailers: HeaderFields?, requestEnded: Bool) {
        finish(trailers: trailers)
        exchange = nil
        waiting = HeldBytes()
        connection.flush()
        resetIfUnended()
        connection.forgetIfOver(self)
        if !isClosed { connection.ensureTimer(by: deadline) }
    }

    private func finish(trailers: HeaderFields?) {
        guard !hasAnswerEnded else { return }
        if let trailers, !trailers.isEmpty {
            let block = HPACKHeaders(trailers: trailers)
            if block.mostEncodedBytes <= connection.maxFrameSize {
                sendLast(endStream: false)
                return send(.headers(.init(headers: block, endStream: true)), isEnd: true)
            }
            // Without them the answer would pass for whole.
            sendLast(endStream: false)
            exchange?.record.failureDetail = "the answer's trailers do not fit into a frame of HTTP/2"
            return reset(.internalError)
        }
        if !sendLast(endStream: true) { endAnswer() }
    }

    private func endAnswer() {
        guard !hasAnswerEnded else { return }
        send(.data(.init(data: .byteBuffer(ByteBuffer()), endStream: true)), isEnd: true)
    }

    func sayGoodbye() { sayGoodbye(by: .now() + Self.lingerTime) }

    private func sayGoodbye(by deadline: NIODeadline) {
        exchange = nil
        if !sendLast(endStream: true) { endAnswer() }
        resetBy = deadline
        connection.ensureTimer(by: deadline)
        connection.flush()
        connection.forgetIfOver(self)
    }

    func abort() {
        exchange = nil
        reset(abortCode)
        connection.forgetIfOver(self)
    }

    func forget() {
        exchange = nil
        connection.forgetIfOver(self)
    }

    /// The gateway ends and waits no longer. Returns whether there was something to say; the connection waits for that.
    func gatewayEnds() -> Bool {
        guard exchange?.gatewayEnds() == true else { return false }
        exchange = nil
        if !sendLast(endStream: true) { endAnswer() }
        return true
    }

    // MARK: Frames

    /// - Returns: whether there was something to send.
    @discardableResult
    private func sendLast(endStream: Bool) -> Bool {
        guard let (bytes, credit) = last else { return false }
        last = nil
        send(.data(.init(data: .byteBuffer(bytes), endStream: endStream)), credit: credit, isEnd: endStream)
        return true
    }

    private func send(_ payload: HTTP2Frame.FramePayload, isEnd: Bool) {
        send(payload, credit: exchange?.takeOwedCredit() ?? 0, isEnd: isEnd)
    }

    private func send(_ payload: HTTP2Frame.FramePayload, credit: Int, isEnd: Bool) {
        guard !isClosed else {
            if credit > 0 { exchange?.sent(credit) }
            return
        }
        if isEnd { hasAnswerEnded = true }
        lastSent = .now()
        guard credit > 0 || isEnd && !hasRequestEnded else { return connection.write(id, payload) }
        connection.write(id, payload) { [self, exchange] in
            lastSent = .now()
            if credit > 0 { exchange?.sent(credit) }
            guard isEnd else { return }
            isAnswerSent = true
            resetIfUnended()
        }
    }

    /// Where all of the answer is with the socket the rest of the request is not wanted (RFC 9113 §8.1).
    private func resetIfUnended() {
        guard exchange == nil, isAnswerSent, resetBy == nil, !hasRequestEnded else { return }
        reset(.noError)
    }

    private func reset(_ code: HTTP2ErrorCode) {
        last = nil
        guard !isClosed else { return }
        isClosed = true
        connection.reset(id, code)
    }

    // MARK: Time

    func ensureTimer(by deadline: NIODeadline) { connection.ensureTimer(by: deadline) }

    var deadline: NIODeadline {
        if let exchange { return exchange.deadline }
        return resetBy ?? lastSent + shared.limits.keepAlive
    }

    func checkDeadline(_ now: NIODeadline) {
        if let exchange { return exchange.checkDeadline() }
        // A client that takes nothing of the end of its answer.
        guard now >= deadline else { return }
        reset(.cancel)
        connection.forgetIfOver(self)
    }
}

@available(*, unavailable)
extension HTTP2FrontStream: Sendable {}
