import ClusterAgent
import EdgeGateway
import Foundation
import Logging
import NIOCore
import Settings
import TestSupport
import Testing
import TunnelProtocol
import TunnelTransport

@Suite("Credentials: who gets in, and until when", .timeLimit(.minutes(1)))
struct CredentialTests {
    private static var withoutAgent: StackOptions {
        var options = StackOptions()
        options.hasAgent = false
        options.credentialInterval = .milliseconds(20)
        return options
    }

    private static func clusters(_ entries: (uuid: String, tokens: [String])...) -> String {
        let lines = entries.map { entry in
            "- {uuid: \(entry.uuid), tokenSHA256: [\(entry.tokens.map(SHA256Hex.text).joined(separator: ", "))]}"
        }
        return "clusters:\n" + lines.joined(separator: "\n")
    }

    /// Dials and expects to be refused.
    private func refusal(_ stack: Stack, token: String) async -> TunnelDialError? {
        await #expect(throws: TunnelDialError.self) { _ = try await FakeAgent.dial(stack, token: token) }
    }

    private static func seal(_ stack: Stack, _ tokens: String...) {
        for token in tokens {
            #expect(!stack.gatewayLog.lines.contains { $0.description.contains(token) }, "a token in the log")
        }
    }

    @Test(
        "while a token is changed nothing closes; once the old one is removed its tunnels close at once, and no other")
    func rotation() async throws {
        try await withStack(Self.withoutAgent) { _ in
        } _: { stack in
            let old = try await FakeAgent.connect(stack, cluster: "a")
            let other = try await FakeAgent.connect(stack, cluster: "b", host: "b.test")
            try stack.rewrite(
                "clusters.yaml", Self.clusters(("cluster-a", ["fresh-token", "token-a"]), ("cluster-b", ["token-b"])))
            try await eventually("the file is read") { stack.gatewayLog.lines("Credentials reloaded").count == 1 }
            let fresh = try await FakeAgent.dial(stack, token: "fresh-token")
            // Another replica: it does not take the place of the first.
            var hello = FakeAgent.hello("cluster-a")
            hello.agentID = "fresh"
            fresh.send(.hello(hello))
            try await eventually("the fresh token is good") { fresh.isWelcome }
            #expect(old.closed == nil && other.closed == nil)

            try stack.rewrite(
                "clusters.yaml", Self.clusters(("cluster-a", ["fresh-token"]), ("cluster-b", ["token-b"])))
            try await eventually("the old token's tunnel is closed") { old.closed != nil }
            #expect(old.closed == .closedByPeer(code: 1008, reason: "revoked"))
            #expect(old.errors.map(\.code) == ["revoked"])
            guard case .refused(401, _, _) = await refusal(stack, token: "token-a") else {
                Issue.record("the old token is still good")
                return
            }
            #expect(fresh.closed == nil && other.closed == nil)
            Self.seal(stack, "token-a", "token-b", "fresh-token")
        }
    }

    @Test("a clusters file that cannot be used changes nothing and is named in the log, once")
    func brokenFile() async throws {
        try await withStack(Self.withoutAgent) { _ in
        } _: { stack in
            let agent = try await FakeAgent.connect(stack)
            try stack.rewrite("clusters.yaml", "clusters: [{uuid: a, tokenSHA256: abc}]")
            let message = "Credentials not reloaded, what was read before stays in force"
            try await eventually("it is logged") { !stack.gatewayLog.lines(message).isEmpty }
            let line = try #require(stack.gatewayLog.lines(message).first)
            #expect(line.level == .error)
            #expect(line.fields["error"]?.contains("clusters.yaml clusters[0].tokenSHA256") == true)
            _ = try await FakeAgent.connect(stack, cluster: "b", host: "b.test")
            #expect(agent.closed == nil)
            #expect(stack.gatewayLog.lines(message).count == 1)
            try stack.rewrite("clusters.yaml", "clusters: []")
            try await eventually("a good one is taken") { agent.closed != nil }
        }
    }

    @Test("a signed token opens a tunnel; one that is wrong is refused; without its key its tunnels close")
    func signedTokens() async throws {
        let (kept, removed) = (try await TokenSigner(.es256, kid: "kept"), try await TokenSigner(.edDSA, kid: "gone"))
        let stranger = try await TokenSigner(.edDSA, kid: "kept")
        var options = Self.withoutAgent
        options.files["jwks.json"] = TokenSigner.set(kept, removed)
        options.authentication[.jwksFile] = "@jwks.json"
        try await withStack(options) { _ in
        } _: { stack in
            let good = try await kept.sign(.init(cluster: "cluster-j"))
            let doomed = try await removed.sign(.init(cluster: "cluster-j"))
            let forged = try await stranger.sign(.init(cluster: "cluster-j"))
            let stale = try await kept.sign(.init(cluster: "cluster-j", exp: 1_000_000))
            let first = try await FakeAgent.dial(stack, token: good)
            first.send(.hello(FakeAgent.hello("cluster-j")))
            let second = try await FakeAgent.dial(stack, token: doomed)
            try await eventually("it is welcome") { first.isWelcome }
            let forgery = await refusal(stack, token: forged)
            #expect(
                forgery
                    == .refused(
                        status: 401,
                        detail: "unauthorized: the token is signed with another algorithm than its key is for",
                        retryAfter: nil))
            let expiry = await refusal(stack, token: stale)
            #expect(
                expiry
                    == .refused(
                        status: 401, detail: "unauthorized: the token or certificate has expired", retryAfter: nil))

            try stack.rewrite("jwks.json", TokenSigner.set(kept))
            try await eventually("the removed key's tunnel is closed") { second.closed != nil }
            #expect(second.closed == .closedByPeer(code: 1008, reason: "revoked"))
            #expect(first.closed == nil)
            for token in [good, doomed, forged, stale] {
                Self.seal(stack, token, String(token.split(separator: ".")[1]))
            }
        }
    }

    @Test("a tunnel whose token ends is asked to leave before, and closed at the end if it has not")
    func expiry() async throws {
        let signer = try await TokenSigner(.edDSA)
        var options = Self.withoutAgent
        options.files["jwks.json"] = TokenSigner.set(signer)
        options.authentication[.jwksFile] = "@jwks.json"
        try await withStack(options, within: .seconds(90)) { _ in
        } _: { stack in
            // The notice is a tenth of what is left when the tunnel is up, which is less on a busy machine.
            let end = Date().timeIntervalSince1970 + 30
            let agent = try await FakeAgent.dial(stack, token: signer.sign(.init(cluster: "cluster-a", exp: end)))
            agent.send(.hello(FakeAgent.hello("cluster-a")))
            agent.send(.ingressRoutes(FakeAgent.routes("cluster-a", host: "app.test")))
            try await eventually("the routes are acknowledged") { agent.acks.count == 1 }
            // A request that is never answered keeps the tunnel from ending by itself.
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await agent.request()
            try await eventually(within: .seconds(60), "it is closed") { agent.closed != nil }
            #expect(Date().timeIntervalSince1970 >= end - 0.1)
            #expect(agent.closed == .closedByPeer(code: 1008, reason: "token expired"))
            // Once to announce it, and once to say that this is it.
            #expect(agent.errors.map(\.code) == ["token_expired", "token_expired"])
            let announced = stack.gatewayLog.lines("Tunnel's token expires, the agent is asked to dial anew")
            #expect(announced.count == 1)
            #expect(announced.allSatisfy { ["1", "2", "3"].contains($0.fields["expires_in_s"]) })
            client.close()
        }
    }

    @Test("failures beyond the limit are answered 429 with a time; a good token passes beside them")
    func failureLimit() async throws {
        var options = Self.withoutAgent
        options.authentication[.authFailuresPerMinute] = "3"
        try await withStack(options) { _ in
        } _: { stack in
            for _ in 0..<3 {
                guard case .refused(401, _, nil) = await refusal(stack, token: "wrong-token") else {
                    Issue.record("not 401")
                    return
                }
            }
            guard case .refused(429, let detail, let wait?) = await refusal(stack, token: "wrong-token") else {
                Issue.record("not 429 with Retry-After")
                return
            }
            #expect(detail == "too_many_attempts: too many failed attempts from this address")
            #expect((1...20).contains(wait))
            _ = try await FakeAgent.connect(stack)
            Self.seal(stack, "wrong-token")
        }
    }

    @Test("handshakes beyond the rate are told to come again, before anybody asks who they are")
    func acceptRate() async throws {
        var options = Self.withoutAgent
        options.authentication[.acceptRate] = "1"
        try await withStack(options) { _ in
        } _: { stack in
            var refusals: [TunnelDialError] = []
            // One a second gets through to be told that its token is wrong.
            try await eventually("the rate is used up") {
                if let refusal = await refusal(stack, token: "wrong-token") { refusals.append(refusal) }
                return refusals.contains { if case .refused(503, _, _) = $0 { true } else { false } }
            }
            #expect(
                refusals.last
                    == .refused(
                        status: 503, detail: "too_many_at_once: many agents connect at this moment", retryAfter: 1))
            #expect(stack.gatewayLog.lines("Tunnel refused").last?.level == .debug)
        }
    }

    @Test("a host name that is not allowed is refused by name; one that is not allowed any more is not served any more")
    func allowedHostnames() async throws {
        @Sendable func file(_ hostnames: String) -> String {
            "clusters: [{uuid: cluster-a, tokenSHA256: \(SHA256Hex.text("token-a")), hostnames: [\(hostnames)]}]"
        }
        var options = Self.withoutAgent
        options.files["clusters.yaml"] = file("other.test")
        try await withStack(options) { _ in
        } _: { stack in
            let agent = try await FakeAgent.connect(stack)
            #expect(agent.acks.last?.rejected.map(\.reason) == ["HostnameNotAllowed"])
            let refused = try await stack.request()
            #expect(refused.status == 404)

            try stack.rewrite("clusters.yaml", file("'*.test'"))
            try await eventually("the agent is asked for its routes") { agent.resyncs.count == 1 }
            agent.send(.ingressRoutes(FakeAgent.routes("cluster-a", host: "app.test")))
            try await eventually("they are accepted") { agent.acks.last?.accepted == 1 }
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await agent.request()
            client.close()

            try stack.rewrite("clusters.yaml", file(""))
            try await eventually("the agent is told") { agent.resyncs.count == 2 }
            let gone = try await stack.request()
            #expect(gone.status == 404, "without waiting for the agent")
            #expect(agent.closed == nil)
        }
    }
}
