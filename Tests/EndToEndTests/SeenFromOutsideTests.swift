import EdgeGateway
import Foundation
import HTTPExchange
import Routing
import Telemetry
import TestSupport
import Testing

@Suite("What is seen of requests and tunnels", .timeLimit(.minutes(1)))
struct SeenFromOutsideTests {
    private static let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test("a trace goes through the gateway as it is, and is in the access log")
    func trace() async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            while true { try await backend.answer(noting: seen) }
        } _: { stack in
            _ = try await stack.request(
                "GET", "/traced", fields: ["traceparent: \(Self.parent)", "tracestate: a=1", "tracestate: b=2"])
            #expect(seen.value?["traceparent"] == [Self.parent])
            #expect(seen.value?["tracestate"] == ["a=1", "b=2"])
            #expect(
                try await stack.accessLine("/traced").fields["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736")
            _ = try await stack.request("GET", "/untraced")
            #expect(seen.value?["traceparent"] == [])
            #expect(try await stack.accessLine("/untraced").fields["trace_id"] == nil)
        }
    }

    @Test("where a setting says so a trace begins at the gateway, in place of one that is malformed")
    func begun() async throws {
        let seen = Box<RawHead>()
        var options = StackOptions()
        options.forwarding = ForwardingPolicy(traces: .sampled)
        try await withStack(options) { backend in
            while true { try await backend.answer(noting: seen) }
        } _: { stack in
            _ = try await stack.request("GET", "/bad", fields: ["traceparent: 00-0-0-0", "tracestate: a=1"])
            let parent = try #require(seen.value?["traceparent"].first)
            #expect(seen.value?["traceparent"].count == 1)
            #expect(seen.value?["tracestate"] == [])
            #expect(parent.hasPrefix("00-") && parent.hasSuffix("-01") && parent.utf8.count == 55)
            let id = String(parent.dropFirst(3).prefix(32))
            #expect(try await stack.accessLine("/bad").fields["trace_id"] == id)
            _ = try await stack.request("GET", "/given", fields: ["traceparent: \(Self.parent)"])
            #expect(seen.value?["traceparent"] == [Self.parent])
        }
    }

    @Test("a tunnel is listed while it lives, and is the one that a request is explained to take")
    func tunnels() async throws {
        try await withStack { backend in
            try await backend.answerAll()
        } _: { stack in
            let pages = AdminPages(
                cache: stack.cache,
                store: InMemoryRouteStore(gatewayDomain: try Hostname("gateway.test"), timeToLive: .seconds(9)),
                tunnels: stack.tunnels, instance: "gw-1")
            @Sendable func ask(_ path: String, _ query: String = "") async throws -> [String: Any] {
                let page = try #require(pages.routes.first { $0.path == path })
                let answer = await page.answer(OperationsQuery(query))
                #expect(answer.status == 200)
                return try #require(JSONSerialization.jsonObject(with: Data(answer.json)) as? [String: Any])
            }
            let clusters = try #require(await ask("/-/tunnels")["clusters"] as? [[String: Any]])
            let cluster = try #require(clusters.first)
            #expect(cluster["cluster_uuid"] as? String == "cluster-a")
            let tunnel = try #require((cluster["tunnels"] as? [[String: Any]])?.first)
            #expect(tunnel["draining"] as? Bool == false)
            #expect((tunnel["remote_address"] as? String)?.hasPrefix("127.0.0.1:") == true)
            let explained = try await ask("/-/explain", "url=http://app.test/x")
            #expect(explained["outcome"] as? String == "served")
            #expect(explained["owner"] as? String == "cluster-a")
            let chosen = try #require((explained["tunnels"] as? [[String: Any]])?.first)
            #expect(chosen["id"] as? String == tunnel["id"] as? String)
            #expect(chosen["chosen"] as? Bool == true)
            try #expect(await ask("/-/tunnels", "cluster=other")["clusters"] as? [[String: String]] == [])
            stack.stopAgent()
            try await eventually("the tunnel is listed no more") {
                try await (ask("/-/tunnels")["clusters"] as? [[String: Any]])?.isEmpty == true
            }
        }
    }
}
