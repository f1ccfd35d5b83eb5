import HTTPExchange
import NIOCore
import NIOHTTP1
import TunnelProtocol
import TunnelTransport

/// One request at the gateway: the public connection on one side, a stream of a tunnel on the other.
///
/// Carries out what `ExchangeStateMachine` decides. A new object for each request, so that an event that comes late
/// cannot meet the next request of the same connection.
final class FrontExchange: StreamReceiver {
    let started = NIODeadline.now()
    var record: AccessRecord
    /// What was sent to the cluster, kept until an answer shows that it was processed.
    private(set) var head: RequestHead?
    let hasRequestBody: Bool

    /// Kept alive: events of a tunnel on another event loop may still come when the connection is gone.
    private let handler: ProxyHandler
    /// Whether the client understands chunked bodies and keeps connections by default.
    private let isHTTP11: Bool
    private let isHeadRequest: Bool
    private var clientKeepsAlive: Bool
    /// How much of the answer's body is still to come: the agent is not believed.
    private var responseBody: BodyFraming?
    private var machine: ExchangeStateMachine
    private var stream: TunnelStream?
    private var hasSentBody = false
    private var hasRetried = false
    private var needsFlush = false

    init(head: HTTPRequestHead, client: String, handler: ProxyHandler) {
        self.handler = handler
        isHTTP11 = head.version.major == 1 && head.version.minor >= 1
        isHeadRequest = head.method == .HEAD
        // NIO's parser reads nothing more behind a request for another protocol (RFC 9110 §7.8).
        clientKeepsAlive = head.isKeepAlive && !head.asksForUpgrade
        hasRequestBody = head.hasBody
        record = AccessRecord(
            host: "", path: "", method: head.method.rawValue, status: 0, duration: .zero, client: client)
        machine = ExchangeStateMachine(requestEnded: !hasRequestBody, now: started, timeouts: .init())
    }

    var deadline: NIODeadline { machine.deadline }

    /// The request is routed.
    func start(_ head: RequestHead, timeouts: ExchangeStateMachine.Timeouts) {
        self.head = head
        machine = ExchangeStateMachine(requestEnded: !hasRequestBody, now: started, timeouts: timeouts)
    }

    /// A stream was opened for it. One that was refused at once has been replaced, or given up, already.
    func attach(_ stream: TunnelStream) {
        if !machine.isOver, self.stream == nil { self.stream = stream }
    }

    /// The gateway is ending: the answer says that the connection ends with it, where it has not begun yet.
    func closeAfterwards() { clientKeepsAlive = false }

    // MARK: From the client

    func requestBody(_ bytes: ByteBuffer) {
        record.bytesIn += bytes.readableBytes
        guard machine.requestPart(isEnd: false, now: .now()) == .forward else { return }
        hasSentBody = true
        stream?.send(bytes, endStream: false)
    }

    func requestEnded(_ trailers: HTTPHeaders?) {
        guard hasRequestBody, machine.requestPart(isEnd: true, now: .now()) == .forward else { return }
        hasSentBody = true
        if let trailers, !trailers.isEmpty {
            stream?.send(trailers: HopByHop.trailers(from: trailers))
        } else {
            stream?.send(ByteBuffer(), endStream: true)
        }
    }

    func clientClosed() {
        guard machine.clientClosed() else { return }
        stream?.reset(.cancelled, detail: "the client went away")
        if record.status == 0 { record.status = 499 }
        record.failure = "client_closed"
        handler.finished(self)
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
            let failure = ExchangeFailure(code)
            // Of an agent's replicas one may know a new route a moment before the others.
            if code == .refused || code == .notAdvertised, retryElsewhere(otherwise: failure) { return }
            end(machine.serverFailed(failure))
        case .lost:
            // It may have been processed, or not: only what may be processed twice goes to another tunnel.
            if isIdempotent, retryElsewhere(otherwise: .tunnelLost) { return }
            end(machine.serverFailed(.tunnelLost))
        case .refused(let refusal):
            guard refusal != .headTooLarge else { return end(machine.serverFailed(.headerTooLarge)) }
            if retryElsewhere(otherwise: .overloaded) { return }
            end(machine.serverFailed(.overloaded))
        case .holdBack: handler.holdRequest(true)
        case .resume:
            machine.progressed(now: .now())
            handler.holdRequest(false)
        }
    }

    func receivedBurst() {
        guard needsFlush else { return }
        needsFlush = false
        handler.flush()
    }

    func checkDeadline() { end(machine.checkDeadline(now: .now())) }

    func fail(_ failure: ExchangeFailure) { end(machine.serverFailed(failure)) }

    /// RFC 9110 §9.2.2.
    private var isIdempotent: Bool {
        switch record.method {
        case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE": true
        default: false
        }
    }

    /// The request goes to another tunnel, once, while all of it is at hand.
    private func retryElsewhere(otherwise failure: ExchangeFailure) -> Bool {
        guard !machine.isOver, !machine.hasResponseHead, !hasSentBody, !hasRetried, let cluster = record.cluster else {
            return false
        }
        hasRetried = true
        stream = nil
        handler.forward(self, cluster: cluster, avoiding: record.tunnel, otherwise: failure)
        return true
    }

    // MARK: Answering

    private func respond(_ answer: ResponseHead, _ endStream: Bool) {
        var head = answer
        head.fields = HopByHop.removed(from: answer.fields)
        guard head.status != 101 else { return endInvalid("an upgrade that was not asked for") }
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
        case .forward, .forwardAndFinish, .forwardAndCut: break
        }
        if head.isInformational {
            // HTTP/1.0 does not know them (RFC 9110 §15.2).
            guard isHTTP11 else { return }
        } else {
            record.status = head.status
            self.head = nil
        }
        handler.write(.head(framed(head, endStream: endStream)))
        needsFlush = true
        // The idle timeout may be shorter than what was left of the wait for the head.
        handler.ensureTimer(by: deadline)
        complete(action, trailers: nil)
    }

    private func respond(_ bytes: ByteBuffer, _ endStream: Bool) {
        let size = bytes.readableBytes
        if machine.hasResponseHead {
            guard responseBody?.pass(size) == true, !endStream || responseBody?.mayEnd == true else {
                return endInvalid("the body is not as long as announced")
            }
        }
        let action = machine.responsePart(isEnd: endStream, now: .now())
        switch action {
        case .discard: return
        case .fail(let failed): return end(failed)
        case .forward, .forwardAndFinish, .forwardAndCut: break
        }
        if size > 0 {
            record.bytesOut += size
            handler.write(.body(.byteBuffer(bytes)), promise: creditPromise(size))
            needsFlush = true
        }
        complete(action, trailers: nil)
    }

    private func respond(trailers fields: HTTPHeaders) {
        let trailers = HopByHop.trailers(from: fields)
        if machine.hasResponseHead, responseBody?.mayEnd != true {
            return endInvalid("the body is not as long as announced")
        }
        let action = machine.responsePart(isEnd: true, now: .now())
        switch action {
        case .discard: return
        case .fail(let failed): return end(failed)
        case .forward, .forwardAndFinish, .forwardAndCut: complete(action, trailers: trailers)
        }
    }

    private func complete(_ action: ExchangeStateMachine.ResponseAction, trailers: HTTPHeaders?) {
        let reusable: Bool
        switch action {
        case .forwardAndFinish:
            reusable = clientKeepsAlive
        case .forwardAndCut:
            stream?.reset(.cancelled, detail: "answered before the request had ended")
            reusable = false
        case .forward, .discard, .fail: return
        }
        needsFlush = false
        // In this order: writing the end may bring in the next request at once.
        handler.finished(self)
        handler.writeEnd(trailers, reusable: reusable, requestEnded: machine.requestHasEnded)
    }

    /// Credit returns to the cluster once the bytes are with the client's socket, or will never be.
    private func creditPromise(_ size: Int) -> EventLoopPromise<Void>? {
        guard let loop = handler.eventLoop else {
            stream?.consumed(size)
            return nil
        }
        let promise = loop.makePromise(of: Void.self)
        let exchange = NIOLoopBound(self, eventLoop: loop)
        promise.futureResult.whenComplete { _ in
            exchange.value.machine.progressed(now: .now())
            exchange.value.stream?.consumed(size)
        }
        return promise
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
            handler.finished(self)
            answer(failure)
        case .abort(let failure):
            record.failure = failure.code
            stream?.reset(.cancelled, detail: failure.code)
            handler.finished(self)
            handler.abort()
        }
    }

    private func answer(_ failure: ExchangeFailure) {
        let answer = FailureAnswer(failure)
        let reusable = clientKeepsAlive && machine.requestHasEnded
        var fields = answer.fields
        if !reusable { fields.add(name: "Connection", value: "close") }
        handler.write(.head(HTTPResponseHead(version: .http1_1, status: answer.status, headers: fields)))
        if !isHeadRequest { handler.write(.body(.byteBuffer(answer.body))) }
        handler.writeEnd(nil, reusable: reusable, requestEnded: machine.requestHasEnded)
        needsFlush = false
    }

    /// The head as the client's protocol version needs it framed (RFC 9112 §6).
    private func framed(_ head: ResponseHead, endStream: Bool) -> HTTPResponseHead {
        let status = HTTPResponseStatus(statusCode: Int(head.status))
        var result = HTTPResponseHead(version: .http1_1, status: status, headers: head.fields)
        guard !head.isInformational else { return result }
        let hasContentLength = head.fields.contains(name: "Content-Length")
        if status.mayHaveResponseBody, !isHeadRequest, !hasContentLength {
            if endStream {
                result.headers.add(name: "Content-Length", value: "0")
            } else if isHTTP11 {
                result.headers.add(name: "Transfer-Encoding", value: "chunked")
            }
        }
        if !isHTTP11, status.mayHaveResponseBody, !isHeadRequest, !result.headers.contains(name: "Content-Length") {
            // Only the end of the connection can end this body.
            clientKeepsAlive = false
        }
        if !clientKeepsAlive {
            result.headers.add(name: "Connection", value: "close")
        } else if !isHTTP11 {
            result.headers.add(name: "Connection", value: "keep-alive")
        }
        return result
    }
}

@available(*, unavailable)
extension FrontExchange: Sendable {}

extension HTTPRequestHead {
    /// Whether the connection is to speak another protocol from here on, as far as the parser can tell.
    fileprivate var asksForUpgrade: Bool {
        method == .CONNECT
            || headers.contains(name: "Upgrade")
                && headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
    }

    /// Whether the framing says that a body follows (RFC 9112 §6.3).
    fileprivate var hasBody: Bool {
        if headers.contains(name: "Transfer-Encoding") { return true }
        guard let length = headers.first(name: "Content-Length") else { return false }
        return length != "0"
    }
}
