import Foundation
import HTTPExchange
import NIOCore
import Routing
import Telemetry
import Testing
import TunnelProtocol

@testable import EdgeGateway

@Suite("The admin listener's pages")
struct AdminPagesTests {
    private let cache = RouteCache(timeouts: .init())
    private let tunnels = TunnelRegistry()
    private let store: InMemoryRouteStore

    init() throws {
        store = InMemoryRouteStore(gatewayDomain: try Hostname("gateway.example"), timeToLive: .seconds(300))
    }

    private func serve(_ routes: [(String, String)], cluster: String = "a", annotations: [String: String] = [:]) throws
    {
        let all = try routes.map { host, path in
            Route(
                host: try Hostname(host), path: path, pathType: .prefix, service: "web", namespace: "shop", port: 80,
                annotations: annotations)
        }
        let change = try store.apply(
            .init(kind: .replaceAll, action: .sync, revision: 1, routes: all), from: cluster,
            tunnel: "t-\(cluster)", allowed: .all)
        cache.replace(change.hosts, sequence: change.sequence)
    }

    private func ask(_ path: String, _ query: String = "") async throws -> (status: Int, json: [String: Any]) {
        let pages = AdminPages(cache: cache, store: store, tunnels: tunnels, instance: "gw-1")
        let page = try #require(pages.routes.first { $0.path == path })
        let answer = await page.answer(OperationsQuery(query))
        return (
            answer.status, try #require(JSONSerialization.jsonObject(with: Data(answer.json)) as? [String: Any])
        )
    }

    private func hosts(_ json: [String: Any]) -> [String] {
        (json["routes"] as? [[String: Any]] ?? []).compactMap { $0["host"] as? String }
    }

    @Test("routes come in pages that together are all of them, each once, and in order")
    func pages() async throws {
        try serve((0..<50).flatMap { index in (0..<3).map { ("h\(index).test", "/p\($0)") } })
        try serve([("other.test", "/")], cluster: "b")
        var seen: [String] = []
        var query = "cluster=a&limit=7"
        for _ in 0..<100 {
            let (status, json) = try await ask("/-/routes", query)
            #expect(status == 200)
            let page = (json["routes"] as? [[String: Any]] ?? []).map { "\($0["host"] ?? "")\($0["path"] ?? "")" }
            #expect(page.count <= 7)
            seen += page
            guard let next = json["continue"] as? String else { break }
            query = "cluster=a&limit=7&continue=\(next)"
        }
        #expect(seen.count == 150)
        #expect(Set(seen).count == 150)
        #expect(Set(seen.map { $0.prefix { $0 != "/" } }).count == 50)
    }

    @Test("routes are told with what they lead to, and can be asked for by host and cluster")
    func filters() async throws {
        try serve([("one.test", "/"), ("two.test", "/api")])
        try serve([("three.test", "/")], cluster: "b")
        try #expect(await hosts(ask("/-/routes").json) == ["one.test", "three.test", "two.test"])
        try #expect(await hosts(ask("/-/routes", "cluster=b").json) == ["three.test"])
        let json = try await ask("/-/routes", "host=TWO.test").json
        let route = try #require((json["routes"] as? [[String: Any]])?.first)
        #expect(json["instance"] as? String == "gw-1")
        #expect(route["cluster_uuid"] as? String == "a")
        #expect(route["path"] as? String == "/api")
        #expect(route["path_type"] as? String == "Prefix")
        #expect(route["service"] as? String == "web")
        #expect(route["namespace"] as? String == "shop")
        #expect(route["port"] as? Int == 80)
        try #expect(await hosts(ask("/-/routes", "host=gone.test").json).isEmpty)
    }

    @Test(
        "a question that cannot be answered is told what is wrong with it",
        arguments: [
            ("/-/explain", "", "no url is given"), ("/-/explain", "url=", "no url is given"),
            ("/-/explain", "uri=x", "\"uri\""), ("/-/explain", "url=ftp://x.test/", "is not a URL of HTTP"),
            ("/-/explain", "url=/path", "is not a URL of HTTP"), ("/-/explain", "url=https:///x", "names no host"),
            ("/-/explain", "url=https://a%20b.test/", "space"), ("/-/routes", "limit=0", "limit"),
            ("/-/routes", "limit=5001", "limit"), ("/-/routes", "limit=x", "limit"),
            ("/-/routes", "continue=x", "continue"), ("/-/routes", "host=a_*b", "host"),
            ("/-/tunnels", "host=x", "\"host\""),
        ])
    func problems(path: String, query: String, word: String) async throws {
        let (status, json) = try await ask(path, query)
        #expect(status == 400)
        let error = try #require(json["error"] as? String)
        #expect(error.contains(word), "\(error)")
        #expect((json["expected"] as? String)?.isEmpty == false)
    }

    @Test("the route that wins is explained, with the losers, the limits and a cluster without tunnels")
    func explained() async throws {
        try serve(
            [("app.test", "/"), ("app.test", "/api"), ("*.test", "/")],
            annotations: ["gateway.pipeops.io/rate-limit": "5:10"])
        tunnels.limit(by: RateLimits(standard: .requests(rate: 100, burst: 1000)))
        let (status, json) = try await ask("/-/explain", "url=HTTP://App.test:8080/api/x%252Fy?q=1")
        #expect(status == 200)
        let request = try #require(json["request"] as? [String: Any])
        #expect(request["scheme"] as? String == "http")
        #expect(request["host"] as? String == "app.test")
        #expect(request["authority"] as? String == "App.test:8080")
        #expect(request["path"] as? String == "/api/x%2Fy")
        #expect(request["target"] as? String == "/api/x%2Fy?q=1")
        #expect(json["owner"] as? String == "a")
        #expect(json["outcome"] as? String == "cluster_offline")
        let limits = try #require(json["rate_limit"] as? [String: Any])
        #expect(limits["cluster"] as? String == "100:1000")
        #expect(limits["route"] as? String == "5:10")
        let candidates = try #require(json["candidates"] as? [[String: Any]])
        #expect(
            candidates.map { "\($0["host"] ?? "")\($0["path"] ?? "")" } == ["app.test/api", "app.test/", "*.test/"])
        #expect(candidates.map { $0["chosen"] as? Bool } == [true, false, false])
        #expect((candidates[1]["lost"] as? String)?.contains("longer prefix") == true)
        #expect((candidates[2]["lost"] as? String)?.contains("exact host") == true)
        #expect((json["tunnels"] as? [Any])?.isEmpty == true)
    }

    @Test("a name that nobody serves is answered with those that look like it")
    func similar() async throws {
        try serve([("shop.example.test", "/"), ("other.example.test", "/")])
        let json = try await ask("/-/explain", "url=shpo.example.test").json
        #expect(json["outcome"] as? String == "no_such_host")
        #expect((json["similar_hosts"] as? [String])?.first == "shop.example.test")
        let path = try await ask("/-/explain", "url=https://none.test/").json
        #expect(path["outcome"] as? String == "no_such_host")
    }

    @Test("a path that no route covers is told apart from a host that nobody serves")
    func noPath() async throws {
        try serve([("app.test", "/api")])
        let json = try await ask("/-/explain", "url=app.test/apis").json
        #expect(json["outcome"] as? String == "no_such_path")
        let candidate = try #require((json["candidates"] as? [[String: Any]])?.first)
        #expect((candidate["lost"] as? String)?.contains("whole segments") == true)
    }

    @Test("the tunnel that would be chosen is the one that is chosen, and the others are told why not")
    func tunnelVerdicts() {
        func candidate(_ streams: Int, takes: Bool = true) -> TunnelChoice.Candidate {
            .init(openStreams: streams, maxStreams: 10, takesStreams: takes, isNear: false)
        }
        let explained = TunnelChoice.explain([
            ("busy", candidate(5)), ("draining", candidate(0, takes: false)), ("least", candidate(1)),
            ("full", candidate(10)), ("equal", candidate(1)),
        ])
        #expect(explained.map(\.2) == [.busier, .draining, .chosen, .full, .itsTurn])
    }
}
