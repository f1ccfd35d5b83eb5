import TestSupport
import Testing

@testable import EdgeGateway

@Suite("How many requests a cluster and a route may have", .timeLimit(.minutes(1)))
struct RateLimitTests {
    /// Far more than the burst; they take less than the time in which as many tokens flow back.
    private static let requests = 50

    private func statuses(_ stack: Stack, _ client: RawConnection) async throws -> [RawResponse] {
        var responses: [RawResponse] = []
        for _ in 0..<Self.requests {
            try await client.send("GET /limited HTTP/1.1\r\nHost: app.test\r\n\r\n")
            responses.append(try await client.response())
        }
        return responses
    }

    /// After the burst of three requests are refused, with all that a client has to know, on a connection that stays.
    private func checkLimit(_ stack: Stack, policy: String) async throws {
        let client = try await stack.connect()
        let responses = try await statuses(stack, client)
        #expect(responses.prefix(3).map(\.status) == [200, 200, 200])
        let refused = try #require(responses.first { $0.status == 429 })
        #expect(Set(responses.map(\.status)) == [200, 429])
        #expect(refused.head["Retry-After"] == ["1"])
        #expect(refused.head["RateLimit-Policy"] == ["\"\(policy)\";q=3;w=3"])
        #expect(refused.head["RateLimit"] == ["\"\(policy)\";r=0;t=1"])
        #expect(refused.head["Proxy-Status"] == ["pipeops-gateway; error=http_request_denied"])
        #expect(refused.text.contains("\"code\":\"rate_limited\""))
        try await eventually(within: .seconds(10), "a request passes again") {
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            return try await client.response().status == 200
        }
        client.close()
    }

    @Test("beyond its limit a cluster's requests are 429, and pass again in time")
    func cluster() async throws {
        var options = StackOptions()
        options.rateLimit = .requests(rate: 1, burst: 3)
        try await withStack(options) { backend in
            try await backend.answerAll()
        } _: { stack in
            try await checkLimit(stack, policy: "cluster")
        }
    }

    @Test("a route may have less than its cluster, by its annotation")
    func route() async throws {
        var options = StackOptions()
        options.annotations = ["gateway.pipeops.io/rate-limit": "1:3"]
        try await withStack(options) { backend in
            try await backend.answerAll()
        } _: { stack in
            try await checkLimit(stack, policy: "route")
        }
    }

    @Test("a route's annotation cannot lift the limit of its cluster")
    func lifted() async throws {
        var options = StackOptions()
        options.rateLimit = .requests(rate: 1, burst: 3)
        options.annotations = ["gateway.pipeops.io/rate-limit": "off"]
        try await withStack(options) { backend in
            try await backend.answerAll()
        } _: { stack in
            try await checkLimit(stack, policy: "cluster")
        }
    }

    @Test("the clusters file gives one cluster a limit of its own, and takes it away while the gateway runs")
    func clustersFile() async throws {
        @Sendable func file(_ limit: String) -> String {
            "clusters: [{uuid: cluster-a, tokenSHA256: \(SHA256Hex.text("token-a")), rateLimit: \(limit)}]"
        }
        var options = StackOptions()
        options.files = ["clusters.yaml": file("1:3")]
        options.credentialInterval = .milliseconds(20)
        try await withStack(options) { backend in
            try await backend.answerAll()
        } _: { stack in
            try await checkLimit(stack, policy: "cluster")
            try stack.rewrite("clusters.yaml", file("off"))
            try await eventually("the changed file is read") { !stack.gatewayLog.lines("Credentials reloaded").isEmpty }
            let client = try await stack.connect()
            #expect(try await statuses(stack, client).allSatisfy { $0.status == 200 })
            client.close()
        }
    }
}
