import HTTPExchange
import NIOCore
import TunnelProtocol
import TunnelTransport

/// One request at the gateway: the public connection on one side, a stream of a tunnel on the other.
///
/// Carries out what `ExchangeStateMachine` decides. A new object for each request, so that an event that comes late
/// cannot meet the next request of the same connection.
final class FrontExchange: StreamReceiver {
    /// How long what a client said last has to reach the application, once nobody hears the application any more.
    private static let upgradeLinger = TimeAmount.milliseconds(500)

    let started: NIODeadline
    var record: AccessRecord
    /// What was sent to the cluster, kept until an answer shows that it was processed.
    private(set) var head: RequestHead?
    /// The protocol that the client wants to switch to (RFC 9110 §7.8).
    let upgrade: String?
    let requestID: RequestID
    private let hasRequestBody: Bool
    /// The longest body that the request may have, in bytes.
    private var mostBytesIn = Int.max
    /// What the client sent, kept for the answer to a failure as long as there may be one.
    private var asked: HeaderFields?
    /// Who found out what failed.
    private var finder = FailedRequest.Hop.gateway
    /// The limit that the request met.
    var quota: ExceededQuota?

    /// Kept alive: events of a tunnel on another event loop may still come when the connection is gone.
    private let handler: ProxyHandler
    /// Whether the client understands chunked bodies and keeps connections by default.
    private let isHTTP11: Bool
    private var clientKeepsAlive: Bool
    /// How much of the answer's body is still to come: the agent is not believed.
    private var responseBody: BodyFraming?
    private var isChunked = false
    private var machine: ExchangeStateMachine
    private var stream: TunnelStream?
    /// The request's body as far as it was sent, to be sent again.
    private var replay = RequestReplay()
    private var hasRetried = false
    /// What passes of a request's trailers.
    private var trailerPolicy: (HeaderFields) -> HeaderFields = { HopByHop.trailers(from: $0) }
    private var needsFlush = false
    /// Bytes of the answer that are written and whose credit is not returned.
    private var owed = 0
    /// Both sides speak another protocol.
    private var isUpgraded = false
    private var speaksWebSocket = false
    private var toClient = WebSocketBoundary()

    /// - Parameter hasBody: whether the framing says that a body follows the head.
    init(_ request: HTTP1Request, id: RequestID, hasBody: Bool, client: String, handler: ProxyHandler) {
        self.handler = handler
        requestID = id
        asked = request.fields
        isHTTP11 = request.version == .http11
        clientKeepsAlive = request.version.keepsAlive(request.fields)
        hasRequestBody = hasBody
        // Beside a body nobody could tell its end from where the other protocol begins.
        upgrade = hasBody ? nil : request.upgrade
        record = AccessRecord(host: "", path: "", method: request.method, status: 0, duration: .zero, client: client)
        record.requestID = id.text
        let now = NIODeadline.now()
        started = now
        machine = ExchangeStateMachine(requestEnded: !hasRequestBody, now: now, timeouts: .init())
    }

    /// For a request that cannot be read, to be failed at once.
    init(unreadable error: HTTP1Error, id: RequestID, client: String, handler: ProxyHandler) {
        self.handler = handler
        requestID = id
        isHTTP11 = true
        clientKeepsAlive = false
        hasRequestBody = true
        upgrade = nil
        record = AccessRecord(host: "", path: "", method: "", status: 0, duration: .zero, client: client)
        record.failureDetail = "\(error)"
        record.requestID = id.text
        let now = NIODeadline.now()
        started = now
        machine = ExchangeStateMachine(requestEnded: false, now: now, timeouts: .init())
    }

    var deadline: NIODeadline { machine.deadline }

    /// Whether parts of the request, or bytes of another protocol, are still to come.
    var wantsRequest: Bool { !machine.requestHasEnded }

    /// Whether the client waits for an answer before it sends a body, and has sent nothing of it.
    private var waitsToSendBody: Bool {
        !machine.requestHasEnded && record.bytesIn == 0 && asked?.contains(name: "Expect") == true
    }

    /// Whether more may follow the request's head on the stream.
    var keepsStreamOpen: Bool { hasRequestBody || upgrade != nil }

    /// The request is routed.
    func start(
        _ head: RequestHead, timeouts: ExchangeStateMachine.Timeouts, maxBodySize: Int,
        trailers: @escaping (HeaderFields) -> HeaderFields
    ) {
        self.head = head
        trailerPolicy = trailers
        mostBytesIn = maxBodySize
        machine = ExchangeStateMachine(requestEnded: !hasRequestBody, now: started, timeouts: timeouts)
        // The client may wait for a 100 (RFC 9110 §10.1.1).
        if hasRequestBody, head.fields.contains(name: "Expect") { machine.requestHeld(true) }
    }

    /// A stream was opened for it. One that was refused at once has been replaced, or given up, already.
    func attach(_ stream: TunnelStream) {
        if !machine.isOver, self.stream == nil { self.stream = stream }
    }

    // MARK: From the client

    func requestBody(_ bytes: ByteBuffer) {
        record.bytesIn += bytes.readableBytes
        guard isUpgraded || record.bytesIn <= mostBytesIn else { return fail(.bodyTooLarge) }
        guard machine.requestPart(isEnd: false, now: .now()) == .forward else { return }
        replay.sent(bytes)
        stream?.send(bytes, endStream: false)
    }

    func requestEnded(_ trailers: HeaderFields?) {
        guard hasRequestBody, machine.requestPart(isEnd: true, now: .now()) == .forward else { return }
        if let trailers, !trailers.isEmpty {
            replay.giveUp()
            stream?.send(trailers: trailerPolicy(trailers))
        } else {
            stream?.send(ByteBuffer(), endStream: true)
        }
    }

    /// The client of another protocol has said its last; the application may still speak.
    func clientEnded() {
        guard isUpgraded else { return clientClosed() }
        let action = machine.requestPart(isEnd: true, now: .now())
        guard action != .discard else { return }
        stream?.send(ByteBuffer(), endStream: true)
        guard action == .forwardAndFinish else { return handler.ensureTimer(by: deadline) }
        handler.finish(self, reusable: false, requestEnded: true)
    }

    func clientClosed() {
        // It has heard the application's last, too.
        if machine.hasHalfClosed { return clientEnded() }
        let hasEnded = machine.requestHasEnded
        guard machine.clientClosed() else { return }
        if isUpgraded {
            endUpgrade(hasEnded: hasEnded)
        } else {
            stream?.reset(.cancelled, detail: "the client went away")
            if record.status == 0 { record.status = 499 }
            record.failure = "client_closed"
        }
        handler.forget(self)
    }

    /// What the client sent last, such as a close frame, still reaches the application.
    private func endUpgrade(hasEnded: Bool) {
        guard let stream else { return }
        if !hasEnded { stream.send(ByteBuffer(), endStream: true) }
        handler.eventLoop?.scheduleTask(in: Self.upgradeLinger) {
            stream.reset(.cancelled, detail: "the client went away")
        }
    }

    /// The gateway ends and waits no longer.
    ///
    /// - Returns: whether the client's protocol has a word for it; then the exchange is over.
    func gatewayEnds() -> Bool {
        guard tellRestart() else { return false }
        let hasEnded = machine.requestHasEnded
        _ = machine.clientClosed()
        endUpgrade(hasEnded: hasEnded)
        handler.forget(self)
        return true
    }

    // MARK: From the tunnel

    func received(_ event: StreamEvent) {
        // What comes after the end was on its way from another event loop; the connection may be gone.
        guard !machine.isOver else { return }
        switch event {
        case .head(let head, let endStream): respond(head, endStream)
        case .data(let bytes, let endStream): respond(bytes, endStream)
        case .trailers(let fields): respond(trailers: fields)
        case .reset(let code, let detail):
            record.failureDetail = detail
            finder = .agent
            let failure = ExchangeFailure(code)
            // Of an agent's replicas one may know a new route a moment before the others.
            if code.wasNeverProcessed, retryElsewhere(otherwise: failure) { return }
            lose(failure)
        case .lost:
            // It may have been processed, or not: only what may be processed twice goes to another tunnel.
            if HTTPMethods.isIdempotent(record.method), retryElsewhere(otherwise: .tunnelLost) { return }
            lose(.tunnelLost)
        case .refused(let refusal):
            guard refusal != .headTooLarge else { return end(machine.serverFailed(.headerTooLarge)) }
            if retryElsewhere(otherwise: .overloaded) { return }
            end(machine.serverFailed(.overloaded))
        case .holdBack: hold(true)
        case .resume:
            machine.progressed(now: .now())
            hold(false)
        }
    }

    func receivedBurst() {
        guard needsFlush else { return }
        needsFlush = false
        if handler.flush(all: false) { returnCredit() }
    }

    /// What waited until the client takes more is with its channel.
    func flushed() { returnCredit() }

    func checkDeadline() { end(machine.checkDeadline(now: .now())) }

    func fail(_ failure: ExchangeFailure) { end(machine.serverFailed(failure)) }

    // MARK: Trying again

    /// The request goes to another tunnel, once, while nothing of an answer is out and all of the request is at hand.
    private func retryElsewhere(otherwise failure: ExchangeFailure) -> Bool {
        guard !machine.isOver, !machine.hasResponseHead, !hasRetried, let cluster = record.cluster,
            let body = replay.body
        else { return false }
        hasRetried = true
        stream = nil
        handler.forward(self, cluster: cluster, avoiding: record.tunnel, otherwise: failure)
        finder = .gateway
        guard !machine.isOver, hasRequestBody else {
            hold(false)
            return true
        }
        if body.readableBytes > 0 || machine.requestHasEnded {
            stream?.send(body, endStream: machine.requestHasEnded)
        }
        // What follows goes behind what was sent again.
        hold(false)
        return true
    }

    private func hold(_ isHeld: Bool) {
        machine.requestHeld(isHeld)
        handler.holdRequest(isHeld)
    }

    // MARK: Answering

    private func respond(_ answer: ResponseHead, _ endStream: Bool) {
        if answer.status == 101 { return switchProtocols(answer, endStream) }
        var head = answer
        // Neither has a body to be long (RFC 9110 §8.6); who believes a length waits for one.
        let hasNoLength = head.isInformational || head.status == 204
        head.fields = HopByHop.removed(from: answer.fields) { _, kind in hasNoLength && kind == .contentLength }
        if head.status == 426, let required = UpgradeOffer.required(by: answer.fields) {
            head.fields.add(name: "Connection", value: "upgrade")
            head.fields.add(name: "Upgrade", value: required)
        }
        if !head.isInformational {
            do {
                let framing = try BodyFraming(response: head.status, fields: head.fields, method: record.method)
                guard !endStream || framing.mayEnd else { return endInvalid("the body announced is missing") }
                responseBody = framing
            } catch {
                return endInvalid("\(error)")
            }
        }
        let action = machine.responseHead(isInformational: head.isInformational, isEnd: endStream, now: .now())
        switch action {
        case .discard: return
        case .fail(let failed): return end(failed)
        case .forward, .forwardAndFinish, .forwardAndCut, .forwardAndHalfClose: break
        }
        if head.isInformational {
            // HTTP/1.0 does not know them, and nobody has to be told (RFC 9110 §15.2): not a client that does not read.
            guard isHTTP11, handler.hasRoom(head.fields.byteCount) else { return }
            handler.gather { output in
                output.writeHTTP1StatusLine(head.status)
                output.writeHTTP1Fields(head.fields)
                output.writeHTTP1HeadEnd()
            }
        } else {
            record.status = head.status
            owed += answer.fields.heldBytes
            self.head = nil
            let waits = waitsToSendBody
            asked = nil
            replay.giveUp()
            // The protocol that was offered is declined: nothing follows the request.
            if upgrade != nil { stream?.send(ByteBuffer(), endStream: true) }
            // The rest of the request, if there is one, cannot be told from the next.
            if case .forwardAndCut = action { clientKeepsAlive = false }
            // Nor would a client send a body that it was not asked for; it has to be told (RFC 9110 §10.1.1).
            if waits { clientKeepsAlive = false }
            write(head, endStream: endStream)
        }
        needsFlush = true
        // The idle timeout may be shorter than what was left of the wait for the head.
        handler.ensureTimer(by: deadline)
        complete(action, trailers: nil)
    }

    /// The application takes the other protocol: from here on bytes pass as they are.
    private func switchProtocols(_ answer: ResponseHead, _ endStream: Bool) {
        guard let upgrade, !endStream, UpgradeOffer.mayPass(answer.fields) else {
            return endInvalid("an upgrade that was not asked for")
        }
        guard machine.switchedProtocols(now: .now()) else { return endInvalid("a second final head") }
        record.status = 101
        owed += answer.fields.heldBytes
        head = nil
        asked = nil
        replay.giveUp()
        isUpgraded = true
        clientKeepsAlive = false
        let chosen = UpgradeOffer.text(in: answer.fields) ?? upgrade
        speaksWebSocket = chosen.lowercased() == "websocket"
        let fields = HopByHop.removed(from: answer.fields)
        handler.gather { output in
            output.writeHTTP1StatusLine(101)
            output.writeHTTP1Field("Connection", "upgrade")
            output.writeHTTP1Field("Upgrade", chosen)
            output.writeHTTP1Fields(fields)
            output.writeHTTP1HeadEnd()
        }
        needsFlush = true
        handler.ensureTimer(by: deadline)
        handler.flush()
        handler.becomeOpaque()
    }

    private func respond(_ bytes: ByteBuffer, _ endStream: Bool) {
        let size = bytes.readableBytes
        if machine.hasResponseHead, !isUpgraded {
            guard responseBody?.pass(size) == true, !endStream || responseBody?.mayEnd == true else {
                return endInvalid("the body is not as long as announced")
            }
        }
        let action = machine.responsePart(isEnd: endStream, now: .now())
        switch action {
        case .discard: return
        case .fail(let failed): return end(failed)
        case .forward, .forwardAndFinish, .forwardAndCut, .forwardAndHalfClose: break
        }
        if size > 0 {
            record.bytesOut += size
            owed += size
            if isUpgraded { toClient.pass(bytes) }
            if isChunked { handler.gather { $0.writeHTTP1ChunkLine(size) } }
            handler.write(bytes)
            if isChunked { handler.gather { $0.writeHTTP1HeadEnd() } }
            needsFlush = true
        }
        complete(action, trailers: nil)
    }

    private func respond(trailers fields: HeaderFields) {
        guard !isUpgraded else { return endInvalid("trailers of what is not HTTP") }
        let trailers = HopByHop.trailers(from: fields)
        if machine.hasResponseHead, responseBody?.mayEnd != true {
            return endInvalid("the body is not as long as announced")
        }
        let action = machine.responsePart(isEnd: true, now: .now())
        switch action {
        case .discard: return
        case .fail(let failed): return end(failed)
        case .forward, .forwardAndFinish, .forwardAndCut, .forwardAndHalfClose:
            owed += fields.heldBytes
            complete(action, trailers: trailers)
        }
    }

    private func complete(_ action: ExchangeStateMachine.ResponseAction, trailers: HeaderFields?) {
        let reusable: Bool
        switch action {
        case .forwardAndFinish:
            reusable = clientKeepsAlive
        case .forwardAndCut:
            stream?.reset(.cancelled, detail: "answered before the request had ended")
            reusable = false
        case .forwardAndHalfClose:
            needsFlush = false
            handler.endOutput()
            returnCredit()
            return handler.ensureTimer(by: deadline)
        case .forward, .discard, .fail: return
        }
        needsFlush = false
        if isChunked { handler.gather { $0.writeHTTP1LastChunk(trailers: trailers) } }
        // Before the next request of the connection may come in.
        handler.flush()
        returnCredit()
        handler.finish(self, reusable: reusable, requestEnded: machine.requestHasEnded || isUpgraded)
    }

    /// Credit returns to the cluster once the bytes are with the client's socket, or will never be.
    private func returnCredit() {
        guard owed > 0 else { return }
        let size = owed
        owed = 0
        guard !handler.isAsGoodAsSent(size) else { return sent(size) }
        handler.whenSent { [self] in sent(size) }
    }

    private func sent(_ bytes: Int) {
        machine.progressed(now: .now())
        stream?.consumed(bytes)
    }

    /// Tells a client that speaks WebSocket to come again (RFC 6455 §7.4.1, code 1012 of the IANA registry).
    ///
    /// - Returns: `false` where that cannot be said: in another protocol, within a frame, or behind the last one.
    private func tellRestart() -> Bool {
        guard speaksWebSocket, !machine.isOver, !machine.hasHalfClosed, toClient.isBetweenFrames else { return false }
        handler.write(WebSocketBoundary.closeFrame(1012))
        return true
    }

    /// The cluster's side is gone.
    private func lose(_ failure: ExchangeFailure) {
        let hasHeardAll = machine.hasHalfClosed
        if failure == .tunnelLost, tellRestart() {
            _ = machine.serverFailed(failure)
            record.failure = failure.code
            handler.sayGoodbye(self)
        } else if hasHeardAll {
            // All that the application said is written, and may still be on its way.
            _ = machine.serverFailed(failure)
            record.failure = failure.code
            handler.finish(self, reusable: false, requestEnded: false)
        } else {
            end(machine.serverFailed(failure))
        }
    }

    /// What came from the cluster cannot be an answer to this request.
    private func endInvalid(_ detail: String) {
        record.failureDetail = detail
        end(machine.serverFailed(.backendInvalid))
    }

    private func end(_ failed: ExchangeStateMachine.Failed) {
        switch failed {
        case .nothing: return
        case .answer(let failure):
            record.failure = failure.code
            record.status = failure.status
            stream?.reset(.cancelled, detail: failure.code)
            answer(failure)
        case .abort(let failure):
            record.failure = failure.code
            stream?.reset(.cancelled, detail: failure.code)
            handler.abort(self)
        }
    }

    private func answer(_ failure: ExchangeFailure) {
        var request = FailedRequest()
        if let asked { request.format = FailureFormat(acceptedBy: asked) }
        request.hop = finder
        request.host = record.host
        request.requestID = requestID.text
        request.quota = quota
        if finder == .gateway { handler.refusals.count(failure) }
        if failure == .clusterOffline { request.offlineSince = record.cluster.flatMap(handler.offlineSince) }
        let answer = FailureAnswer(failure, to: request)
        // What is ambiguous once is not trusted to have ended where it seems to.
        let reusable = clientKeepsAlive && handler.keepsAlive && machine.requestHasEnded && answer.status != 400
        handler.gather { output in
            output.writeHTTP1StatusLine(answer.status)
            output.writeHTTP1Fields(answer.fields)
            writeTransportSecurity(beside: answer.fields, to: &output)
            if !reusable { output.writeHTTP1Field("Connection", "close") }
            output.writeHTTP1HeadEnd()
            if record.method != "HEAD" { output.writeImmutableBuffer(answer.body) }
        }
        needsFlush = false
        handler.finish(self, reusable: reusable, requestEnded: machine.requestHasEnded)
    }

    /// Where the application says so itself, that stands.
    private func writeTransportSecurity(beside fields: HeaderFields, to output: inout ByteBuffer) {
        guard let value = handler.transportSecurity, !fields.contains(name: "Strict-Transport-Security") else { return }
        output.writeHTTP1Field("Strict-Transport-Security", value)
    }

    /// Writes the head as the client's protocol version needs it framed (RFC 9112 §6).
    private func write(_ head: ResponseHead, endStream: Bool) {
        let mayHaveBody = record.method != "HEAD" && head.status != 204 && head.status != 304
        let hasLength = head.fields.contains(name: "Content-Length")
        isChunked = mayHaveBody && !hasLength && !endStream && isHTTP11
        // Only the end of the connection can end such a body.
        if mayHaveBody, !hasLength, !endStream, !isHTTP11 { clientKeepsAlive = false }
        clientKeepsAlive = clientKeepsAlive && handler.keepsAlive
        handler.gather { output in
            output.writeHTTP1StatusLine(head.status)
            output.writeHTTP1Fields(head.fields)
            writeTransportSecurity(beside: head.fields, to: &output)
            if isChunked { output.writeHTTP1Field("Transfer-Encoding", "chunked") }
            if mayHaveBody, !hasLength, endStream { output.writeHTTP1Field("Content-Length", "0") }
            if !clientKeepsAlive {
                output.writeHTTP1Field("Connection", "close")
            } else if !isHTTP11 {
                output.writeHTTP1Field("Connection", "keep-alive")
            }
            output.writeHTTP1HeadEnd()
        }
    }
}

@available(*, unavailable)
extension FrontExchange: Sendable {}

extension ResetCode {
    /// Whether the agent says that it has done nothing about the request.
    fileprivate var wasNeverProcessed: Bool { self == .refused || self == .overloaded || self == .notAdvertised }
}

extension HTTP1Request {
    /// The protocol that the client wants to switch to (RFC 9110 §7.8).
    ///
    /// Not HTTP/2: what is inside it would reach the application past this gateway's routes.
    fileprivate var upgrade: String? {
        guard version == .http11, let upgrade = UpgradeOffer.text(in: fields),
            fields.list("connection").contains(where: { $0.lowercased() == "upgrade" }),
            UpgradeOffer.mayPass(fields)
        else { return nil }
        return upgrade
    }
}
