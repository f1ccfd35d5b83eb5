import NIOCore
import TestSupport
import Testing

@testable import ClusterAgent

@Suite("The agent forwards only what it advertised, only where it may", .timeLimit(.minutes(1)))
struct GuardrailTests {
    private func refused(_ options: StackOptions, host: String = "app.test", detail: String) async throws {
        try await withStack(options) { backend in
            try await backend.answerAll()
        } _: { stack in
            let response = try await stack.request("GET", "/g", host: host)
            #expect(response.status == 502)
            #expect(response.text.contains(#""code":"not_advertised""#))
            let line = try await stack.accessLine("/g")
            #expect(line.fields["failure_detail"]?.contains(detail) == true, "\(line)")
            #expect(stack.backend.connections.isEmpty)
        }
    }

    @Test("a host that the gateway routes and the agent has not advertised is refused")
    func notAdvertised() async throws {
        var options = StackOptions()
        options.onlyAdvertised = [("other.test", "/")]
        try await refused(options, host: "other.test", detail: "other.test/g is not advertised")
    }

    @Test("a path that the gateway routes and the agent has not advertised is refused")
    func pathNotAdvertised() async throws {
        var options = StackOptions()
        options.routes = [("app.test", "/api")]
        options.onlyAdvertised = [("app.test", "/")]
        try await refused(options, detail: "app.test/g is not advertised")
    }

    @Test("nothing is forwarded while the agent advertises nothing")
    func withdrawn() async throws {
        try await withStack { backend in
            try await backend.answerAll()
        } _: { stack in
            let before = try await stack.request()
            #expect(before.status == 200)
            stack.guardrail.update { $0.setAdvertised(false) }
            let after = try await stack.request()
            #expect(after.status == 502)
        }
    }

    @Test("a loopback target is refused without the development flag")
    func loopback() async throws {
        var options = StackOptions()
        options.policy = TargetPolicy(allowLoopback: false)
        try await refused(options, detail: "loopback")
    }

    @Test("a name that resolves to loopback is refused like the address")
    func loopbackByName() async throws {
        var options = StackOptions()
        options.policy = TargetPolicy(allowLoopback: false)
        options.endpoints = ["app.test": .name("localhost", port: 80)]
        try await refused(options, detail: "loopback")
    }

    @Test(
        "metadata, link-local and unspecified addresses are refused",
        arguments: [
            ("169.254.169.254", "metadata"), ("169.254.1.1", "link_local"), ("0.0.0.0", "unspecified"),
            ("fe80::1", "link_local"), ("224.0.0.1", "multicast"), ("::ffff:169.254.169.254", "metadata"),
        ])
    func forbidden(ip: String, reason: String) async throws {
        var options = StackOptions()
        options.endpoints = ["app.test": .address(ip: ip, port: 80)]
        try await refused(options, detail: reason)
    }

    @Test("the API server's address is refused, though loopback is allowed")
    func apiServer() async throws {
        let listener = try await RawConnection.listen { _ in Issue.record("the API server was connected to") }
        let port = try #require(listener.localAddress?.port)
        var options = StackOptions()
        options.policy = TargetPolicy(allowLoopback: true, apiServer: "127.0.0.1:\(port)")
        options.endpoints = ["app.test": .address(ip: "127.0.0.1", port: port)]
        try await refused(options, detail: "api_server")
        try await listener.close()
    }

    @Test("an application's own /api paths reach the application")
    func apiPaths() async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            while true { try await backend.answer(noting: seen) }
        } _: { stack in
            for target in ["/api/v1/namespaces", "/apis/apps/v1", "/healthz", "/version", "/openapi/v3"] {
                let response = try await stack.request("GET", target, fields: ["Authorization: Bearer user"])
                #expect(response.status == 200)
                #expect(seen.value?.target == target)
                #expect(seen.value?["Authorization"] == ["Bearer user"])
            }
        }
    }
}
