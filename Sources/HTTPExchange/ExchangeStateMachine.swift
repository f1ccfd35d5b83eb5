package import NIOCore

/// One proxied request, as both ends see it.
///
/// The *client* is where the request comes from and the *server* is where it goes to: at the gateway the public
/// connection and the tunnel's stream, at the agent the tunnel's stream and the connection to the backend. The shell
/// moves the bytes; this machine says what each event means for the other side, and when waiting has lasted too long.
///
/// Three promises: the client gets exactly one final head, or an abort where a head is already out; the server is
/// cancelled as soon as nobody wants its answer; nothing is forwarded after an end.
package struct ExchangeStateMachine: Hashable, Sendable {
    /// How long nothing may happen.
    package struct Timeouts: Hashable, Sendable {
        /// From the last byte of the request that moved to the final response head.
        package var response: TimeAmount
        /// Once the head is there: between two bytes, in either direction.
        package var idle: TimeAmount
        /// Once both sides speak another protocol, such as WebSocket: between two bytes, in either direction.
        package var upgraded: TimeAmount
        /// From the request's head to the end of its answer, unless both sides speak another protocol; nil for any time.
        package var total: TimeAmount?

        package init(
            response: TimeAmount = .seconds(30), idle: TimeAmount = .minutes(5), upgraded: TimeAmount = .hours(1),
            total: TimeAmount? = nil
        ) {
            self.response = response
            self.idle = idle
            self.upgraded = upgraded
            self.total = total
        }
    }

    /// What to do with a part of the request.
    package enum RequestAction: Hashable, Sendable {
        case forward
        /// Forward it: the server of another protocol has said its last, and now both have. The exchange is over.
        case forwardAndFinish
        /// The server does not want it any more.
        case discard
    }

    /// What to do with a part of the response.
    package enum ResponseAction: Hashable, Sendable {
        case forward
        /// Forward it; the exchange is over, and both sides are as good as new.
        case forwardAndFinish
        /// Forward it; the answer came before the request had ended. Cancel the server, and do not use the client's
        /// connection for another request.
        case forwardAndCut
        /// Forward it, and the end of this direction: the server of another protocol has said its last, and what the
        /// client still says goes on to it.
        case forwardAndHalfClose
        /// Nobody wants it.
        case discard
        /// The server broke the order of parts.
        case fail(Failed)
    }

    /// How an exchange ends early.
    package enum Failed: Hashable, Sendable {
        /// No final head is out: answer the client with the failure; cancel the server.
        case answer(ExchangeFailure)
        /// The client has part of an answer: break its connection or stream; cancel the server.
        case abort(ExchangeFailure)
        /// It is over already.
        case nothing
    }

    private enum Request: Hashable {
        case streaming
        case ended
    }

    private enum Response: Hashable {
        case awaitingHead
        case streaming
        /// Both directions are another protocol's bytes.
        case upgraded
        /// The same, but the server has said its last.
        case upgradedClientOnly
        /// The whole answer went out, or the exchange failed.
        case ended
    }

    private let timeouts: Timeouts
    /// When all has to be over that is HTTP.
    private let end: NIODeadline
    /// The client may not send more, or waits itself: it is not the one who is waited for.
    private var isRequestHeld = false
    private var request: Request
    private var response = Response.awaitingHead
    private var lastActivity: NIODeadline
    private var informationalHeads = 0

    /// Informational heads forwarded per exchange. They have no flow control, and nobody needs many.
    private static let mostInformationalHeads = 16

    package init(requestEnded: Bool, now: NIODeadline, timeouts: Timeouts) {
        request = requestEnded ? .ended : .streaming
        lastActivity = now
        self.timeouts = timeouts
        end = timeouts.total.map { now + $0 } ?? .distantFuture
    }

    package var isOver: Bool { response == .ended }
    package var hasResponseHead: Bool { response != .awaitingHead }
    package var requestHasEnded: Bool { request == .ended }
    /// Whether the server of another protocol has said its last.
    package var hasHalfClosed: Bool { response == .upgradedClientOnly }

    /// The moment `checkDeadline` is worth calling.
    package var deadline: NIODeadline {
        switch response {
        case .awaitingHead: min(lastActivity + timeouts.response, end)
        case .upgraded where request == .streaming: lastActivity + timeouts.upgraded
        // Where one side has said its last, the other has less to wait for.
        case .upgraded, .upgradedClientOnly: lastActivity + min(timeouts.idle, timeouts.upgraded)
        case .streaming, .ended: min(lastActivity + timeouts.idle, end)
        }
    }

    /// Part of the request's body, or its end, came from the client.
    package mutating func requestPart(isEnd: Bool, now: NIODeadline) -> RequestAction {
        guard request == .streaming, response != .ended else { return .discard }
        lastActivity = now
        isRequestHeld = false
        guard isEnd else { return .forward }
        request = .ended
        guard response == .upgradedClientOnly else { return .forward }
        response = .ended
        return .forwardAndFinish
    }

    /// A response head came from the server. Informational ones (1xx, not 101) may precede the final one.
    package mutating func responseHead(isInformational: Bool, isEnd: Bool, now: NIODeadline) -> ResponseAction {
        switch response {
        case .ended: return .discard
        case .streaming, .upgraded, .upgradedClientOnly: return .fail(fail(.backendInvalid))
        case .awaitingHead:
            if isInformational {
                informationalHeads += 1
                return informationalHeads <= Self.mostInformationalHeads ? .forward : .discard
            }
            lastActivity = now
            response = .streaming
            return isEnd ? finish() : .forward
        }
    }

    /// The server answered with 101 (RFC 9110 §15.2.2): from here on both directions are bytes, until each is ended.
    ///
    /// - Returns: `false` where a final head was there before.
    package mutating func switchedProtocols(now: NIODeadline) -> Bool {
        guard response == .awaitingHead else { return false }
        lastActivity = now
        response = .upgraded
        request = .streaming
        return true
    }

    /// Part of the response's body, or its end, came from the server.
    package mutating func responsePart(isEnd: Bool, now: NIODeadline) -> ResponseAction {
        switch response {
        case .ended, .upgradedClientOnly: return .discard
        case .awaitingHead: return .fail(fail(.backendInvalid))
        case .upgraded where isEnd && request == .streaming:
            lastActivity = now
            response = .upgradedClientOnly
            return .forwardAndHalfClose
        case .streaming, .upgraded:
            lastActivity = now
            return isEnd ? finish() : .forward
        }
    }

    /// Bytes moved onward in either direction: a slow reader is not an idle one.
    package mutating func progressed(now: NIODeadline) { lastActivity = now }

    /// The server's side takes no more of the request for now, or takes it again; or the client waits to be told to go on
    /// (`Expect`), until more of the request comes.
    package mutating func requestHeld(_ isHeld: Bool) { isRequestHeld = isHeld }

    /// The client went away. Returns whether the server must be cancelled.
    package mutating func clientClosed() -> Bool {
        defer { response = .ended }
        return response != .ended
    }

    /// The server cannot go on.
    package mutating func serverFailed(_ failure: ExchangeFailure) -> Failed { fail(failure) }

    /// Time has passed.
    package mutating func checkDeadline(now: NIODeadline) -> Failed {
        guard response != .ended, now >= deadline else { return .nothing }
        let isClients = request == .streaming && !isRequestHeld
        switch response {
        case .awaitingHead where isClients: return fail(.requestTimeout)
        case .awaitingHead where now < end: return fail(.backendTimeout)
        case .awaitingHead: return fail(.timeLimit)
        case .streaming where now >= end: return fail(.timeLimit)
        case .streaming, .upgraded, .upgradedClientOnly, .ended: return fail(.idleTimeout)
        }
    }

    private mutating func finish() -> ResponseAction {
        response = .ended
        return request == .ended ? .forwardAndFinish : .forwardAndCut
    }

    private mutating func fail(_ failure: ExchangeFailure) -> Failed {
        defer { response = .ended }
        switch response {
        case .awaitingHead: return .answer(failure)
        case .streaming, .upgraded, .upgradedClientOnly: return .abort(failure)
        case .ended: return .nothing
        }
    }
}
