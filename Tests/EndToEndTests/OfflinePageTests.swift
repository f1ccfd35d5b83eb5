import EdgeGateway
import NIOCore
import TestSupport
import Testing
import TunnelProtocol

@Suite("A page for when the cluster is away", .timeLimit(.minutes(1)))
struct OfflinePageTests {
    private static let page = "<!doctype html><title>Back soon</title>"

    private func ask(_ stack: Stack, _ line: String, accept: String, path: String = "/") async throws -> RawResponse {
        let client = try await stack.connect()
        defer { client.close() }
        try await client.send("\(line) \(path) HTTP/1.1\r\nHost: app.test\r\nAccept: \(accept)\r\n\r\n")
        return try await client.response(toHead: line == "HEAD")
    }

    @Test("is shown to browsers in place of the gateway's own, to others not; status and fields are the same")
    func away() async throws {
        var options = StackOptions()
        options.hasAgent = false
        try await withStack(options) { _ in
        } _: { stack in
            let agent = try await FakeAgent.dial(stack)
            agent.send(.hello(FakeAgent.hello("cluster-a")))
            var routes = FakeAgent.routes("cluster-a", host: "app.test")
            routes.routes[0].path = "/shop"
            routes.routes[0].annotations = ["gateway.pipeops.io/offline-page-content": Self.page]
            routes.routes.append(FakeAgent.routes("cluster-a", host: "app.test").routes[0])
            agent.send(.ingressRoutes(routes))
            try await eventually("the routes are acknowledged") { agent.acks.count == 1 }

            // One that is lost while it is under way, and may be processed but once.
            let client = try await stack.connect()
            try await client.send(
                "POST /shop HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\nContent-Length: 0\r\n\r\n")
            _ = try await agent.request()
            agent.disconnect()
            let lost = try await client.response()
            #expect(lost.status == 503 && lost.body == ByteBuffer(string: Self.page))
            client.close()

            try await eventually("the cluster is away") { stack.tunnels.all.isEmpty }
            let browser = try await ask(stack, "GET", accept: "text/html,*/*;q=0.8", path: "/shop/cart")
            #expect(browser.status == 503)
            #expect(browser.body == ByteBuffer(string: Self.page))
            #expect(browser.head["Content-Type"] == ["text/html; charset=utf-8"])
            #expect(browser.head["Retry-After"].count == 1)
            #expect(browser.head["Proxy-Status"].count == 1)
            #expect(browser.head["Content-Security-Policy"].isEmpty)
            let head = try await ask(stack, "HEAD", accept: "text/html", path: "/shop")
            #expect(head.head["Content-Length"] == ["\(Self.page.utf8.count)"])
            let program = try await ask(stack, "GET", accept: "application/json", path: "/shop")
            #expect(program.head["Content-Type"] == ["application/problem+json"])
            // Another route of the host has none.
            let other = try await ask(stack, "GET", accept: "text/html")
            #expect(other.status == 503 && other.body != ByteBuffer(string: Self.page))
            #expect(other.head["Content-Security-Policy"].count == 1)
        }
    }
}
