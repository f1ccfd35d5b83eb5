import Testing
import TunnelProtocol

@Suite("The agent's control channel")
struct AgentSessionTests {
    private let hello = ControlMessage.Hello(
        versions: [1], clusterUUID: "abc-123", agentID: "agent-1", agentVersion: "0", maxStreams: 100)
    private let welcome = ControlMessage.Welcome(
        version: 1, instanceID: "gw", tunnelID: "t", gatewayDomain: "g.io", heartbeatIntervalMilliseconds: 1000)

    private func code(_ action: AgentSession.Action?) -> ProtocolViolation.Code? {
        if case .close(let violation) = action { violation.code } else { nil }
    }

    private func established() -> AgentSession {
        var session = AgentSession()
        _ = session.connected(hello)
        _ = session.received(.message(.welcome(welcome)))
        return session
    }

    @Test("Hello, welcome, then acknowledgements, heartbeats and wishes")
    func transcript() {
        var session = AgentSession()
        #expect(session.connected(hello) == .send(.hello(hello)))
        #expect(session.received(.message(.welcome(welcome))) == .established(welcome))
        let ack = ControlMessage.IngressRoutesAck(revision: 1, accepted: 2)
        #expect(session.received(.message(.ingressRoutesAck(ack))) == .acknowledged(ack))
        #expect(session.received(.message(.heartbeatAck(.init(revision: 1)))) == .heartbeatAcknowledged)
        #expect(session.received(.message(.resync(.init(reason: "drift")))) == .resyncRequested(reason: "drift"))
        let error = ControlMessage.ControlError(code: "draining", message: "x", retryAfterMilliseconds: 100)
        #expect(session.received(.message(.error(error))) == .told(error))
    }

    @Test("An unknown type is answered, and nothing else happens")
    func unknownType() {
        var session = established()
        guard case .send(.error(let error)) = session.received(.unknownType("upgrade")) else {
            Issue.record("not answered")
            return
        }
        #expect(error.code == "unknown_type")
        #expect(error.message == "type \"upgrade\" is not known")
        #expect(session.received(.message(.heartbeatAck(.init(revision: 1)))) == .heartbeatAcknowledged)
        let long = session.received(.unknownType(String(repeating: "e\u{301}", count: 20_000)))
        guard case .send(let answer) = long else {
            Issue.record("not answered")
            return
        }
        #expect(answer.encoded().utf8.count < 1000)
    }

    @Test("Anything but welcome or an error first ends the session")
    func first() {
        for decoded in [
            ControlMessage.Decoded.message(.heartbeatAck(.init(revision: 0))), .unknownType("x"),
            .message(.hello(hello)),
        ] {
            var session = AgentSession()
            _ = session.connected(hello)
            #expect(code(session.received(decoded)) == .unexpectedControl)
        }
        var told = AgentSession()
        _ = told.connected(hello)
        let error = ControlMessage.ControlError(code: "wrong_cluster", message: "x")
        #expect(told.received(.message(.error(error))) == .told(error))
    }

    @Test("A welcome of another version, or without a heartbeat, ends the session")
    func badWelcome() {
        var version = welcome
        version.version = 2
        var session = AgentSession()
        _ = session.connected(hello)
        #expect(code(session.received(.message(.welcome(version)))) == .unexpectedControl)

        var silent = welcome
        silent.heartbeatIntervalMilliseconds = 0
        session = AgentSession()
        _ = session.connected(hello)
        #expect(code(session.received(.message(.welcome(silent)))) == .malformedControl)

        var canaries = welcome
        canaries.canaryIntervalMilliseconds = 0
        session = AgentSession()
        _ = session.connected(hello)
        #expect(code(session.received(.message(.welcome(canaries)))) == .malformedControl)
        canaries.canaryIntervalMilliseconds = 5000
        session = AgentSession()
        _ = session.connected(hello)
        #expect(session.received(.message(.welcome(canaries))) == .established(canaries))
    }

    @Test("Messages that only agents send end the session")
    func gatewayOnly() {
        let wrong: [ControlMessage] = [
            .hello(hello), .welcome(welcome),
            .ingressRoutes(.init(action: .add, clusterUUID: "abc-123", routes: [], revision: 1)),
            .heartbeat(.init(metadata: .init(isPrivate: true, gatewayRoutes: 0), revision: 0, digest: "")),
        ]
        for message in wrong {
            var session = established()
            #expect(code(session.received(.message(message))) == .unexpectedControl)
        }
    }

    @Test("A malformed message ends the session; what follows is noted only")
    func malformed() {
        var session = established()
        #expect(
            session.received(.malformed("x")) == .close(ProtocolViolation(.malformedControl, "x")))
        guard case .note = session.received(.message(.resync(.init(reason: "late")))) else {
            Issue.record("acted on")
            return
        }
    }

    @Test("No welcome in time ends the session; a late timer does nothing")
    func timeout() {
        var session = AgentSession()
        #expect(session.handshakeTimedOut() == nil)
        _ = session.connected(hello)
        #expect(code(session.handshakeTimedOut()) == .handshakeTimeout)
        #expect(session.handshakeTimedOut() == nil)
        var up = established()
        #expect(up.handshakeTimedOut() == nil)
    }
}
