import Foundation
import KubernetesAPI
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import TestSupport
import Testing

@testable import ClusterAgent

@Suite("Whom to trust behind TLS, by a Secret", .timeLimit(.minutes(1)))
struct BackendAuthoritiesTests {
    private static let secret = ObjectKey(namespace: "default", name: "authority")
    private static let loop = MultiThreadedEventLoopGroup.singleton.next()

    /// Runs the reader against a server that answers as told, and asks it.
    private func withReader(
        _ answer: @escaping ScriptedServer.Handler,
        _ body: @escaping (BackendAuthorities, ScriptedServer) async throws -> Void
    ) async throws {
        try await withScriptedServer(answer) { server in
            try await withClient(port: server.port) { client in
                let reader = BackendAuthorities(client: client, logger: .silent)
                let running = Task { try await reader.run() }
                do {
                    try await body(reader, server)
                } catch {
                    running.cancel()
                    throw error
                }
                running.cancel()
                try? await running.value
            }
        }
    }

    private func ask(_ reader: BackendAuthorities) async throws -> String {
        try await reader.certificates(of: Self.secret, on: Self.loop).get()
    }

    private func problem(_ reader: BackendAuthorities) async -> String {
        do {
            return "none, but \(try await ask(reader))"
        } catch {
            return (error as? UpstreamError)?.detail ?? "\(error)"
        }
    }

    @Test("It is read by name, and its key is not looked at")
    func found() async throws {
        let encoded = Data("CERTIFICATE".utf8).base64EncodedString()
        try await withReader { _, exchange in
            try await exchange.reply(
                200, #"{"metadata": {"name": "authority"}, "data": {"ca.crt": "\#(encoded)", "tls.key": 7}}"#)
        } _: { reader, server in
            let certificates = try await ask(reader)
            #expect(certificates == "CERTIFICATE")
            #expect(server.requests.map(\.path) == ["/api/v1/namespaces/default/secrets/authority"])
            #expect(server.requests.map(\.method) == ["GET"])
        }
    }

    @Test(
        "What is wrong is said, and not asked about at once again",
        arguments: [
            (404, "NotFound", "does not exist"), (403, "Forbidden", "a Role of the namespace must let"),
            (200, "", "it has no ca.crt"),
        ])
    func problems(status: Int, reason: String, expected: String) async throws {
        try await withReader { _, exchange in
            try await exchange.reply(
                status,
                status == 200
                    ? #"{"metadata": {"name": "authority"}, "data": {"other": "eA=="}}"#
                    : #"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "\#(reason)", "code": \#(status)}"#
            )
        } _: { reader, server in
            for _ in 0..<3 { #expect(await problem(reader).contains(expected)) }
            #expect(await problem(reader).contains("default/authority"))
            #expect(server.requests.count == 1)
        }
    }

    @Test("Nobody waits for an agent that ends")
    func end() async throws {
        try await withScriptedServer({ _, exchange in try await exchange.hold() }) { server in
            try await withClient(port: server.port) { client in
                let reader = BackendAuthorities(client: client, logger: .silent)
                let running = Task { try await reader.run() }
                async let waiting = problem(reader)
                try await eventually("the Secret is asked for") { server.requests.count == 1 }
                running.cancel()
                try? await running.value
                #expect(await waiting.contains("default/authority"))
                #expect(await problem(reader).contains("the agent ends"))
            }
        }
    }
}
