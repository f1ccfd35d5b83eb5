import Routing
import Testing
import TunnelProtocol

@Suite("The gateway's control channel")
struct GatewaySessionTests {
    private let identity = GatewaySession.Identity(
        clusterUUID: "abc-123", instanceID: "gw", tunnelID: "t", gatewayDomain: "g.io",
        heartbeatIntervalMilliseconds: 1000)

    private func hello(_ change: (inout ControlMessage.Hello) -> Void = { _ in }) -> ControlMessage.Decoded {
        var hello = ControlMessage.Hello(
            versions: [2, 1], clusterUUID: "abc-123", agentID: "agent-1", agentVersion: "0.1", maxStreams: 100)
        change(&hello)
        return .message(.hello(hello))
    }

    private func established() -> GatewaySession {
        var session = GatewaySession(identity: identity)
        _ = session.received(hello())
        return session
    }

    private func advertised(_ host: String) -> AdvertisedRoute {
        AdvertisedRoute(
            host: host, path: "/", pathType: "Prefix", service: "s", namespace: "n", port: 80, tls: false,
            annotations: [:])
    }

    private func routes(
        _ action: ControlMessage.IngressRoutes.Action, _ hosts: [String], revision: Int64,
        page: ControlMessage.IngressRoutes.Page? = nil, cluster: String = "abc-123"
    ) -> ControlMessage.Decoded {
        .message(
            .ingressRoutes(
                .init(
                    action: action, clusterUUID: cluster, routes: hosts.map(advertised), revision: revision, page: page)
            ))
    }

    private func heartbeat(revision: Int64, digest: String) -> ControlMessage.Heartbeat {
        .init(metadata: .init(isPrivate: true, gatewayRoutes: 1), revision: revision, digest: digest)
    }

    private func code(_ action: GatewaySession.Action?) -> ProtocolViolation.Code? {
        if case .close(let violation) = action { violation.code } else { nil }
    }

    @Test("Hello is answered with welcome")
    func handshake() {
        var session = GatewaySession(identity: identity)
        let greeting = ControlMessage.Hello(
            versions: [2, 1], clusterUUID: "abc-123", agentID: "agent-1", agentVersion: "0.1", maxStreams: 100,
            tunnel: 3)
        #expect(
            session.received(.message(.hello(greeting)))
                == .establish(
                    welcome: .welcome(
                        .init(
                            version: 1, instanceID: "gw", tunnelID: "t", gatewayDomain: "g.io",
                            heartbeatIntervalMilliseconds: 1000)),
                    hello: greeting))
        #expect(session.handshakeTimedOut() == nil)
        #expect(code(session.received(hello())) == .unexpectedControl)
    }

    @Test("A hello of another cluster, without a common version or without streams is refused")
    func badHello() {
        var session = GatewaySession(identity: identity)
        #expect(code(session.received(hello { $0.clusterUUID = "other" })) == .wrongCluster)
        session = GatewaySession(identity: identity)
        #expect(code(session.received(hello { $0.versions = [2, 3] })) == .unexpectedControl)
        session = GatewaySession(identity: identity)
        #expect(code(session.received(hello { $0.maxStreams = 0 })) == .malformedControl)
        session = GatewaySession(identity: identity)
        #expect(code(session.received(routes(.sync, [], revision: 1))) == .unexpectedControl)
        session = GatewaySession(identity: identity)
        #expect(code(session.received(.unknownType("x"))) == .unexpectedControl)
        session = GatewaySession(identity: identity)
        #expect(code(session.handshakeTimedOut()) == .handshakeTimeout)
        guard case .note = session.received(hello()) else {
            Issue.record("acted on after the end")
            return
        }
    }

    @Test(
        "Each action becomes its change of the registry",
        arguments: [
            (ControlMessage.IngressRoutes.Action.add, GatewaySession.RouteChange.Kind.put), (.update, .put),
            (.delete, .delete), (.sync, .replaceAll),
        ])
    func actions(action: ControlMessage.IngressRoutes.Action, kind: GatewaySession.RouteChange.Kind) throws {
        var session = established()
        let change = GatewaySession.RouteChange(
            kind: kind, action: action, revision: 5, routes: [try advertised("a.com").route()])
        #expect(session.received(routes(action, ["a.com"], revision: 5)) == .apply(change))
        let refusal = ControlMessage.IngressRoutesAck.Rejection(
            try advertised("a.com").route(), RouteRefusal(reason: "HostnameConflict", message: "taken"))
        #expect(
            session.applied(change, accepted: 0, rejected: [refusal])
                == .send(.ingressRoutesAck(.init(revision: 5, accepted: 0, rejected: [refusal]))))
    }

    @Test("One bad route is refused by name, the others go on")
    func badRoute() throws {
        var session = established()
        guard case .apply(let change) = session.received(routes(.add, ["good.com", "b d"], revision: 1)) else {
            Issue.record("not applied")
            return
        }
        #expect(change.routes == [try advertised("good.com").route()])
        #expect(change.rejected.map(\.host) == ["b d"])
        #expect(change.rejected.map(\.reason) == ["InvalidHost"])
        guard case .send(.ingressRoutesAck(let ack)) = session.applied(change, accepted: 1, rejected: []) else {
            Issue.record("not acknowledged")
            return
        }
        #expect(ack.accepted == 1)
        #expect(ack.rejected == change.rejected)
    }

    @Test("The pages of a sync take effect together, with the last")
    func paging() throws {
        var session = established()
        guard case .note = session.received(routes(.sync, ["a.com"], revision: 9, page: .init(index: 0, last: false))),
            case .note = session.received(routes(.sync, ["x y"], revision: 9, page: .init(index: 1, last: false)))
        else {
            Issue.record("applied too early")
            return
        }
        // While pages are on their way the two sides differ rightly.
        #expect(
            session.refreshed(heartbeat(revision: 0, digest: "x"), digest: "y")
                == [.send(.heartbeatAck(.init(revision: 0)))])
        guard
            case .apply(let change) = session.received(
                routes(.sync, ["c.com"], revision: 9, page: .init(index: 2, last: true)))
        else {
            Issue.record("not applied")
            return
        }
        #expect(change.kind == .replaceAll)
        #expect(change.revision == 9)
        #expect(change.routes.map(\.host.text) == ["a.com", "c.com"])
        #expect(change.rejected.map(\.host) == ["x y"])
    }

    @Test("A page out of order ends the tunnel", arguments: [(1, Int64(9)), (3, 9), (2, 8), (-1, 9)])
    func pageOrder(index: Int, revision: Int64) {
        var session = established()
        if index != 1 || revision != 9 {
            _ = session.received(routes(.sync, [], revision: 9, page: .init(index: 0, last: false)))
            _ = session.received(routes(.sync, [], revision: 9, page: .init(index: 1, last: false)))
        }
        let action = session.received(routes(.sync, [], revision: revision, page: .init(index: index, last: true)))
        #expect(code(action) == (index < 0 ? .malformedControl : .unexpectedControl))
    }

    @Test("A sync may begin anew before its last page")
    func restartedSync() throws {
        var session = established()
        _ = session.received(routes(.sync, ["old.com"], revision: 9, page: .init(index: 0, last: false)))
        guard case .apply(let change) = session.received(routes(.sync, ["new.com"], revision: 10)) else {
            Issue.record("not applied")
            return
        }
        #expect(change.routes.map(\.host.text) == ["new.com"])
    }

    @Test("A sync of more routes than allowed ends the tunnel, good ones and bad ones counted alike")
    func tooManyRoutes() {
        var session = established()
        let page = Array(repeating: "not a host", count: 10_000)
        for index in 0..<10 {
            let action = session.received(routes(.sync, page, revision: 1, page: .init(index: index, last: false)))
            #expect(code(action) == nil)
        }
        #expect(
            code(session.received(routes(.sync, ["a.com"], revision: 1, page: .init(index: 10, last: false))))
                == .tooLarge)
    }

    @Test("A sync of more bytes than allowed ends the tunnel, also where each route is refused")
    func tooManyBytes() {
        var session = established()
        let host = String(repeating: "h", count: 60_000)
        let fitting = Array(repeating: host, count: GatewaySession.maxRouteBytes / 60_100)
        #expect(
            code(session.received(routes(.sync, fitting, revision: 1, page: .init(index: 0, last: false)))) == nil)
        #expect(session.unfinishedBytes > GatewaySession.maxRouteBytes * 9 / 10)
        let more = routes(.sync, Array(repeating: host, count: 10), revision: 1, page: .init(index: 1, last: true))
        #expect(code(session.received(more)) == .tooLarge)
        #expect(session.unfinishedBytes == 0)
    }

    @Test("A set that has not arrived whole weighs until it has, or until its cluster has too many of them")
    func unfinished() {
        var session = established()
        _ = session.received(routes(.sync, ["a.com"], revision: 1, page: .init(index: 0, last: false)))
        let one = session.unfinishedBytes
        #expect(one == advertised("a.com").size)
        _ = session.received(routes(.sync, ["b.com"], revision: 1, page: .init(index: 1, last: false)))
        #expect(session.unfinishedBytes == 2 * one)
        _ = session.received(routes(.sync, ["c.com"], revision: 1, page: .init(index: 2, last: true)))
        #expect(session.unfinishedBytes == 0)
        _ = session.received(routes(.sync, ["a.com"], revision: 2, page: .init(index: 0, last: false)))
        #expect(code(session.overrun()) == .tooLarge)
        #expect(session.unfinishedBytes == 0)
    }

    @Test("Routes of another cluster change nothing and end nothing")
    func wrongCluster() {
        var session = established()
        guard case .send(.error(let error)) = session.received(routes(.sync, ["a.com"], revision: 1, cluster: "other"))
        else {
            Issue.record("taken")
            return
        }
        #expect(error.code == "wrong_cluster")
        guard case .apply = session.received(routes(.sync, ["a.com"], revision: 2)) else {
            Issue.record("the session ended")
            return
        }
    }

    @Test("A heartbeat is acknowledged; a digest that differs at the same revision asks for everything")
    func digests() {
        var session = established()
        let beat = heartbeat(revision: 0, digest: "a")
        #expect(session.received(.message(.heartbeat(beat))) == .refresh(beat))
        #expect(session.refreshed(beat, digest: "a") == [.send(.heartbeatAck(.init(revision: 0)))])
        let actions = session.refreshed(beat, digest: "b")
        #expect(actions.first == .send(.heartbeatAck(.init(revision: 0))))
        guard actions.count == 2, case .send(.resync) = actions[1] else {
            Issue.record("no resync")
            return
        }
        // Another revision: an acknowledgement is on its way.
        #expect(session.refreshed(heartbeat(revision: 3, digest: "a"), digest: "b").count == 1)
    }

    @Test("An acknowledgement fits one message however long the refused paths are")
    func longAcknowledgement() {
        var session = established()
        let change = GatewaySession.RouteChange(kind: .put, action: .add, revision: 1, routes: [])
        let rejections = (0..<500).map { number in
            ControlMessage.IngressRoutesAck.Rejection(
                host: "h\(number).com", path: "/" + String(repeating: "\"", count: number * 20), pathType: "Prefix",
                reason: "InvalidPath", message: "m")
        }
        guard case .send(let message) = session.applied(change, accepted: 0, rejected: rejections),
            case .ingressRoutesAck(let ack) = message
        else {
            Issue.record("not acknowledged")
            return
        }
        #expect(message.encoded().utf8.count <= ControlMessage.maximumSize)
        #expect(!ack.rejected.isEmpty)
        #expect(ack.rejected == Array(rejections.prefix(ack.rejected.count)))
    }

    @Test("Unknown types are answered, errors noted, and an agent's mistakes end the tunnel")
    func others() {
        var session = established()
        guard case .send(.error(let error)) = session.received(.unknownType("x")) else {
            Issue.record("not answered")
            return
        }
        #expect(error.code == "unknown_type")
        let told = ControlMessage.ControlError(code: "c", message: "m")
        #expect(session.received(.message(.error(told))) == .told(told))
        #expect(code(session.received(.malformed("bad"))) == .malformedControl)
        for wrong in [ControlMessage.heartbeatAck(.init(revision: 1)), .resync(.init(reason: ""))] {
            var session = established()
            #expect(code(session.received(.message(wrong))) == .unexpectedControl)
        }
    }
}
