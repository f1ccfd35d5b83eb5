import HTTPExchange
import NIOCore
import Routing
import TunnelProtocol
import TunnelTransport

/// One request at the agent: a stream of a tunnel on one side, a connection to the backend on the other.
///
/// Carries out what `ExchangeStateMachine` decides. Where it goes is decided here and by nobody else: by what the agent
/// has advertised, whatever the gateway asks for.
final class UpstreamExchange: AcceptedStreamReceiver, UpstreamUser {
    private let head: RequestHead
    private let pool: UpstreamPool
    private let failures: StreamFailures
    private var machine: ExchangeStateMachine
    private var stream: TunnelStream?
    private var connection: (any UpstreamLink)?
    /// Parts of the request that arrived before the connection; bounded by the stream's credit.
    private var early = HeldBytes()
    /// The end of the request, where it arrived before the connection, too.
    private var earlyEnd: StreamEvent?
    private var requestBody: BodyFraming?
    private var endpoint: UpstreamEndpoint?
    private var hasRetried = false
    /// How often a backend has let the request go without a look at it.
    private var refusals = 0
    /// Bytes of the request's body are on their way, or were: it cannot be sent again from here.
    private var hasSentBody = false
    /// Bytes of the request that are written and of which the connection was not asked yet when they are sent.
    private var owed = 0
    /// Whether the client wants to switch to another protocol: then its stream stays open behind a request without body.
    private let isUpgrade: Bool
    private var isUpgraded = false
    /// Where its pool keeps it; the pool's affair.
    var placeInPool: Int?
    /// The tunnel takes no more of the answer for now: the client reads slowly.
    private var isHeldBack = false

    init(head: RequestHead, endStream: Bool, pool: UpstreamPool, failures: StreamFailures) {
        self.head = head
        self.pool = pool
        self.failures = failures
        isUpgrade = !head.upgrade.isEmpty && !endStream
        machine = ExchangeStateMachine(
            requestEnded: endStream || isUpgrade, now: .now(), timeouts: pool.settings.timeouts)
    }

    // MARK: From the gateway

    func attached(to stream: TunnelStream) {
        self.stream = stream
        pool.add(self)
        do {
            requestBody = try BodyFraming(request: head.fields, endStream: machine.requestHasEnded)
        } catch {
            return end(machine.serverFailed(.badRequest("\(error)")), "\(error)")
        }
        guard UpgradeOffer.mayPass(head.upgrade) else {
            return end(machine.serverFailed(.badRequest("no upgrade to HTTP/2")), "an upgrade to HTTP/2")
        }
        let host = RequestHost.normalize(head.authority)
        switch pool.forwarding.target(host: host, path: head.path) {
        case .noSuchHost, .noSuchPath:
            end(machine.serverFailed(.notAdvertised), "\(head.authority)\(head.path) is not advertised")
        case .found(let target):
            var endpoint = UpstreamEndpoint(target, requestHost: host)
            if endpoint.transport.usesHTTP2 {
                guard head.method != "CONNECT" else {
                    return end(machine.serverFailed(.badRequest("no CONNECT in HTTP/2")), "CONNECT")
                }
                if isUpgrade { endpoint.transport = endpoint.transport.upgradable }
            }
            self.endpoint = endpoint
            if let connection = pool.take(endpoint) {
                begin(connection)
            } else {
                connect(endpoint)
            }
        }
    }

    func received(_ event: StreamEvent) {
        switch event {
        case .data, .trailers:
            if connection == nil, !machine.isOver, !isUpgrade { keep(event) } else { forward(event) }
        case .reset, .lost:
            if machine.clientClosed() { connection?.cancel() }
            over()
        case .holdBack:
            isHeldBack = true
            connection?.hold(true)
        case .resume:
            isHeldBack = false
            machine.progressed(now: .now())
            connection?.hold(false)
        case .head, .refused: break
        }
    }

    func receivedBurst() { connection?.flush() }

    /// Keeps a part of the request until there is a connection.
    private func keep(_ event: StreamEvent) {
        switch event {
        case .data(let bytes, let endStream):
            early.hold(bytes)
            if endStream { earlyEnd = .data(ByteBuffer(), endStream: true) }
        case .trailers: earlyEnd = event
        default: break
        }
    }

    private func forward(_ event: StreamEvent) {
        switch event {
        case .data(let bytes, let endStream):
            let size = bytes.readableBytes
            let action = machine.requestPart(isEnd: endStream, now: .now())
            guard action != .discard, let connection else {
                stream?.consumed(size)
                // The backend is gone, and what was said to it since thrown away.
                if action == .forwardAndFinish { over() }
                return
            }
            guard isUpgraded || requestBody?.pass(size) == true && (!endStream || requestBody?.mayEnd == true) else {
                return end(
                    machine.serverFailed(.badRequest("the body is not as long as announced")),
                    "the body is not as long as announced")
            }
            if size > 0 {
                owed += size
                hasSentBody = true
                connection.send(bytes)
            }
            guard endStream else { return }
            switch action {
            case .forwardAndFinish:
                connection.end()
                over()
            case .forward, .discard:
                if isUpgraded { connection.endOutput() } else { connection.endRequest(trailers: nil) }
            }
        case .trailers(let fields):
            if isUpgraded {
                return end(machine.serverFailed(.badRequest("trailers of what is not HTTP")), "trailers behind a 101")
            }
            guard machine.requestPart(isEnd: true, now: .now()) == .forward, let connection else { return }
            guard requestBody?.mayEnd == true else {
                return end(
                    machine.serverFailed(.badRequest("the body is not as long as announced")),
                    "the body is not as long as announced")
            }
            connection.endRequest(trailers: fields)
        default: break
        }
    }

    // MARK: To the backend

    private func connect(_ endpoint: UpstreamEndpoint) {
        let exchange = NIOLoopBound(self, eventLoop: pool.eventLoop)
        pool.connect(endpoint).whenComplete { result in
            switch result {
            case .success(let connection): exchange.value.connected(connection.value)
            case .failure(let error): exchange.value.notConnected(error)
            }
        }
    }

    private func connected(_ connection: any UpstreamLink) {
        guard !machine.isOver else { return connection.giveBack() }
        begin(connection)
        connection.flush()
    }

    private func notConnected(_ error: any Error) {
        let known = error as? UpstreamError
        end(machine.serverFailed(known?.failure ?? .backendUnreachable), known?.detail ?? "\(error)")
    }

    private func begin(_ connection: any UpstreamLink) {
        self.connection = connection
        connection.begin(head, body: !machine.requestHasEnded, upgrades: isUpgrade, for: self)
        if machine.requestHasEnded {
            connection.endRequest(trailers: nil)
            return
        }
        var body = early
        let end = earlyEnd
        forgetEarly()
        while let bytes = body.takeFirst() { forward(.data(bytes, endStream: false)) }
        if let end { forward(end) }
    }

    /// Bytes of the request are with the backend's socket, or will never be: their credit returns.
    func sent(_ bytes: Int) {
        guard bytes > 0 else { return }
        machine.progressed(now: .now())
        stream?.consumed(bytes)
    }

    func takeOwedCredit() -> Int {
        defer { owed = 0 }
        return owed
    }

    // MARK: From the backend

    func received(_ part: HTTP1ResponseReader.Part) {
        switch part {
        case .head(let head): respond(head)
        case .body(let bytes), .opaque(let bytes): respond(bytes)
        case .end(let trailers): respond(trailers: trailers)
        }
    }

    func connectionClosed(_ error: (any Error)?) {
        let wasReused = connection?.isReused == true
        connection = nil
        // Once it has said its last, that it hears no more is no failure.
        if isUpgraded, error == nil || machine.hasHalfClosed { return respond(trailers: nil) }
        if wasReused, !hasRetried, isSafeToRepeat, !machine.hasResponseHead, !machine.isOver, let endpoint {
            // The backend closed a kept connection just as it was used again: the request was most likely never read.
            hasRetried = true
            return connect(endpoint)
        }
        switch error {
        case let error as UpstreamError where error.failure == .headerTooLarge: answer(error.failure)
        case let error as UpstreamError: end(machine.serverFailed(error.failure), error.detail)
        case let error as HTTP1Error: end(machine.serverFailed(.backendInvalid), "\(error)")
        case let error?: end(machine.serverFailed(.backendClosed), "\(error)")
        case nil: end(machine.serverFailed(.backendClosed), "the backend closed the connection")
        }
    }

    /// It is sent again from here where that is possible, else from the gateway, which may have kept all of it.
    func neverProcessed(_ detail: String) {
        connection = nil
        guard refusals < Self.mostRefusals, !hasSentBody, !machine.hasResponseHead, !machine.isOver, let endpoint
        else { return end(machine.serverFailed(.overloaded), detail) }
        refusals += 1
        connect(endpoint)
    }

    private static let mostRefusals = 2

    /// What only the agent can tell, because the gateway knows nothing of the backend's limits.
    private func answer(_ failure: ExchangeFailure) {
        var request = FailedRequest()
        request.format = FailureFormat(acceptedBy: head.fields)
        request.hop = .agent
        let answer = FailureAnswer(failure, to: request)
        respond(HTTP1Response(status: answer.status, fields: answer.fields))
        respond(answer.body)
        respond(trailers: nil)
    }

    func backendEnded() { respond(trailers: nil) }

    /// Idempotent (RFC 9110 §9.2.2) and without a body that is gone.
    private var isSafeToRepeat: Bool {
        machine.requestHasEnded && (requestBody?.isEmpty == true || isUpgrade)
            && HTTPMethods.isIdempotent(head.method)
    }

    private func respond(_ response: HTTP1Response) {
        if response.status == 101 { return switchProtocols(response) }
        var answer = ResponseHead(status: response.status, fields: HopByHop.removed(from: response.fields))
        if response.status == 426, let required = UpgradeOffer.required(by: response.fields) {
            answer.fields.add(name: "Upgrade", value: required)
        }
        let isEmpty = !answer.isInformational && connection?.responseHasBody == false
        let action = machine.responseHead(isInformational: answer.isInformational, isEnd: isEmpty, now: .now())
        switch action {
        case .discard: return
        case .fail(let failed): return end(failed, "a second final head")
        case .forward, .forwardAndFinish, .forwardAndCut, .forwardAndHalfClose:
            stream?.respond(answer, endStream: isEmpty)
            complete(action)
        }
    }

    /// The backend speaks another protocol from here on; which one, its head says.
    private func switchProtocols(_ response: HTTP1Response) {
        guard isUpgrade, UpgradeOffer.mayPass(response.fields), machine.switchedProtocols(now: .now()) else {
            return end(machine.serverFailed(.backendInvalid), "an upgrade that was not asked for")
        }
        isUpgraded = true
        connection?.becomeOpaque()
        var answer = ResponseHead(status: 101, fields: HopByHop.removed(from: response.fields))
        if let chosen = UpgradeOffer.text(in: response.fields) { answer.fields.add(name: "Upgrade", value: chosen) }
        stream?.respond(answer, endStream: false)
    }

    private func respond(_ bytes: ByteBuffer) {
        switch machine.responsePart(isEnd: false, now: .now()) {
        case .forward: stream?.send(bytes, endStream: false)
        case .fail(let failed): end(failed, "a body before its head")
        case .discard, .forwardAndFinish, .forwardAndCut, .forwardAndHalfClose: break
        }
    }

    private func respond(trailers: HeaderFields?) {
        let action = machine.responsePart(isEnd: true, now: .now())
        switch action {
        case .discard: return
        case .fail(let failed): return end(failed, "an end before the head")
        case .forward, .forwardAndFinish, .forwardAndCut, .forwardAndHalfClose:
            if let trailers, !trailers.isEmpty {
                stream?.send(trailers: trailers)
            } else {
                stream?.send(ByteBuffer(), endStream: true)
            }
            complete(action)
        }
    }

    /// The connection looks after itself; where the answer came before the request's end it cannot be used again, and
    /// the rest of the request is taken in and thrown away until the gateway resets the stream.
    private func complete(_ action: ExchangeStateMachine.ResponseAction) {
        switch action {
        case .forwardAndCut:
            connection?.cancel()
            over()
        case .forwardAndFinish:
            if isUpgraded { connection?.end() }
            over()
        case .forward, .forwardAndHalfClose, .discard, .fail: break
        }
    }

    // MARK: Ending

    func checkDeadline(_ now: NIODeadline) {
        guard now >= machine.deadline else { return }
        // How fast the client reads only the gateway sees, which gives it up where it has stopped. Here a window of
        // megabytes may lie between two signs of it.
        if isHeldBack { machine.progressed(now: now) }
        end(machine.checkDeadline(now: now), "waited too long")
    }

    private func end(_ failed: ExchangeStateMachine.Failed, _ detail: @autoclosure () -> String) {
        switch failed {
        case .nothing: return
        case .answer(let failure), .abort(let failure):
            let detail = detail()
            failures.record(
                StreamFailure(
                    code: failure.resetCode, detail: detail, host: head.authority, path: String(head.path)))
            stream?.reset(failure.resetCode, detail: detail)
        }
        connection?.cancel()
        over()
    }

    private func forgetEarly() {
        early = HeldBytes()
        earlyEnd = nil
    }

    private func over() {
        sent(takeOwedCredit())
        connection = nil
        forgetEarly()
        pool.remove(self)
    }
}

@available(*, unavailable)
extension UpstreamExchange: Sendable {}
