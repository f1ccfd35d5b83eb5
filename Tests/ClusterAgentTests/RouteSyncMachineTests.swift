import ClusterAgent
import Foundation
import KubernetesAPI
import Routing
import TestSupport
import Testing
import TunnelProtocol

@Suite("What the gateway is told, as transcripts")
struct RouteSyncMachineTests {
    /// A ledger, a machine, and what they said.
    struct Transcript {
        var ledger: RouteLedger
        var machine = RouteSyncMachine(clusterUUID: "abc-123")
        var affected: Set<ObjectKey> = []
        /// Whether the last batch waits for the socket.
        var isSending = false

        init(_ publication: RouteLedger.Publication = .published, isComplete: Bool = true) {
            ledger = RouteLedger()
            if isComplete { ledger.setComplete() }
            _ = ledger.setPublication(publication)
        }

        mutating func submit(_ ingress: String, _ routes: ExtractedRoute...) {
            _ = ledger.replace(ingress: Sample.key(ingress), createdAt: Sample.date(0), with: routes)
        }

        mutating func remove(_ ingress: String) { _ = ledger.remove(ingress: Sample.key(ingress)) }

        private mutating func lines(_ step: RouteSyncMachine.Step) -> [String] {
            affected.formUnion(step.affected)
            return step.messages.map(Self.line)
        }

        /// The session is lost, and its machine with it.
        mutating func disconnect() { machine = RouteSyncMachine(clusterUUID: "abc-123") }

        mutating func established() -> [String] { lines(stepEstablished()) }
        mutating func changed() -> [String] { lines(stepChanged()) }
        mutating func resync() -> [String] { lines(machine.resyncRequested(isSending: isSending, &ledger)) }

        mutating func heartbeat(isPrivate: Bool = true) -> [String] {
            lines(machine.heartbeatDue(isPrivate: isPrivate, isSending: isSending, &ledger))
        }

        mutating func acknowledge(
            _ revision: Int64, rejected: [ControlMessage.IngressRoutesAck.Rejection] = []
        ) -> [String] {
            lines(machine.acknowledged(.init(revision: revision, accepted: 0, rejected: rejected), &ledger))
        }

        mutating func stepEstablished() -> RouteSyncMachine.Step { machine.sessionEstablished(&ledger) }
        mutating func stepChanged() -> RouteSyncMachine.Step { machine.ledgerChanged(&ledger) }

        mutating func stepAcknowledged(_ revision: Int64) -> RouteSyncMachine.Step {
            machine.acknowledged(.init(revision: revision, accepted: 0), &ledger)
        }

        static func line(_ message: ControlMessage) -> String {
            switch message {
            case .ingressRoutes(let message):
                let routes = message.routes.map { "\($0.host)\($0.path)=\($0.service)" }.joined(separator: " ")
                let page = message.page.map { " page \($0.index)\($0.last ? " last" : "")" } ?? ""
                return "\(message.action.rawValue) @\(message.revision)\(page): \(routes)"
            case .heartbeat(let beat):
                let type = beat.metadata.isPrivate ? "private" : "not private"
                return "heartbeat \(type) \(beat.metadata.gatewayRoutes) @\(beat.revision) \(beat.digest)"
            default: return message.typeName
            }
        }
    }

    static func rejection(_ host: String, _ reason: String) -> ControlMessage.IngressRoutesAck.Rejection {
        .init(host: host, path: "/", pathType: "Prefix", reason: reason, message: "because")
    }

    @Test("A fresh session gets the whole set, then differences")
    func syncThenDeltas() throws {
        var transcript = Transcript()
        transcript.submit("a", try Sample.route("a.example.com"))
        #expect(transcript.established() == ["sync @3 page 0 last: a.example.com/=my-app"])
        #expect(transcript.acknowledge(3) == [])
        #expect(transcript.affected == [Sample.key("a")])

        transcript.submit("b", try Sample.route("b.example.com"))
        #expect(transcript.changed() == ["add @5: b.example.com/=my-app"])
        #expect(transcript.acknowledge(5) == [])
        transcript.submit("b", try Sample.route("b.example.com", service: "other"))
        #expect(transcript.changed() == ["update @7: b.example.com/=other"])
        #expect(transcript.acknowledge(7) == [])
        transcript.remove("b")
        #expect(transcript.changed() == ["delete @9: b.example.com/=other"])
        #expect(transcript.acknowledge(9) == [])
        #expect(transcript.changed() == [])
    }

    @Test("A fresh session gets the whole set also where it is empty: what the gateway had from before must go")
    func emptySync() {
        var transcript = Transcript()
        #expect(transcript.established() == ["sync @2 page 0 last: "])
    }

    @Test("Only one batch is in flight; what changes meanwhile is sent as one difference, however often it changed")
    func coalescing() throws {
        var transcript = Transcript()
        #expect(transcript.established() == ["sync @2 page 0 last: "])
        transcript.submit("a", try Sample.route("a.example.com"))
        #expect(transcript.changed() == [])
        transcript.submit("b", try Sample.route("b.example.com"))
        transcript.submit("a", try Sample.route("a.example.com", service: "second"))
        transcript.submit("c", try Sample.route("c.example.com"))
        transcript.remove("c")
        #expect(transcript.changed() == [])
        #expect(transcript.acknowledge(2) == ["add @8: a.example.com/=second b.example.com/=my-app"])
    }

    @Test("A change that is taken back before it was sent is never sent")
    func changeTakenBack() throws {
        var transcript = Transcript()
        _ = transcript.established()
        transcript.submit("a", try Sample.route("a.example.com"))
        transcript.remove("a")
        #expect(transcript.acknowledge(2) == [])
        #expect(transcript.changed() == [])
    }

    @Test("A difference frees names before it claims others, each message under a revision of its own")
    func order() throws {
        var transcript = Transcript()
        transcript.submit(
            "a", try Sample.route("a.example.com"), try Sample.route("b.example.com"))
        #expect(transcript.established() == ["sync @3 page 0 last: a.example.com/=my-app b.example.com/=my-app"])
        #expect(transcript.acknowledge(3) == [])
        transcript.submit(
            "a", try Sample.route("b.example.com", service: "new"), try Sample.route("c.example.com"))
        #expect(
            transcript.changed() == [
                "delete @5: a.example.com/=my-app", "update @6: b.example.com/=new", "add @7: c.example.com/=my-app",
            ])
        transcript.remove("a")
        #expect(transcript.acknowledge(5) == [])
        #expect(transcript.acknowledge(7) == [], "the order of the answers does not matter")
        #expect(transcript.acknowledge(6) == ["delete @9: b.example.com/=new c.example.com/=my-app"])
    }

    @Test("A lost session leaves nothing behind: the next one begins with the whole set")
    func sessionLost() throws {
        var transcript = Transcript()
        _ = transcript.established()
        transcript.submit("a", try Sample.route("a.example.com"))
        transcript.disconnect()
        #expect(transcript.changed() == [])
        #expect(transcript.acknowledge(2) == [])
        transcript.submit("b", try Sample.route("b.example.com"))
        #expect(transcript.established() == ["sync @5 page 0 last: a.example.com/=my-app b.example.com/=my-app"])
        #expect(transcript.acknowledge(2) == [], "an answer to a message of the session before")
        #expect(transcript.acknowledge(5) == [])
        #expect(transcript.affected == [Sample.key("a"), Sample.key("b")])
    }

    @Test("A resync sends the whole set at once, and an answer to what was in flight is a harmless race")
    func resync() throws {
        var transcript = Transcript()
        transcript.submit("a", try Sample.route("a.example.com"))
        _ = transcript.established()
        transcript.submit("b", try Sample.route("b.example.com"))
        #expect(transcript.resync() == ["sync @5 page 0 last: a.example.com/=my-app b.example.com/=my-app"])
        #expect(transcript.acknowledge(3) == [])
        #expect(transcript.changed() == [], "the second sync is still in flight")
        #expect(transcript.acknowledge(5) == [])
        #expect(transcript.resync() == ["sync @6 page 0 last: a.example.com/=my-app b.example.com/=my-app"])
    }

    @Test("A replica that stands by publishes nothing, and its heartbeats claim nothing about the gateway's set")
    func standby() throws {
        var transcript = Transcript(isComplete: false)
        transcript.submit("a", try Sample.route("a.example.com"))
        #expect(transcript.established() == [])
        #expect(transcript.changed() == [])
        #expect(transcript.resync() == [])
        #expect(transcript.heartbeat() == ["heartbeat private 1 @-1 0000000000000000"])
    }

    @Test("Who leads again sends the whole set with a higher revision, although its session is the same")
    func terms() throws {
        var transcript = Transcript()
        transcript.submit("a", try Sample.route("a.example.com"))
        _ = transcript.established()
        _ = transcript.acknowledge(3)

        transcript.ledger.endTerm()
        #expect(transcript.changed() == [])
        transcript.submit("b", try Sample.route("b.example.com"))
        #expect(transcript.changed() == [], "another replica publishes now")
        #expect(transcript.heartbeat().first?.hasPrefix("heartbeat private 2 @-1 ") == true)

        transcript.ledger.beginTerm(revision: 1000)
        #expect(transcript.changed() == [], "not every Ingress has been looked at")
        #expect(transcript.ledger.tunnel == .starting)
        transcript.ledger.setComplete()
        #expect(transcript.changed() == ["sync @1001 page 0 last: a.example.com/=my-app b.example.com/=my-app"])
    }

    @Test("A term that ends and begins while a batch is in flight still begins with the whole set")
    func termChangesInFlight() throws {
        var transcript = Transcript()
        transcript.submit("a", try Sample.route("a.example.com"))
        _ = transcript.established()
        transcript.ledger.endTerm()
        #expect(transcript.changed() == [])
        transcript.ledger.beginTerm(revision: 1000)
        transcript.ledger.setComplete()
        #expect(transcript.changed() == [], "one batch is in flight at a time")
        #expect(transcript.acknowledge(3) == ["sync @1001 page 0 last: a.example.com/=my-app"])
    }

    @Test("Becoming public withdraws everything with one message; becoming private again sends everything")
    func publicAndBack() throws {
        var transcript = Transcript()
        transcript.submit("a", try Sample.route("a.example.com"))
        _ = transcript.established()
        _ = transcript.acknowledge(3)
        _ = transcript.ledger.setPublication(.withdrawn)
        #expect(transcript.changed() == ["sync @5 page 0 last: "])
        #expect(transcript.acknowledge(5) == [])
        transcript.submit("b", try Sample.route("b.example.com"))
        #expect(transcript.changed() == [], "a public cluster's routes are its own business")
        _ = transcript.ledger.setPublication(.published)
        #expect(transcript.changed() == ["sync @8 page 0 last: a.example.com/=my-app b.example.com/=my-app"])
    }

    @Test("Becoming public while a batch is in flight is told right after it")
    func publicWhileAwaiting() throws {
        var transcript = Transcript()
        transcript.submit("a", try Sample.route("a.example.com"))
        _ = transcript.established()
        _ = transcript.ledger.setPublication(.withdrawn)
        #expect(transcript.changed() == [])
        #expect(transcript.acknowledge(3) == ["sync @5 page 0 last: "])
    }

    @Test("While the type is undecided, and in observe-only mode, only heartbeats are sent")
    func silent() throws {
        var transcript = Transcript(.silent)
        transcript.submit("a", try Sample.route("a.example.com"))
        #expect(transcript.established() == [])
        #expect(transcript.changed() == [])
        #expect(transcript.resync() == [])
        #expect(transcript.heartbeat(isPrivate: false) == ["heartbeat not private 0 @-1 0000000000000000"])
        _ = transcript.ledger.setPublication(.published)
        #expect(transcript.changed() == ["sync @3 page 0 last: a.example.com/=my-app"])
    }

    @Test("Nothing is published before every Ingress was looked at, or a restart would withdraw the rest")
    func incomplete() throws {
        var transcript = Transcript(isComplete: false)
        #expect(transcript.established() == [])
        transcript.submit("a", try Sample.route("a.example.com"))
        #expect(transcript.changed() == [])
        #expect(transcript.resync() == [])
        transcript.submit("b", try Sample.route("b.example.com"))
        transcript.ledger.setComplete()
        #expect(transcript.changed() == ["sync @4 page 0 last: a.example.com/=my-app b.example.com/=my-app"])
    }

    @Test("Heartbeats tell the last acknowledged revision and the digest of the set at that revision")
    func heartbeats() throws {
        var transcript = Transcript()
        let a = try Sample.route("a.example.com")
        let b = try Sample.route("b.example.com")
        transcript.submit("a", a)
        _ = transcript.established()
        #expect(transcript.heartbeat() == ["heartbeat private 1 @-1 0000000000000000"])
        _ = transcript.acknowledge(3)
        #expect(transcript.heartbeat() == ["heartbeat private 1 @3 \(RouteDigest([a.route]))"])
        transcript.submit("b", b)
        _ = transcript.changed()
        #expect(transcript.heartbeat() == ["heartbeat private 2 @3 \(RouteDigest([a.route]))"])
        _ = transcript.acknowledge(5, rejected: [Self.rejection("b.example.com", "HostnameConflict")])
        // The digest is of what was advertised: a refusal is no drift.
        #expect(transcript.heartbeat() == ["heartbeat private 2 @5 \(RouteDigest([a.route, b.route]))"])
        transcript.remove("a")
        _ = transcript.changed()
        _ = transcript.acknowledge(7)
        #expect(transcript.heartbeat() == ["heartbeat private 1 @7 \(RouteDigest([b.route]))"])
    }

    @Test("A batch that is never answered is given up for the whole set")
    func unanswered() throws {
        var transcript = Transcript()
        _ = transcript.established()
        _ = transcript.acknowledge(2)
        transcript.submit("a", try Sample.route("a.example.com"))
        #expect(transcript.changed() == ["add @4: a.example.com/=my-app"])
        for _ in 0..<3 { #expect(transcript.heartbeat().count == 1) }
        let messages = transcript.heartbeat()
        #expect(messages.first == "sync @5 page 0 last: a.example.com/=my-app")
        #expect(messages.count == 2)
        #expect(transcript.acknowledge(4) == [], "too late")
        #expect(transcript.affected == [])
        #expect(transcript.acknowledge(5) == [])
        #expect(transcript.affected == [Sample.key("a")])
    }

    @Test("A batch that is still being sent is not given up, and a whole set is not asked for twice")
    func stillSending() throws {
        var transcript = Transcript()
        transcript.submit("a", try Sample.route("a.example.com"))
        let sync = transcript.established()
        #expect(sync.count == 1)
        transcript.isSending = true
        for _ in 0..<10 { #expect(transcript.heartbeat().count == 1) }
        #expect(transcript.resync() == [], "the set that is asked for is on its way")
        transcript.isSending = false
        #expect(transcript.resync().count == 1, "the gateway may have refused it")
    }

    @Test("A refused route is the refused Ingress's, the others are served; a later change of it is sent again")
    func rejections() throws {
        var transcript = Transcript()
        let taken = try Sample.route("taken.example.com")
        transcript.submit("a", try Sample.route("a.example.com"))
        transcript.submit("b", taken)
        _ = transcript.established()
        #expect(transcript.acknowledge(4, rejected: [Self.rejection("taken.example.com", "HostnameConflict")]) == [])
        #expect(transcript.affected == [Sample.key("a"), Sample.key("b")])
        let standing = transcript.ledger.standing(of: Sample.key("b"), createdAt: Sample.date(0), routes: [taken])
        #expect(standing.rejections.map(\.reason) == ["HostnameConflict"])
        transcript.submit("b", try Sample.route("taken.example.com", service: "other"))
        #expect(transcript.changed() == ["update @6: taken.example.com/=other"])
    }

    @Test("The first acknowledged set brings the tunnel up in the ledger")
    func tunnelUp() {
        var transcript = Transcript()
        _ = transcript.established()
        #expect(transcript.ledger.tunnel == .starting)
        _ = transcript.acknowledge(2)
        #expect(transcript.ledger.tunnel == .up)
    }

    @Test("A large set travels in pages that each fit a message, and is acknowledged once")
    func pages() throws {
        var transcript = Transcript()
        for index in 0..<2000 {
            transcript.submit(
                "i\(index)",
                try Sample.route(
                    "h\(index).example.com",
                    annotations: ["nginx.ingress.kubernetes.io/x": String(repeating: "\"", count: index % 300)]))
        }
        let messages = transcript.stepEstablished().messages
        #expect(messages.count > 5)
        var hosts: Set<String> = []
        var revisions: Set<Int64> = []
        for (index, message) in messages.enumerated() {
            #expect(message.encoded().utf8.count <= ControlMessage.maximumSize)
            guard case .ingressRoutes(let routes) = message else {
                Issue.record("not routes")
                continue
            }
            #expect(routes.page == .init(index: index, last: index == messages.count - 1))
            revisions.insert(routes.revision)
            hosts.formUnion(routes.routes.map(\.host))
        }
        #expect(hosts.count == 2000)
        #expect(revisions.count == 1)
        let revision = try #require(revisions.first)
        #expect(transcript.stepAcknowledged(revision).affected.count == 2000)
    }

    @Test("A large difference travels in messages with revisions of their own")
    func largeDifference() throws {
        var transcript = Transcript()
        _ = transcript.established()
        for index in 0..<1000 { transcript.submit("i\(index)", try Sample.route("h\(index).example.com")) }
        let lines = transcript.acknowledge(2)
        #expect(lines.count > 2)
        for index in 0..<lines.count {
            #expect(lines[index].hasPrefix("add @\(1003 + index):"))
            #expect(transcript.acknowledge(Int64(1003 + index)) == [])
        }
        #expect(transcript.affected.count == 1000)
    }

    @Test("Whatever happens in whatever order, the gateway ends up with the ledger's routes", arguments: 1...20)
    func randomSchedules(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var transcript = Transcript()
        var gateway: [String: String] = [:]
        var inFlight: [ControlMessage.IngressRoutes] = []
        var connected = false

        func take(_ step: RouteSyncMachine.Step) {
            for case .ingressRoutes(let message) in step.messages { inFlight.append(message) }
        }
        func deliver() {
            guard !inFlight.isEmpty else { return }
            let message = inFlight.removeFirst()
            if message.action == .sync, message.page?.index == 0 { gateway = [:] }
            for route in message.routes {
                gateway[route.host + route.path] = message.action == .delete ? nil : route.service
            }
            take(transcript.stepAcknowledged(message.revision))
        }
        for _ in 0..<400 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0...3:
                let name = "i\(Int.random(in: 0..<6, using: &random))"
                let host = "h\(Int.random(in: 0..<4, using: &random)).example.com"
                transcript.submit(name, try Sample.route(host, service: name))
                take(transcript.stepChanged())
            case 4:
                transcript.remove("i\(Int.random(in: 0..<6, using: &random))")
                take(transcript.stepChanged())
            case 5 where Bool.random(using: &random):
                connected = false
                inFlight = []
                transcript.disconnect()
            case 6 where !connected:
                connected = true
                take(transcript.stepEstablished())
            case 7:
                _ = transcript.ledger.setPublication(Bool.random(using: &random) ? .published : .withdrawn)
                take(transcript.stepChanged())
            default: deliver()
            }
        }
        if !connected { take(transcript.stepEstablished()) }
        while !inFlight.isEmpty { deliver() }
        let isPublished = transcript.ledger.publication == .published
        let expected = isPublished ? transcript.ledger.routesInOrder : []
        #expect(
            gateway == Dictionary(uniqueKeysWithValues: expected.map { ($0.host.text + $0.path, $0.service) }),
            "seed \(seed)")
    }
}
