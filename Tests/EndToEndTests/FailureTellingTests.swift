import EdgeGateway
import NIOCore
import TestSupport
import Testing

@testable import ClusterAgent

@Suite("What a client is told about a failure", .timeLimit(.minutes(1)))
struct FailureTellingTests {
    private static let browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

    @Test("a browser gets a page, with the host as text and not as markup, and a program a problem document")
    func formats() async throws {
        try await withStack { _ in
        } _: { stack in
            let page = try await stack.request("GET", "/<i>", host: "nobody.test", fields: [Self.browser])
            #expect(page.status == 404)
            #expect(page.head["Content-Type"] == ["text/html; charset=utf-8"])
            #expect(page.text.contains("<dd>nobody.test</dd>"))
            #expect(page.text.contains("<dd>no_such_host</dd>"))
            #expect(!page.text.contains("<i>"))
            #expect(page.head["Proxy-Status"] == ["pipeops-gateway; error=destination_not_found"])
            let document = try await stack.request("GET", "/", host: "nobody.test", fields: ["Accept: */*"])
            #expect(document.head["Content-Type"] == ["application/problem+json"])
            #expect(document.text.hasSuffix("}\n"))
        }
    }

    @Test("HEAD gets the head of the same answer and no body")
    func head() async throws {
        try await withStack { _ in
        } _: { stack in
            let client = try await stack.connect()
            let fields = "Host: nobody.test\r\nX-Request-Id: r\r\n\(Self.browser)\r\n"
            try await client.send(
                "HEAD / HTTP/1.1\r\n\(fields)\r\nGET / HTTP/1.1\r\n\(fields)Connection: close\r\n\r\n")
            let head = try await client.response(toHead: true)
            let get = try await client.response()
            #expect(head.status == 404)
            #expect(get.status == 404)
            #expect(head.head["Content-Length"] == get.head["Content-Length"])
            #expect(head.head["Content-Type"] == get.head["Content-Type"])
        }
    }

    @Test("since when the cluster is offline is told to both")
    func offline() async throws {
        try await withStack { _ in
        } _: { stack in
            stack.stopAgent()
            try await eventually("the tunnel is gone") { stack.tunnels.all.isEmpty }
            let since = try #require(stack.tunnels.offlineSince("cluster-a"))
            for accept in [Self.browser, "Accept: application/json"] {
                let response = try await stack.request(fields: [accept])
                #expect(response.status == 503)
                #expect(response.text.contains("not been connected since \(since)"))
                #expect(response.head["Retry-After"] == ["5"])
                #expect(response.head["Proxy-Status"] == ["pipeops-gateway; error=destination_unavailable"])
            }
        }
    }

    @Test("what the agent found is told in the agent's name")
    func foundByAgent() async throws {
        let closed = try ReservedPort()
        var options = StackOptions()
        options.endpoints = ["app.test": .address(ip: "127.0.0.1", port: closed.number)]
        try await withStack(options) { _ in
        } _: { stack in
            let response = try await stack.request()
            #expect(response.status == 502)
            #expect(response.head["Proxy-Status"] == ["pipeops-agent; error=connection_refused"])
        }
    }

    @Test("what the gateway found is told in the gateway's name")
    func foundByGateway() async throws {
        var options = StackOptions()
        options.annotations = ["gateway.pipeops.io/response-timeout": "250ms"]
        try await withStack(options) { backend in
            _ = try await backend.head()
            try await backend.waitForEnd()
        } _: { stack in
            let response = try await stack.request()
            #expect(response.status == 504)
            #expect(response.head["Proxy-Status"] == ["pipeops-gateway; error=http_response_timeout"])
        }
    }

    @Test("a request has one name: the client's, or the gateway's, at the application, in the log and in a failure")
    func requestID() async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            while true { try await backend.answer(noting: seen) }
        } _: { stack in
            _ = try await stack.request("GET", "/given", fields: ["X-Request-Id: mine-1"])
            #expect(seen.value?["X-Request-Id"] == ["mine-1"])
            #expect(try await stack.accessLine("/given").fields["request_id"] == "mine-1")
            _ = try await stack.request("GET", "/made", fields: ["X-Request-Id: a b"])
            let made = try #require(seen.value?["X-Request-Id"].first)
            #expect(made.utf8.count == 32)
            #expect(seen.value?["X-Request-Id"].count == 1)
            #expect(try await stack.accessLine("/made").fields["request_id"] == made)
            let failed = try await stack.request(
                "GET", "/failed", host: "nobody.test", fields: ["X-Request-Id: mine-2"])
            #expect(failed.head["X-Request-Id"] == ["mine-2"])
            #expect(failed.text.contains("\"request_id\":\"mine-2\""))
            let client = try await stack.connect()
            try await client.send("nonsense\r\n\r\n")
            let bad = try await client.response()
            #expect(bad.status == 400)
            #expect(bad.head["X-Request-Id"].first?.utf8.count == 32)
            #expect(bad.head["Proxy-Status"] == ["pipeops-gateway; error=http_request_error"])
        }
    }
}
