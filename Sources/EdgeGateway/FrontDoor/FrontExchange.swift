import HTTPExchange
import NIOCore
import Telemetry
import TunnelProtocol
import TunnelTransport

/// One request at the gateway: its client on one side, a stream of a tunnel on the other.
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
    /// The protocol that the client wants to switch to.
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
    let client: any FrontClient
    let shared: ProxyContext
    /// How much of the answer's body is still to come: the agent is not believed.
    private var responseBody: BodyFraming?
    private var machine: ExchangeStateMachine
    private var stream: TunnelStream?
    /// The request's body as far as it was sent, to be sent again.
    private var replay = RequestReplay()
    /// The application's own, for browsers while its cluster is away.
    var offlinePage: ByteBuffer?
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

    /// - Parameters:
    ///   - hasBody: whether a body follows the head, or may.
    ///   - upgrade: the protocol that the client wants to switch to.
    init(_ request: HTTP1Request, id: RequestID, hasBody: Bool, upgrade: String?, client: any FrontClient) {
        self.client = client
        shared = client.shared
        requestID = id
        asked = request.fields
        hasRequestBody = hasBody
        self.upgrade = upgrade
        record = AccessRecord(
            host: "", path: "", method: request.method, status: 0, duration: .zero, client: client.address)
        record.requestID = id.text
        record.protocolVersion = request.version == .http10 ? "HTTP/1.0" : client.spoken.name
        let now = NIODeadline.now()
        started = now
        machine = ExchangeStateMachine(requestEnded: !hasRequestBody, now: now, timeouts: .init())
    }

    /// For a request that cannot be read, to be failed at once.
    convenience init(unreadable error: HTTP1Error, id: RequestID, client: any FrontClient) {
        self.init(
            HTTP1Request(method: "", target: "", fields: [:]), id: id, hasBody: true, upgrade: nil, client: client)
        asked = nil
        record.failureDetail = "\(error)"
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
    func begin(
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

    /// - Parameter isEnd: whether all of the request has come with it.
    func requestBody(_ bytes: ByteBuffer, isEnd: Bool = false) {
        record.bytesIn += bytes.readableBytes
        guard isUpgraded || record.bytesIn <= mostBytesIn else { return fail(.bodyTooLarge) }
        guard machine.requestPart(isEnd: isEnd, now: .now()) == .forward else { return }
        replay.sent(bytes)
        stream?.send(bytes, endStream: isEnd)
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
        guard action == .forwardAndFinish else { return client.ensureTimer(by: deadline) }
        log()
        client.end(trailers: nil, requestEnded: true)
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
        log()
        client.forget()
    }

    /// What the client sent last, such as a close frame, still reaches the application.
    private func endUpgrade(hasEnded: Bool) {
        guard let stream else { return }
        if !hasEnded { stream.send(ByteBuffer(), endStream: true) }
        client.eventLoop?.scheduleTask(in: Self.upgradeLinger) {
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
        log()
        client.forget()
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
            if code.wasNeverProcessed, retryElsewhere(.notProcessed, otherwise: failure) { return }
            lose(failure)
        case .lost:
            // It may have been processed, or not: only what may be processed twice goes to another tunnel.
            if HTTPMethods.isIdempotent(record.method), retryElsewhere(.tunnelLost, otherwise: .tunnelLost) { return }
            lose(.tunnelLost)
        case .refused(let refusal):
            guard refusal != .headTooLarge else { return end(machine.serverFailed(.headerTooLarge)) }
            if retryElsewhere(.tunnelFull, otherwise: .overloaded) { return }
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
        client.flush()
    }

    func checkDeadline() { end(machine.checkDeadline(now: .now())) }

    func fail(_ failure: ExchangeFailure) { end(machine.serverFailed(failure)) }

    // MARK: Trying again

    /// The request goes to another tunnel, once, while nothing of an answer is out and all of the request is at hand.
    private func retryElsewhere(_ reason: RetryReason, otherwise failure: ExchangeFailure) -> Bool {
        guard !machine.isOver, !machine.hasResponseHead, !hasRetried, let cluster = record.cluster,
            let body = replay.body
        else { return false }
        hasRetried = true
        stream = nil
        forward(cluster: cluster, avoiding: record.tunnel, otherwise: failure)
        guard !machine.isOver else { return true }
        shared.metrics.retries.count(reason)
        finder = .gateway
        if hasRequestBody, body.readableBytes > 0 || machine.requestHasEnded {
            stream?.send(body, endStream: machine.requestHasEnded)
        }
        // What follows goes behind what was sent again.
        hold(false)
        return true
    }

    private func hold(_ isHeld: Bool) {
        machine.requestHeld(isHeld)
        client.hold(isHeld)
    }

    // MARK: Answering

    private func respond(_ answer: ResponseHead, _ endStream: Bool) {
        if !answer.isInformational, let problem = client.problem(with: answer) { return endInvalid(problem) }
        if answer.status == 101 { return switchProtocols(answer, endStream) }
        var head = answer
        // Neither has a body to be long (RFC 9110 §8.6); who believes a length waits for one.
        let hasNoLength = head.isInformational || head.status == 204
        head.fields = HopByHop.removed(from: answer.fields) { _, kind in hasNoLength && kind == .contentLength }
        if head.status == 426, client.knowsUpgrade, let required = UpgradeOffer.required(by: answer.fields) {
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
            client.inform(head)
        } else {
            record.status = head.status
            owed += answer.fields.heldBytes
            self.head = nil
            let waits = waitsToSendBody
            asked = nil
            replay.giveUp()
            // The protocol that was offered is declined: nothing follows the request.
            if upgrade != nil { stream?.send(ByteBuffer(), endStream: true) }
            secure(&head)
            // A client would not send a body that it was not asked for, either (RFC 9110 §10.1.1).
            client.answer(head, endStream: endStream, requestStays: action == .forwardAndCut || waits)
        }
        needsFlush = true
        // The idle timeout may be shorter than what was left of the wait for the head.
        client.ensureTimer(by: deadline)
        complete(action, trailers: nil)
    }

    /// Where the application says so itself, that stands.
    private func secure(_ head: inout ResponseHead) {
        guard let value = shared.transportSecurity, !head.fields.contains(name: "Strict-Transport-Security") else {
            return
        }
        head.fields.add(name: "Strict-Transport-Security", value: value)
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
        let chosen = UpgradeOffer.text(in: answer.fields) ?? upgrade
        speaksWebSocket = chosen.lowercased() == "websocket"
        needsFlush = true
        client.ensureTimer(by: deadline)
        client.switchProtocols(to: chosen, HopByHop.removed(from: answer.fields))
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
            client.write(bytes)
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
        switch action {
        case .forwardAndFinish: break
        case .forwardAndCut: stream?.reset(.cancelled, detail: "answered before the request had ended")
        case .forwardAndHalfClose:
            needsFlush = false
            client.endOutput()
            return client.ensureTimer(by: deadline)
        case .forward, .discard, .fail: return
        }
        needsFlush = false
        log()
        client.end(trailers: trailers, requestEnded: machine.requestHasEnded)
    }

    // MARK: Credit

    /// Bytes of the answer written since this was asked last; it waits to hear that they are with the client's socket.
    func takeOwedCredit() -> Int {
        defer { owed = 0 }
        return owed
    }

    /// So many bytes are with the client's socket, or will never be.
    func sent(_ bytes: Int) {
        machine.progressed(now: .now())
        stream?.consumed(bytes)
    }

    // MARK: Failing

    /// Tells a client that speaks WebSocket to come again (RFC 6455 §7.4.1, code 1012 of the IANA registry).
    ///
    /// - Returns: `false` where that cannot be said: in another protocol, within a frame, or behind the last one.
    private func tellRestart() -> Bool {
        guard speaksWebSocket, !machine.isOver, !machine.hasHalfClosed, toClient.isBetweenFrames else { return false }
        client.write(WebSocketBoundary.closeFrame(1012))
        return true
    }

    /// The cluster's side is gone.
    private func lose(_ failure: ExchangeFailure) {
        let hasHeardAll = machine.hasHalfClosed
        if failure == .tunnelLost, tellRestart() {
            _ = machine.serverFailed(failure)
            record.failure = failure.code
            log()
            client.sayGoodbye()
        } else if hasHeardAll {
            // All that the application said is written, and may still be on its way.
            _ = machine.serverFailed(failure)
            record.failure = failure.code
            log()
            client.end(trailers: nil, requestEnded: false)
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
            log()
            client.abort()
        }
    }

    private func answer(_ failure: ExchangeFailure) {
        var request = FailedRequest()
        if let asked { request.format = FailureFormat(acceptedBy: asked) }
        request.hop = finder
        request.host = record.host
        request.requestID = requestID.text
        request.quota = quota
        if finder == .gateway { shared.metrics.refusals.count(failure) }
        if failure == .clusterOffline || failure == .tunnelLost { request.page = offlinePage }
        if failure == .clusterOffline, let cluster = record.cluster {
            request.offlineSince = shared.tunnels.offlineSince(cluster).map { "\($0)" }
        }
        let answer = FailureAnswer(failure, to: request)
        var head = ResponseHead(status: answer.status, fields: answer.fields)
        secure(&head)
        let body = record.method == "HEAD" ? ByteBuffer() : answer.body
        let endStream = body.readableBytes == 0
        // What is ambiguous once is not trusted to have ended where it seems to.
        let requestStays = !machine.requestHasEnded || answer.status == 400
        client.answer(head, endStream: endStream, requestStays: requestStays)
        if !endStream { client.write(body) }
        needsFlush = false
        log()
        client.end(trailers: nil, requestEnded: machine.requestHasEnded)
    }

    private func log() {
        record.duration = .now() - started
        shared.accessLog.record(record)
    }
}

@available(*, unavailable)
extension FrontExchange: Sendable {}

extension ResetCode {
    /// Whether the agent says that it has done nothing about the request.
    fileprivate var wasNeverProcessed: Bool { self == .refused || self == .overloaded || self == .notAdvertised }
}
