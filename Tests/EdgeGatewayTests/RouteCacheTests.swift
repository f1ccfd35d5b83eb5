import HTTPExchange
import NIOCore
import Routing
import Testing

@testable import EdgeGateway

@Suite("What the data path knows about a route")
struct RouteCacheTests {
    private static func entry(
        _ host: String, _ path: String = "/", cluster: String = "a", annotations: [String: String] = [:]
    ) throws -> HostnameClaims.Entry {
        HostnameClaims.Entry(
            cluster: cluster,
            route: Route(
                host: try Hostname(host), path: path, pathType: .prefix, service: "s", namespace: "n", port: 80,
                annotations: annotations))
    }

    private func served(_ annotations: [String: String]) throws -> ServedRoute? {
        let cache = RouteCache(timeouts: .init(response: .seconds(30), idle: .minutes(5)))
        cache.replace([try Hostname("a.test"): [try Self.entry("a.test", annotations: annotations)]], sequence: 1)
        guard case .found(let route) = cache.lookup(host: "a.test", path: "/x") else { return nil }
        return route
    }

    @Test("a route without annotations has the gateway's timeouts and strips nothing")
    func defaults() throws {
        let route = try #require(try served([:]))
        #expect(route.cluster == "a")
        #expect(route.strippedRequestFields.isEmpty)
        #expect(route.timeouts == .init(response: .seconds(30), idle: .minutes(5)))
    }

    @Test("annotations set the timeouts and the fields to strip")
    func annotations() throws {
        let route = try #require(
            try served([
                "gateway.pipeops.io/response-timeout": "90s", "gateway.pipeops.io/idle-timeout": "1h",
                "gateway.pipeops.io/strip-request-headers": "Authorization, X-Auth-Token  cookie",
            ]))
        #expect(route.timeouts == .init(response: .seconds(90), idle: .hours(1)))
        #expect(route.strippedRequestFields == ["authorization", "x-auth-token", "cookie"])
    }

    @Test(
        "a route may have bodies as long as its annotation says, and no longer than the gateway's limit",
        arguments: [
            ("8m", nil, 8 << 20), ("0", nil, nil), (nil, nil, nil), (nil, 1000, 1000), ("500", 1000, 500),
            ("2000", 1000, 1000), ("0", 1000, 1000), ("much", nil, nil), ("much", 1000, 1000),
        ] as [(String?, Int?, Int?)])
    func maxBodySize(annotation: String?, gateway: Int?, expected: Int?) throws {
        let cache = RouteCache(timeouts: .init(), maxBodySize: gateway)
        let annotations = annotation.map { ["gateway.pipeops.io/max-body-size": $0] } ?? [:]
        cache.replace([try Hostname("a.test"): [try Self.entry("a.test", annotations: annotations)]], sequence: 1)
        guard case .found(let route) = cache.lookup(host: "a.test", path: "/x") else {
            Issue.record("there is no route")
            return
        }
        #expect(route.maxBodySize == expected ?? .max)
    }

    @Test("sizes are read as nginx and Kubernetes write them, and nothing is guessed")
    func bodySizes() {
        for (text, bytes) in [("1", 1), ("512k", 512 << 10), ("8m", 8 << 20), ("1g", 1 << 30), ("10Mi", 10 << 20)] {
            #expect(BodySize(text)?.bytes == bytes)
        }
        #expect(BodySize("10KiB")?.bytes == 10 << 10)
        #expect(BodySize("2Ki")?.bytes == 2 << 10)
        #expect(BodySize("3Gi")?.bytes == 3 << 30)
        #expect(BodySize("0") != nil)
        #expect(BodySize("0m")?.bytes == nil)
        for text in ["", "m", "-1", "1.5m", "1 m", "1M", "1MB", "1mb", "1K", "+1", "99999999999g", "unlimited"] {
            #expect(BodySize(text) == nil, "\(text)")
        }
    }

    @Test("an annotation that cannot be understood, or that would break framing, is ignored")
    func badAnnotations() throws {
        let route = try #require(
            try served([
                "gateway.pipeops.io/response-timeout": "soon", "gateway.pipeops.io/idle-timeout": "0s",
                "gateway.pipeops.io/strip-request-headers": "Content-Length,Transfer-Encoding,X-A",
            ]))
        #expect(route.timeouts == .init(response: .seconds(30), idle: .minutes(5)))
        #expect(route.strippedRequestFields == ["x-a"])
    }

    @Test("of two changes to a host the later one holds, in whichever order they come")
    func order() throws {
        let cache = RouteCache(timeouts: .init())
        let host = try Hostname("one.test")
        cache.replace([host: [try Self.entry("one.test", cluster: "b")]], sequence: 2)
        cache.replace([host: []], sequence: 1)
        guard case .found(let route) = cache.lookup(host: "one.test", path: "/") else {
            Issue.record("the release undid the claim that followed it")
            return
        }
        #expect(route.cluster == "b")
    }

    @Test("replacing a host changes that host alone, and an empty one is served no more")
    func replace() throws {
        let cache = RouteCache(timeouts: .init())
        let one = try Hostname("one.test")
        let two = try Hostname("two.test")
        cache.replace(
            [one: [try Self.entry("one.test")], two: [try Self.entry("two.test", "/two", cluster: "b")]], sequence: 1)
        #expect(cache.hostCount == 2)
        cache.replace([one: []], sequence: 2)
        #expect(cache.hostCount == 1)
        if case .noSuchHost = cache.lookup(host: "one.test", path: "/") {} else { Issue.record("still served") }
        if case .noSuchPath = cache.lookup(host: "two.test", path: "/") {} else { Issue.record("not /two alone") }
        if case .found(let route) = cache.lookup(host: "two.test", path: "/two/x") {
            #expect(route.cluster == "b")
        } else {
            Issue.record("not served")
        }
    }
}
