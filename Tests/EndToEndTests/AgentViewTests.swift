import EdgeGateway
import Foundation
import Routing
import Telemetry
import TestSupport
import Testing
import TunnelProtocol

@testable import ClusterAgent

@Suite("What an agent says of a request, in an explanation", .timeLimit(.minutes(1)))
struct AgentViewTests {
    private static let url = "url=http://app.test/x?a=1"

    /// An explanation, and its part that is the agent's.
    private func explain(_ stack: Stack, _ query: String = url) async throws -> (
        all: [String: Any], agent: [String: Any]
    ) {
        let store = InMemoryRouteStore(gatewayDomain: try Hostname("gateway.test"), timeToLive: .seconds(9))
        let pages = AdminPages(cache: stack.cache, store: store, tunnels: stack.tunnels, instance: "gw-1")
        let page = try #require(pages.routes.first { $0.path == "/-/explain" })
        let answer = await page.answer(OperationsQuery(query))
        #expect(answer.status == 200)
        let all = try #require(JSONSerialization.jsonObject(with: Data(answer.json)) as? [String: Any])
        return (all, try #require(all["agent"] as? [String: Any]))
    }

    @Test("is where it would go and whether a connection can be had; the application is asked nothing")
    func reachable() async throws {
        let requests = Counter()
        try await withStack { backend in
            _ = try await backend.head()
            requests.add(1)
        } _: { stack in
            // Without a kept connection, and with one.
            for _ in 0..<2 {
                let (all, agent) = try await explain(stack)
                #expect(all["outcome"] as? String == "served")
                #expect(agent["advertised"] as? Bool == true)
                #expect(agent["reachable"] as? Bool == true)
                #expect(agent["service"] as? String == "default/web")
                #expect(agent["target"] as? String == "127.0.0.1:\(stack.backend.port)")
                #expect(agent["via"] as? String == "service")
                #expect(agent["backend_protocol"] as? String == "HTTP/1.1")
                #expect(agent["failure"] == nil && agent["problem"] == nil)
            }
            #expect(requests.value == 0)
        }
    }

    @Test("is why it cannot be reached, which is what a client would be told")
    func unreachable() async throws {
        var options = StackOptions()
        // Nobody listens there.
        options.endpoints = ["app.test": .address(ip: "127.0.0.1", port: 1)]
        try await withStack(options) { _ in
        } _: { stack in
            let (all, agent) = try await explain(stack)
            #expect(all["outcome"] as? String == "backend_unreachable")
            #expect((all["summary"] as? String)?.contains("cannot reach default/web") == true)
            #expect(agent["reachable"] as? Bool == false)
            #expect(agent["failure"] as? String == "backend_unreachable")
            #expect((agent["detail"] as? String)?.contains("127.0.0.1:1") == true)
        }
    }

    @Test("is that it would refuse what it does not advertise any more")
    func notAdvertised() async throws {
        try await withStack { _ in
        } _: { stack in
            stack.guardrail.update { $0.setAdvertised(false) }
            let (all, agent) = try await explain(stack)
            #expect(all["outcome"] as? String == "not_advertised")
            #expect(agent["advertised"] as? Bool == false)
        }
    }

    /// What an agent may do with the question, and what is said of it.
    private static let noAnswers: [(frame: Frame?, problem: String)] = [
        (.reset(StreamID(1), .notAdvertised, detail: ""), "this agent is too old to be asked"),
        (
            .headers(StreamID(1), .response(ResponseHead(status: 204, fields: [:])), endStream: true),
            "the agent's answer is not one to this question"
        ), (nil, "the agent has not answered within 3 s"),
    ]

    @Test("is missing where the agent does not know the question, answers oddly, or is silent, and says so")
    func noAnswer() async throws {
        for (frame, problem) in Self.noAnswers {
            var options = StackOptions()
            options.hasAgent = false
            try await withStack(options) { _ in
            } _: { stack in
                let agent = try await FakeAgent.connect(stack)
                async let explained = explain(stack)
                let head = try await agent.request()
                #expect(head.isExplain && head.explainedAuthority == "app.test" && head.target == "/x?a=1")
                if let frame { agent.send(frame) }
                let (all, view) = try await explained
                #expect(all["outcome"] as? String == "served")
                #expect(view["problem"] as? String == problem)
            }
        }
    }

    @Test("survives whatever is in it, put into fields and read again")
    func coding() throws {
        let destination = AgentExplanation.Destination(
            service: "a/b", target: "[::1]:80", viaIngressController: true, backendProtocol: "HTTP/2 over TLS",
            failure: "backend_tls_failed", detail: "line\r\nbreak é")
        let head = AgentExplanation(destination).head
        #expect(head.fields.isSound)
        let read = try #require(AgentExplanation(head)?.destination)
        #expect(read.detail == "line??break ?")
        #expect(read.viaIngressController && read.target == "[::1]:80" && read.failure == "backend_tls_failed")
        #expect(AgentExplanation(ResponseHead(status: 404, fields: [:]))?.destination == nil)
        #expect(AgentExplanation(ResponseHead(status: 200, fields: [:])) == nil)
    }
}
