import Foundation
import KubernetesAPI
import Routing
import TestSupport
import Testing

@testable import ClusterAgent

@Suite("The ledger of routes")
struct RouteLedgerTests {
    typealias Outcome = RouteLedger.Outcome

    static let host = "my-app.example.com"

    /// A ledger that is complete and published.
    static func ledger() -> RouteLedger {
        var ledger = RouteLedger()
        ledger.setComplete()
        _ = ledger.setPublication(.published)
        _ = ledger.takeChangedKeys()
        return ledger
    }

    @Test("A revision grows with every change of the routes and with nothing else")
    func revisions() throws {
        var ledger = RouteLedger(revision: 41)
        let route = try Sample.route(Self.host)
        #expect(ledger.replace(ingress: Sample.key("a"), createdAt: Sample.date(0), with: [route]).routesChanged)
        #expect(ledger.revision == 42)
        #expect(!ledger.replace(ingress: Sample.key("a"), createdAt: Sample.date(0), with: [route]).routesChanged)
        #expect(!ledger.remove(ingress: Sample.key("unknown")).routesChanged)
        #expect(ledger.revision == 42)
        #expect(ledger.nextRevision() == 43)
        #expect(ledger.setPublication(.published) == true)
        #expect(ledger.setPublication(.published) == false)
        #expect(ledger.revision == 44)
        #expect(ledger.remove(ingress: Sample.key("a")).routesChanged)
        #expect(ledger.revision == 45)
        #expect(ledger.routeCount == 0)
    }

    @Test("Of two Ingresses that want one path the older has it; the loser learns who")
    func conflictByAge() throws {
        var ledger = Self.ledger()
        let newer = try Sample.route(Self.host, service: "newer")
        let older = try Sample.route(Self.host, service: "older")
        _ = ledger.replace(ingress: Sample.key("newer"), createdAt: Sample.date(10), with: [newer])
        let change = ledger.replace(ingress: Sample.key("older"), createdAt: Sample.date(0), with: [older])
        #expect(change.affected == [Sample.key("newer")])
        #expect(ledger.route(newer.key)?.service == "older")
        let loser = ledger.standing(of: Sample.key("newer"), createdAt: Sample.date(10), routes: [newer])
        #expect(loser.conflicts == [.init(key: newer.key, winner: Sample.key("older"))])
        let winner = ledger.standing(of: Sample.key("older"), createdAt: Sample.date(0), routes: [older])
        #expect(winner.conflicts.isEmpty)
    }

    @Test("Of two Ingresses of one age the first by namespace and name has the path")
    func conflictByName() throws {
        var ledger = Self.ledger()
        for name in ["b", "a", "c"] {
            _ = ledger.replace(
                ingress: Sample.key(name), createdAt: Sample.date(0), with: [try Sample.route(Self.host, service: name)]
            )
        }
        #expect(ledger.routesInOrder.map(\.service) == ["a"])
        let first = ObjectKey(namespace: "a-namespace", name: "z")
        _ = ledger.replace(
            ingress: first, createdAt: Sample.date(0), with: [try Sample.route(Self.host, service: "z")])
        #expect(ledger.routesInOrder.map(\.service) == ["z"])
    }

    @Test("When the winner goes, the next in line gets the path and is told")
    func inheritance() throws {
        var ledger = Self.ledger()
        for (age, name) in ["a", "b", "c"].enumerated() {
            _ = ledger.replace(
                ingress: Sample.key(name), createdAt: Sample.date(age),
                with: [try Sample.route(Self.host, service: name)])
        }
        let change = ledger.remove(ingress: Sample.key("a"))
        #expect(change.routesChanged)
        // b has the path now, and c has lost it to another one than before.
        #expect(change.affected == [Sample.key("b"), Sample.key("c")])
        #expect(ledger.routesInOrder.map(\.service) == ["b"])
    }

    @Test("Retaining removes what is no longer asked for and leaves the rest as it was")
    func retain() throws {
        var ledger = Self.ledger()
        let routes = [try Sample.route(Self.host, "/a"), try Sample.route(Self.host, "/b")]
        _ = ledger.replace(ingress: Sample.key("a"), createdAt: Sample.date(0), with: routes)
        let new = try Sample.route(Self.host, "/new").key
        let change = ledger.retain(ingress: Sample.key("a"), keys: [routes[1].key, new])
        #expect(change.routesChanged)
        #expect(change.hosts == [routes[0].route.host])
        #expect(ledger.routesInOrder == [routes[1].route])
        #expect(ledger.retain(ingress: Sample.key("a"), keys: [routes[1].key]) == RouteLedger.Change())
        #expect(ledger.remove(ingress: Sample.key("a")).routesChanged)
        #expect(ledger.routeCount == 0)
    }

    @Test("A loser that goes changes nothing")
    func loserGoes() throws {
        var ledger = Self.ledger()
        for (age, name) in ["a", "b"].enumerated() {
            _ = ledger.replace(
                ingress: Sample.key(name), createdAt: Sample.date(age),
                with: [try Sample.route(Self.host, service: name)])
        }
        let revision = ledger.revision
        #expect(ledger.remove(ingress: Sample.key("b")) == RouteLedger.Change())
        #expect(ledger.revision == revision)
    }

    @Test("The standing is the same before the routes are submitted and after")
    func preview() throws {
        var ledger = Self.ledger()
        let routes = [try Sample.route(Self.host, "/a"), try Sample.route(Self.host, "/b")]
        _ = ledger.replace(ingress: Sample.key("old"), createdAt: Sample.date(0), with: [routes[0]])
        let before = ledger.standing(of: Sample.key("new"), createdAt: Sample.date(1), routes: routes)
        _ = ledger.replace(ingress: Sample.key("new"), createdAt: Sample.date(1), with: routes)
        #expect(ledger.standing(of: Sample.key("new"), createdAt: Sample.date(1), routes: routes) == before)
        #expect(before.conflicts.count == 1)
        #expect(before.pending == 1)
    }

    @Test("Of several registries one that refuses decides; all have to accept; one that is gone has no say")
    func registries() throws {
        var ledger = Self.ledger()
        let route = try Sample.route(Self.host)
        let ingress = Sample.key("a")
        func replace(_ service: String) throws -> Outcome {
            let route = try Sample.route(Self.host, service: service)
            _ = ledger.replace(ingress: ingress, createdAt: Sample.date(0), with: [route])
            return Outcome(route: route.route, verdict: .accepted(revision: 1))
        }
        func verdict() -> RouteLedger.Verdict? { ledger.entries[route.key].flatMap(ledger.verdict(of:)) }

        let first = try replace("first")
        #expect(ledger.settle([first], by: "x") == [ingress])
        #expect(ledger.connected("x") == [])
        // A registry that comes later changes nothing until it has the whole set, and nothing if it accepts it.
        #expect(ledger.settle([Outcome(route: first.route, verdict: .accepted(revision: 7))], by: "y") == [])
        #expect(ledger.connected("y") == [])
        #expect(verdict() == .accepted(revision: 1))

        let second = try replace("second")
        #expect(ledger.settle([second], by: "x") == [], "the other one has not answered")
        #expect(verdict() == nil)
        #expect(ledger.settle([second], by: "y") == [ingress])

        let refused = Outcome(route: second.route, verdict: .rejected(reason: "HostnameConflict", message: "taken"))
        #expect(ledger.settle([refused], by: "y") == [ingress])
        #expect(verdict() == refused.verdict)
        #expect(ledger.disconnected("y") == [ingress])
        #expect(verdict() == second.verdict)

        // It comes back while a change is on its way to it.
        let third = try replace("third")
        #expect(ledger.settle([third], by: "x") == [ingress])
        #expect(ledger.connected("y") == [ingress], "accepted by one of two")
        #expect(verdict() == nil)
        #expect(ledger.disconnected("y") == [ingress])
    }

    @Test("A verdict counts for the route it was given for, and not for what it has become since")
    func staleVerdict() throws {
        var ledger = Self.ledger()
        let first = try Sample.route(Self.host, service: "first")
        let second = try Sample.route(Self.host, service: "second")
        let ingress = Sample.key("a")
        _ = ledger.replace(ingress: ingress, createdAt: Sample.date(0), with: [first])
        _ = ledger.replace(ingress: ingress, createdAt: Sample.date(0), with: [second])
        #expect(ledger.settle([Outcome(route: first.route, verdict: .accepted(revision: 1))]).isEmpty)
        #expect(ledger.standing(of: ingress, createdAt: Sample.date(0), routes: [second]).pending == 1)
        #expect(ledger.settle([Outcome(route: second.route, verdict: .accepted(revision: 2))]) == [ingress])
        #expect(ledger.standing(of: ingress, createdAt: Sample.date(0), routes: [second]).revision == 2)
    }

    @Test("That a route goes on being served is no news; that it is refused is")
    func affectedByVerdicts() throws {
        var ledger = Self.ledger()
        let route = try Sample.route(Self.host)
        _ = ledger.replace(ingress: Sample.key("a"), createdAt: Sample.date(0), with: [route])
        func settle(_ verdict: RouteLedger.Verdict) -> Set<ObjectKey> {
            ledger.settle([Outcome(route: route.route, verdict: verdict)])
        }
        #expect(settle(.accepted(revision: 1)) == [Sample.key("a")])
        #expect(settle(.accepted(revision: 2)) == [])
        #expect(settle(.rejected(reason: "HostnameConflict", message: "taken")) == [Sample.key("a")])
        #expect(settle(.rejected(reason: "HostnameConflict", message: "taken")) == [])
        #expect(settle(.accepted(revision: 3)) == [Sample.key("a")])
    }

    @Test("When the tunnel is down nothing is known of the gateway any more, and every Ingress is affected")
    func tunnelDown() throws {
        var ledger = Self.ledger()
        let route = try Sample.route(Self.host)
        _ = ledger.replace(ingress: Sample.key("a"), createdAt: Sample.date(0), with: [route])
        _ = ledger.settle([Outcome(route: route.route, verdict: .accepted(revision: 1))])
        #expect(ledger.setTunnel(.up) == [])
        #expect(ledger.setTunnel(.down) == [Sample.key("a")])
        #expect(ledger.setTunnel(.down) == [])
        let standing = ledger.standing(of: Sample.key("a"), createdAt: Sample.date(0), routes: [route])
        #expect(standing.pending == 1)
        #expect(standing.tunnel == .down)
    }

    @Test("Many Ingresses in any order make the same route set, and taking them away leaves nothing")
    func orderDoesNotMatter() throws {
        let names = (0..<12).map { "i\($0)" }
        var submissions: [(ObjectKey, Date, [ExtractedRoute])] = []
        for (index, name) in names.enumerated() {
            let routes = try (0..<3).map { try Sample.route("h\((index + $0) % 5).example.com", service: name) }
            submissions.append((Sample.key(name), Sample.date(index % 3), routes))
        }
        var expected: [Route]?
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<20 {
            var ledger = Self.ledger()
            for (ingress, age, routes) in submissions.shuffled(using: &generator) {
                _ = ledger.replace(ingress: ingress, createdAt: age, with: routes)
            }
            #expect(ledger.routesInOrder == expected ?? ledger.routesInOrder)
            expected = ledger.routesInOrder
            for (ingress, _, _) in submissions.shuffled(using: &generator) { _ = ledger.remove(ingress: ingress) }
            #expect(ledger.routeCount == 0)
            #expect(ledger.ingresses.isEmpty)
            for index in 0..<5 { #expect(ledger.targets(of: try Hostname("h\(index).example.com")).isEmpty) }
        }
        #expect(expected?.count == 5)
    }
}
