import ClusterAgent
import EdgeGateway
import NIOCore
import NIOHTTP1
import TestSupport
import Testing
import TunnelProtocol

@Suite("Who may say what on a tunnel", .timeLimit(.minutes(1)))
struct AdmissionTests {
    private static var withoutAgent: StackOptions {
        var options = StackOptions()
        options.hasAgent = false
        return options
    }

    @Test("a wrong token is refused with 401 that both sides log, and the gateway is undisturbed")
    func wrongToken() async throws {
        var options = StackOptions()
        options.agentToken = "wrong"
        options.waitsForRoutes = false
        try await withStack(options) { _ in
        } _: { stack in
            try await eventually("the agent logs it") {
                stack.agentLog.lines("Tunnel dial failed").contains {
                    $0.fields["error"]?.contains("401") == true && $0.fields["retry_in_ms"] != nil
                }
            }
            let line = try #require(stack.gatewayLog.lines("Tunnel refused").first)
            #expect(line.fields["reason"]?.hasPrefix("unauthorized") == true)
            #expect(line.fields["remote"]?.hasPrefix("127.0.0.1:") == true)
            #expect(!stack.gatewayLog.lines.contains { $0.description.contains("wrong") })
            #expect(!stack.status.isConnected)

            let good = try await FakeAgent.connect(stack, cluster: "b", host: "b.test")
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
            _ = try await good.request()
            good.send(.headers(StreamID(1), .response(.init(status: 204, fields: [:])), endStream: true))
            let answer = try await client.response()
            #expect(answer.status == 204)
            client.close()
        }
    }

    @Test("a hello that claims another cluster is refused, and both sides know why")
    func wrongHello() async throws {
        try await withStack(Self.withoutAgent) { _ in
        } _: { stack in
            let agent = try await FakeAgent.dial(stack, token: "token-a")
            agent.send(.hello(FakeAgent.hello("cluster-b")))
            try await eventually("the tunnel is closed") { agent.closed != nil }
            #expect(agent.errors.map(\.code) == ["wrong_cluster"])
            #expect(!agent.isWelcome)
            #expect(stack.gatewayLog.lines("Tunnel violated the protocol").count == 1)
            #expect(stack.tunnels.all.isEmpty)
        }
    }

    @Test("ingress_routes that claim another cluster change nothing, and the tunnel goes on")
    func wrongRoutes() async throws {
        try await withStack(Self.withoutAgent) { _ in
        } _: { stack in
            let agent = try await FakeAgent.connect(stack)
            agent.send(.ingressRoutes(FakeAgent.routes("cluster-b", host: "stolen.test")))
            try await eventually("it is refused") { agent.errors.map(\.code) == ["wrong_cluster"] }
            let stolen = try await stack.request(host: "stolen.test")
            #expect(stolen.status == 404)
            agent.send(.heartbeat(.init(metadata: .init(isPrivate: true, gatewayRoutes: 1), revision: 0, digest: "")))
            #expect(agent.closed == nil)
            #expect(stack.tunnels.all.count == 1)
        }
    }

    @Test(
        "routes before the hello, and what is no control message, end the tunnel with its name",
        arguments: [
            (
                #"{"type":"heartbeat","payload":{"metadata":{"is_private":true,"gateway_routes":0},"revision":0,"digest":""}}"#,
                "unexpected_control"
            ),
            (#"{"type":"hello","payload":{"versions":[1]}}"#, "malformed_control"),
            (#"not json"#, "malformed_control"),
            (
                #"{"type":"hello","payload":{"versions":[7],"cluster_uuid":"cluster-a","agent_id":"x","agent_version":"1","max_streams":5}}"#,
                "unexpected_control"
            ),
        ])
    func badFirstMessage(text: String, code: String) async throws {
        try await withStack(Self.withoutAgent) { _ in
        } _: { stack in
            let agent = try await FakeAgent.dial(stack)
            agent.sendText(text)
            try await eventually("the tunnel is closed") { agent.closed != nil }
            #expect(agent.errors.map(\.code) == [code])
            try await eventually("the gateway logs it") {
                stack.gatewayLog.lines("Tunnel closed").contains { $0.fields["reason"]?.contains(code) == true }
            }
        }
    }

    @Test("an unknown type of message is answered with an error, and nothing else happens")
    func unknownType() async throws {
        try await withStack(Self.withoutAgent) { _ in
        } _: { stack in
            let agent = try await FakeAgent.connect(stack)
            agent.sendText(#"{"type":"telemetry","payload":{}}"#)
            try await eventually("it is answered") { agent.errors.map(\.code) == ["unknown_type"] }
            #expect(agent.closed == nil)
        }
    }

    @Test(
        "a second cluster that claims a host is told so and changes nothing; once it is free it is asked to send again")
    func hostnameConflict() async throws {
        try await withStack(Self.withoutAgent) { _ in
        } _: { stack in
            let first = try await FakeAgent.connect(stack, cluster: "a")
            let second = try await FakeAgent.connect(stack, cluster: "b")
            #expect(second.acks.first?.rejected.map(\.reason) == ["HostnameConflict"])
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await first.request()
            #expect(second.requests.isEmpty)
            client.close()

            var release = FakeAgent.routes("cluster-a", host: "app.test")
            release.action = .delete
            release.revision = 2
            first.send(.ingressRoutes(release))
            try await eventually("the second is asked to send again") { second.resyncs.count == 1 }
            second.send(.ingressRoutes(FakeAgent.routes("cluster-b", host: "app.test")))
            try await eventually("it has the host") { second.acks.last?.accepted == 1 }
            let other = try await stack.connect()
            try await other.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await second.request()
            other.close()
        }
    }

    @Test("a route that is effective when it is acknowledged is gone when its deletion is")
    func addAndDelete() async throws {
        try await withStack { backend in
            try await backend.answerAll()
        } _: { stack in
            let route = AdvertisedRoute(
                host: "app.test", path: "/", pathType: "Prefix", service: "web", namespace: "default", port: 80,
                tls: false, annotations: [:])
            stack.sync.push(
                .ingressRoutes(.init(action: .delete, clusterUUID: "cluster-a", routes: [route], revision: 2)))
            try await eventually("the deletion is acknowledged") { stack.sync.acks.last?.revision == 2 }
            let gone = try await stack.request()
            #expect(gone.status == 404)
            stack.sync.push(
                .ingressRoutes(.init(action: .add, clusterUUID: "cluster-a", routes: [route], revision: 3)))
            try await eventually("the addition is acknowledged") { stack.sync.acks.last?.revision == 3 }
            let back = try await stack.request()
            #expect(back.status == 200)
            let received = stack.gatewayLog.lines("Ingress routes received").map { $0.fields["action"] ?? "" }
            #expect(received == ["sync", "delete", "add"])
        }
    }
}
