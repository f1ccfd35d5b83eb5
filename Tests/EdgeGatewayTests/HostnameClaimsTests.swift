import NIOCore
import Routing
import Testing
import TunnelProtocol

@testable import EdgeGateway

/// Transcripts: who claims what, and what comes of it (ruling 12).
@Suite("Who owns a host name")
struct HostnameClaimsTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private var claims: HostnameClaims

    init() throws {
        claims = HostnameClaims(gatewayDomain: try Hostname("gateway.pipeops.io"), timeToLive: .seconds(300))
    }

    static func route(_ host: String, _ path: String = "/", service: String = "web") throws -> Route {
        Route(host: try Hostname(host), path: path, pathType: .prefix, service: service, namespace: "default", port: 80)
    }

    private mutating func send(
        _ action: ControlMessage.IngressRoutes.Action, _ routes: [Route], from cluster: String,
        through tunnel: String = "t-1", allowed: AllowedHostnames = .all, at seconds: Int64 = 0
    ) throws -> HostnameClaims.Change {
        let kind: GatewaySession.RouteChange.Kind =
            switch action {
            case .add, .update: .put
            case .delete: .delete
            case .sync: .replaceAll
            }
        let change = GatewaySession.RouteChange(kind: kind, action: action, revision: 1, routes: routes)
        return try claims.apply(
            change, from: cluster, tunnel: tunnel, allowed: allowed, now: Self.start + .seconds(seconds))
    }

    private func hosts(_ change: HostnameClaims.Change) -> [String: [String]] {
        var result: [String: [String]] = [:]
        for (host, entries) in change.hosts {
            result[host.text] = entries.map { "\($0.cluster) \($0.route.path) \($0.route.service)" }
        }
        return result
    }

    @Test("of several tunnels of a cluster the last to send its whole set publishes; deltas of others change nothing")
    mutating func onePublisher() throws {
        let (old, new) = (try Self.route("old.test"), try Self.route("new.test"))
        #expect(try send(.add, [old], from: "a", through: "t-1").accepted == 1, "nobody has sent a set yet")
        #expect(try send(.add, [new], from: "a", through: "t-2").accepted == 1)
        _ = try send(.sync, [old], from: "a", through: "t-1")
        _ = try send(.sync, [new], from: "a", through: "t-2")
        #expect(throws: HostnameClaims.NotPublisher.self) {
            try send(.delete, [new], from: "a", through: "t-1")
        }
        #expect(claims.activeRouteCount(of: "a") == 1)
        #expect(try send(.add, [old], from: "a", through: "t-2").accepted == 1)

        claims.ended(tunnel: "t-1", of: "a")
        #expect(throws: HostnameClaims.NotPublisher.self) { try send(.delete, [new], from: "a", through: "t-3") }
        claims.ended(tunnel: "t-2", of: "a")
        #expect(try send(.delete, [new], from: "a", through: "t-3").accepted == 1, "the publisher is gone")
    }

    @Test("what one cluster's routes weigh is bounded; others are not touched, and what is given up makes room")
    mutating func bytes() throws {
        let one = try Self.route("a.test", "/1")
        let size = AdvertisedRoute(one).size
        claims = HostnameClaims(
            gatewayDomain: try Hostname("gateway.pipeops.io"), timeToLive: .seconds(300), maxRouteBytes: 3 * size)
        let others = try (2...3).map { try Self.route("a.test", "/\($0)") }
        #expect(try send(.sync, [one] + others, from: "a").accepted == 3)
        let fourth = try Self.route("a.test", "/4")
        let refused = try send(.add, [fourth], from: "a")
        #expect(refused.rejected.map(\.reason) == ["QuotaExceeded"])
        #expect(claims.activeRouteCount(of: "a") == 3)
        #expect(try send(.update, [one], from: "a").accepted == 1, "as large as what it replaces")
        let larger = try Self.route("a.test", "/1", service: "web-2")
        #expect(try send(.update, [larger], from: "a").rejected.map(\.reason) == ["QuotaExceeded"])
        #expect(try send(.add, [try Self.route("b.test", "/4")], from: "b").accepted == 1)
        _ = try send(.delete, [one], from: "a")
        #expect(try send(.add, [fourth], from: "a").accepted == 1)
    }

    @Test("sets that have not arrived whole count over all tunnels of their cluster")
    func unfinishedSyncs() {
        let unfinished = UnfinishedSyncs()
        #expect(unfinished.change(of: "a", by: UnfinishedSyncs.mostBytes))
        #expect(!unfinished.change(of: "a", by: 1))
        #expect(unfinished.change(of: "b", by: 1))
        #expect(unfinished.change(of: "a", by: -2))
        #expect(unfinished.change(of: "a", by: 1))
    }

    @Test("the first cluster that claims a name has it; the second is told so and changes nothing")
    mutating func firstComeFirstServed() throws {
        let first = try send(.add, [try Self.route("shop.example.com")], from: "a")
        #expect(first.accepted == 1)
        #expect(hosts(first) == ["shop.example.com": ["a / web"]])

        let second = try send(
            .sync, [try Self.route("shop.example.com", "/x"), try Self.route("b.example.com")], from: "b")
        #expect(second.accepted == 1)
        #expect(second.rejected.map(\.reason) == ["HostnameConflict"])
        #expect(second.rejected.map(\.host) == ["shop.example.com"])
        #expect(hosts(second) == ["b.example.com": ["b / web"]])
        #expect(claims.activeRouteCount(of: "a") == 1)
        #expect(claims.activeRouteCount(of: "b") == 1)
    }

    @Test("a wildcard that covers the gateway's own domain belongs to nobody")
    mutating func coveringWildcard() throws {
        let change = try send(.add, [try Self.route("*.pipeops.io"), try Self.route("*.other.io")], from: "a")
        #expect(change.rejected.map(\.host) == ["*.pipeops.io"])
        #expect(change.accepted == 1)
    }

    @Test("a name that is not allowed to a cluster is refused and claimed by nobody; its own names always are allowed")
    mutating func notAllowed() throws {
        let allowed = try AllowedHostnames(["shop.example.com", "*.apps.example.com"])
        let routes = try [
            "shop.example.com", "x.apps.example.com", "a.gateway.pipeops.io", "web.a.gateway.pipeops.io", "bank.com",
            "b.gateway.pipeops.io",
        ].map { try Self.route($0) }
        let change = try send(.sync, routes, from: "a", allowed: allowed)
        #expect(change.accepted == 4)
        #expect(change.rejected.map(\.host) == ["bank.com", "b.gateway.pipeops.io"])
        #expect(change.rejected.allSatisfy { $0.reason == "HostnameNotAllowed" })
        #expect(try send(.add, [try Self.route("bank.com")], from: "b").accepted == 1)
        // Refused routes are in the digest, as those of a conflict are: the agent counts them, too.
        var digest = RouteDigest()
        for route in routes { digest.insert(route) }
        #expect(claims.refresh("a", now: Self.start) == digest.description)
    }

    @Test("names that are not allowed any more end at once, and contenders may have them")
    mutating func restricted() throws {
        let routes = [try Self.route("shop.example.com"), try Self.route("web.a.gateway.pipeops.io")]
        _ = try send(.sync, routes, from: "a")
        _ = try send(.sync, [try Self.route("shop.example.com")], from: "b", through: "t-b")
        let ignored = claims.restrict("a", tunnel: "t-2", to: .none)
        #expect(ignored.hosts.isEmpty, "the routes came through another tunnel")
        let change = claims.restrict("a", tunnel: "t-1", to: .none)
        #expect(hosts(change) == ["shop.example.com": []])
        #expect(change.contenders == ["b"])
        #expect(claims.activeRouteCount(of: "a") == 1)
        #expect(try send(.sync, [try Self.route("shop.example.com")], from: "b", through: "t-b").accepted == 1)

        _ = try send(.sync, routes, from: "c", through: "t-c")
        _ = try send(.sync, [], from: "b", through: "t-b")
        let back = try send(.sync, routes, from: "a", allowed: .all)
        #expect(back.accepted == 2)
        let narrowed = try send(.sync, routes, from: "a", allowed: .none)
        #expect(hosts(narrowed)["shop.example.com"] == [])
        #expect(narrowed.contenders == ["c"])
    }

    @Test("a released name makes its contenders send again, and then it is theirs")
    mutating func release() throws {
        let route = try Self.route("shop.example.com")
        _ = try send(.add, [route], from: "a")
        _ = try send(.add, [route], from: "b")
        let released = try send(.delete, [route], from: "a")
        #expect(hosts(released) == ["shop.example.com": []])
        #expect(released.contenders == ["b"])
        let claimed = try send(.sync, [route], from: "b")
        #expect(claimed.accepted == 1)
        #expect(hosts(claimed) == ["shop.example.com": ["b / web"]])
        #expect(claimed.contenders == [])
        #expect(try send(.add, [route], from: "a").rejected.count == 1)
    }

    @Test("a name is kept while any path of it is left")
    mutating func partialRelease() throws {
        let one = try Self.route("shop.example.com", "/one")
        let two = try Self.route("shop.example.com", "/two")
        _ = try send(.add, [one, two], from: "a")
        _ = try send(.add, [one], from: "b")
        let change = try send(.delete, [one], from: "a")
        #expect(hosts(change) == ["shop.example.com": ["a /two web"]])
        #expect(change.contenders == [])
        #expect(try send(.add, [one], from: "b").rejected.count == 1)
    }

    @Test("names below a cluster's own name are its own alone, whoever comes first")
    mutating func ownNames() throws {
        for host in ["b.gateway.pipeops.io", "app.b.gateway.pipeops.io", "*.b.gateway.pipeops.io"] {
            let thief = try send(.add, [try Self.route(host)], from: "a")
            #expect(thief.rejected.map(\.reason) == ["HostnameConflict"], "\(host)")
            #expect(thief.hosts.isEmpty)
            #expect(try send(.add, [try Self.route(host)], from: "b").accepted == 1, "\(host)")
        }
    }

    @Test("nobody has the gateway's domain itself, and a name that only ends like a cluster's is not the cluster's")
    mutating func gatewayDomain() throws {
        #expect(try send(.add, [try Self.route("gateway.pipeops.io")], from: "a").rejected.count == 1)
        #expect(try send(.add, [try Self.route("*.gateway.pipeops.io")], from: "a").rejected.count == 1)
        #expect(try send(.add, [try Self.route("xa.gateway.pipeops.io")], from: "a").rejected.count == 1)
        #expect(try send(.add, [try Self.route("notgateway.pipeops.io")], from: "a").accepted == 1)
    }

    @Test("an update replaces the route of its key and no other")
    mutating func update() throws {
        _ = try send(.add, [try Self.route("a.test", "/one"), try Self.route("a.test", "/two")], from: "a")
        let change = try send(.update, [try Self.route("a.test", "/one", service: "new")], from: "a")
        #expect(hosts(change) == ["a.test": ["a /one new", "a /two web"]])
        #expect(claims.activeRouteCount(of: "a") == 2)
    }

    @Test("a sync puts its set in place of all there was, and a sync of nothing releases everything")
    mutating func replaceAll() throws {
        _ = try send(.add, [try Self.route("old.test"), try Self.route("kept.test", "/x")], from: "a")
        let change = try send(.sync, [try Self.route("kept.test", "/y"), try Self.route("new.test")], from: "a")
        #expect(hosts(change) == ["old.test": [], "kept.test": ["a /y web"], "new.test": ["a / web"]])
        let empty = try send(.sync, [], from: "a")
        #expect(hosts(empty) == ["kept.test": [], "new.test": []])
        #expect(claims.activeRouteCount(of: "a") == 0)
        #expect(try send(.add, [try Self.route("new.test")], from: "b").accepted == 1)
    }

    @Test("deleting what is not there, or another's, changes nothing")
    mutating func strangeDelete() throws {
        let route = try Self.route("a.test")
        _ = try send(.add, [route], from: "a")
        #expect(try send(.delete, [route], from: "b").hosts.isEmpty)
        #expect(try send(.delete, [try Self.route("none.test")], from: "a").hosts.isEmpty)
        #expect(claims.activeRouteCount(of: "a") == 1)
    }

    @Test("a cluster that is not heard of for the time to live loses its routes; a heartbeat keeps them")
    mutating func expiry() throws {
        let route = try Self.route("a.test")
        _ = try send(.add, [route], from: "a")
        _ = try send(.add, [try Self.route("b.test")], from: "b")
        _ = try send(.add, [route], from: "c")
        _ = claims.refresh("b", now: Self.start + .seconds(200))
        _ = claims.refresh("c", now: Self.start + .seconds(200))
        #expect(claims.expire(now: Self.start + .seconds(299)).clusters == [])
        let expired = claims.expire(now: Self.start + .seconds(300))
        #expect(expired.clusters == ["a"])
        #expect(hosts(expired.change) == ["a.test": []])
        #expect(expired.change.contenders == ["c"])
        #expect(claims.activeRouteCount(of: "b") == 1)
        #expect(claims.expire(now: Self.start + .seconds(301)).clusters == [])
    }

    @Test("clusters that expire together contend for nothing")
    mutating func expiryTogether() throws {
        let route = try Self.route("a.test")
        _ = try send(.add, [route], from: "a")
        _ = try send(.add, [route], from: "b")
        let expired = claims.expire(now: Self.start + .seconds(400))
        #expect(expired.clusters == ["a", "b"])
        #expect(expired.change.contenders == [])
    }

    @Test("the digest is that of all a cluster advertises, refused routes included")
    mutating func digest() throws {
        let route = try Self.route("a.test")
        let own = try Self.route("b.test", "/own")
        _ = try send(.add, [route], from: "a")
        _ = try send(.sync, [route, own], from: "b")
        let now = Self.start + .seconds(1)
        #expect(claims.refresh("b", now: now) == RouteDigest([route, own]).description)
        _ = try send(.update, [try Self.route("b.test", "/own", service: "other")], from: "b")
        #expect(
            claims.refresh("b", now: now)
                == RouteDigest([route, try Self.route("b.test", "/own", service: "other")]).description)
        _ = try send(.delete, [route], from: "b")
        _ = try send(.delete, [own], from: "b")
        #expect(claims.refresh("b", now: now) == RouteDigest().description)
        #expect(claims.refresh("unknown", now: now) == RouteDigest().description)
    }
}
