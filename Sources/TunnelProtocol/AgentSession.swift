/// The agent's half of a tunnel's control channel.
///
/// ```
/// start ──connected──► awaitingWelcome ──welcome──► established ──end──► closed
/// ```
/// What the routes are and when they travel is decided elsewhere; this machine only says whether a message may arrive
/// now, and what it means.
package struct AgentSession {
    package enum Action: Hashable, Sendable {
        case send(ControlMessage)
        /// The tunnel carries streams from now on; routes and heartbeats may be sent.
        case established(ControlMessage.Welcome)
        case acknowledged(ControlMessage.IngressRoutesAck)
        case resyncRequested(reason: String)
        /// The gateway says why it closes the tunnel, or that it did not take a message.
        case told(ControlMessage.ControlError)
        case heartbeatAcknowledged
        /// Log it; nothing else happens.
        case note(String)
        case close(ProtocolViolation)
    }

    private enum State {
        case start
        case awaitingWelcome
        case established
        case closed
    }

    private var state = State.start

    package init() {}

    /// The WebSocket is up.
    package mutating func connected(_ hello: ControlMessage.Hello) -> Action {
        guard case .start = state else { preconditionFailure("connected twice") }
        state = .awaitingWelcome
        return .send(.hello(hello))
    }

    package mutating func received(_ decoded: ControlMessage.Decoded) -> Action {
        switch (state, decoded) {
        case (.closed, _), (.start, _):
            return .note("a message outside the session")
        case (_, .malformed(let reason)):
            return close(.malformedControl, reason)
        case (_, .message(.error(let error))):
            return .told(error)
        case (.awaitingWelcome, .message(.welcome(let welcome))):
            guard welcome.version == 1 else {
                return close(.unexpectedControl, "the gateway chose version \(welcome.version), which was not offered")
            }
            guard welcome.heartbeatIntervalMilliseconds > 0 else {
                return close(.malformedControl, "heartbeat_interval_ms is not positive")
            }
            guard welcome.canaryIntervalMilliseconds ?? 1 > 0 else {
                return close(.malformedControl, "canary_interval_ms is not positive")
            }
            state = .established
            return .established(welcome)
        case (.awaitingWelcome, _):
            return close(.unexpectedControl, "the first message is not welcome")
        case (.established, .unknownType(let type)):
            return .send(.error(.init(code: "unknown_type", message: "type \"\(type.clipped)\" is not known")))
        case (.established, .message(.ingressRoutesAck(let ack))):
            return .acknowledged(ack)
        case (.established, .message(.heartbeatAck)):
            return .heartbeatAcknowledged
        case (.established, .message(.resync(let resync))):
            return .resyncRequested(reason: resync.reason)
        case (.established, .message(let message)):
            return close(.unexpectedControl, "\(message.typeName) from a gateway")
        }
    }

    /// No welcome came in time.
    package mutating func handshakeTimedOut() -> Action? {
        guard case .awaitingWelcome = state else { return nil }
        return close(.handshakeTimeout, "no welcome in time")
    }

    private mutating func close(_ code: ProtocolViolation.Code, _ detail: String) -> Action {
        state = .closed
        return .close(ProtocolViolation(code, detail))
    }
}
