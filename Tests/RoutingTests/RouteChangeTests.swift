import Routing
import Testing

@Suite("Differences between sets of routes, and their fingerprint")
struct RouteChangeTests {
    private func route(_ host: String, _ path: String = "/", service: String = "web", port: Int = 80) throws -> Route {
        Route(
            host: try Hostname(host), path: path, pathType: .prefix, service: service, namespace: "default",
            port: port)
    }

    private func byKey(_ routes: [Route]) -> [RouteKey: Route] {
        Dictionary(uniqueKeysWithValues: routes.map { ($0.key, $0) })
    }

    @Test("The delta is what its truth table says")
    func truthTable() throws {
        let kept = try route("kept.com")
        let gone = try route("gone.com")
        let changedBefore = try route("changed.com", service: "old")
        let changedAfter = try route("changed.com", service: "new")
        let fresh = try route("new.com")
        let delta = RouteDelta(from: byKey([kept, gone, changedBefore]), to: byKey([kept, changedAfter, fresh]))
        #expect(delta == RouteDelta(added: [fresh], updated: [changedAfter], deleted: [gone]))
        #expect(!delta.isEmpty)
    }

    @Test("Equal sets give an empty delta")
    func equal() throws {
        let routes = byKey([try route("a.com"), try route("b.com")])
        #expect(RouteDelta(from: routes, to: routes).isEmpty)
        #expect(RouteDelta(from: [:], to: [:]).isEmpty)
    }

    @Test("A path that only gains a trailing slash is the same route, updated")
    func trailingSlash() throws {
        let before = try route("a.com", "/x")
        let after = try route("a.com", "/x/")
        #expect(RouteDelta(from: byKey([before]), to: byKey([after])) == RouteDelta(updated: [after]))
    }

    @Test("Lists are ordered by host, path and path type")
    func order() throws {
        let routes = [
            try route("b.com", "/"), try route("a.com", "/z"), try route("a.com", "/b"), try route("c.com"),
        ]
        let sorted = [routes[2], routes[1], routes[0], routes[3]]
        #expect(RouteDelta(from: [:], to: byKey(routes)).added == sorted)
        #expect(RouteDelta(from: byKey(routes), to: [:]).deleted == sorted)
        var exact = routes[0]
        exact.pathType = .exact
        #expect(Route.inOrder(exact, routes[0]))
        #expect(!Route.inOrder(routes[0], exact))
    }

    @Test("The digest of the documentation's example routes is the documented one")
    func goldenDigest() throws {
        let simple = try route("my-app.example.com", service: "my-app", port: 8080)
        var full = try route("example.com", "/api", service: "api-service", port: 8080)
        full.tls = true
        full.annotations = ["nginx.ingress.kubernetes.io/rewrite-target": "/"]
        #expect(RouteDigest([simple]).description == "9a0bf15a4c2baaef")
        #expect(RouteDigest([full]).description == "930553459b895f2b")
        #expect(RouteDigest([simple, full]).description == "2d11449fe7b50a1a")
        #expect(RouteDigest().description == "0000000000000000")
    }

    @Test("The digest does not depend on the order of routes")
    func orderIndependence() throws {
        let routes = try (0..<20).map { try route("h\($0).com", "/\($0 % 3)") }
        #expect(RouteDigest(routes) == RouteDigest(routes.reversed()))
    }

    @Test("Inserting and removing one by one gives the digest of what is left")
    func incremental() throws {
        let routes = try (0..<20).map { try route("h\($0).com") }
        var digest = RouteDigest(routes)
        for gone in routes[..<7] { digest.remove(gone) }
        #expect(digest == RouteDigest(routes[7...]))
        for gone in routes[7...] { digest.remove(gone) }
        #expect(digest == RouteDigest())
    }

    @Test("Every field changes the digest")
    func sensitivity() throws {
        let base = try route("a.com", "/x")
        var variants = [base]
        func vary(_ change: (inout Route) throws -> Void) rethrows {
            var copy = base
            try change(&copy)
            variants.append(copy)
        }
        try vary { $0.host = try Hostname("b.com") }
        vary { $0.path = "/y" }
        vary { $0.pathType = .exact }
        vary { $0.service = "other" }
        vary { $0.namespace = "other" }
        vary { $0.port = 81 }
        vary { $0.tls = true }
        vary { $0.annotations = ["a": "b"] }
        vary { $0.annotations = ["a": "c"] }
        vary { $0.annotations = ["ab": ""] }
        vary { $0.annotations = ["a": "b", "c": "d"] }
        let digests = Set(variants.map { RouteDigest([$0]) })
        #expect(digests.count == variants.count)
    }

    @Test("Annotations are hashed in one order, whatever the dictionary's")
    func annotationOrder() throws {
        var route = try route("a.com")
        let pairs = (0..<40).map { ("annotation-\($0)", "\($0)") }
        route.annotations = Dictionary(uniqueKeysWithValues: pairs)
        let expected = RouteDigest([route])
        for _ in 0..<10 {
            route.annotations = [:]
            for (name, value) in pairs.shuffled() { route.annotations[name] = value }
            #expect(RouteDigest([route]) == expected)
        }
    }
}
