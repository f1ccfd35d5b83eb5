import NIOCore
import NIOHTTP1
import TestSupport
import Testing

@testable import EdgeGateway

@Suite("Challenges of a certificate's authority", .timeLimit(.minutes(1)))
struct ChallengeTests {
    private static let path = "/.well-known/acme-challenge/token-1"

    /// A gateway that sends everybody to HTTPS, with a solver for one challenge; the application answers `app`.
    private func withSolver(
        _ answer: @escaping ScriptedServer.Handler, port: Int? = nil,
        _ body: @escaping @Sendable (Stack, ScriptedServer) async throws -> Void
    ) async throws {
        try await withScriptedServer(answer) { server in
            var options = StackOptions()
            options.redirect = HTTPSRedirect()
            let table = ChallengeTable()
            let solver = ChallengeTable.Solver(address: "127.0.0.1", port: port ?? server.port)
            table.replace(with: [.init(host: "app.test", path: Self.path): solver])
            options.challenges = table
            let outcome: Result<Void, any Error>
            do {
                try await withStack(options) { backend in
                    try await backend.answerAll("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp")
                } _: { stack in
                    try await body(stack, server)
                }
                outcome = .success(())
            } catch {
                outcome = .failure(error)
            }
            try await table.shutdown()
            try outcome.get()
        }
    }

    private func ask(_ stack: Stack, _ line: String, host: String = "app.test") async throws -> RawResponse {
        let client = try await stack.connect()
        defer { client.close() }
        try await client.send("\(line) HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: authority\r\n\r\n")
        return try await client.response(toHead: line.hasPrefix("HEAD"))
    }

    @Test("pass to their solver, and nothing else does: no other token, method or host")
    func passed() async throws {
        try await withSolver { _, exchange in
            try await exchange.reply(200, "token-1.thumbprint")
        } _: { stack, solver in
            for _ in 0..<2 {
                let answer = try await ask(stack, "GET \(Self.path)")
                #expect(answer.status == 200)
                #expect(answer.body == ByteBuffer(string: "token-1.thumbprint"))
            }
            #expect(solver.requests.map(\.path) == [Self.path, Self.path])
            #expect(solver.requests.first?.headers["Host"] == ["app.test"])
            #expect(try await ask(stack, "HEAD \(Self.path)").status == 200)
            // An application may have challenges of its own; everything else is sent to HTTPS.
            #expect(try await ask(stack, "GET \(Self.path)2").body == ByteBuffer(string: "app"))
            #expect(try await ask(stack, "POST \(Self.path)").body == ByteBuffer(string: "app"))
            #expect(try await ask(stack, "GET \(Self.path)", host: "other.test").status == 404)
            #expect(try await ask(stack, "GET /").status == 308)
            #expect(solver.requests.count == 3)
            #expect(try await stack.accessLine(Self.path).fields["status"] == "200")
        }
    }

    @Test("a solver that says no, says too much, breaks off or is not there is told of")
    func failures() async throws {
        try await withSolver { _, exchange in
            try await exchange.reply(404, "no")
        } _: { stack, _ in
            let answer = try await ask(stack, "GET \(Self.path)")
            #expect(answer.status == 404)
        }
        try await withSolver { _, exchange in
            try await exchange.reply(200, String(repeating: "x", count: 100_000))
        } _: { stack, _ in
            let answer = try await ask(stack, "GET \(Self.path)")
            #expect(answer.status == 502)
        }
        try await withSolver { _, exchange in
            try await exchange.reply(302, "", headers: [("Location", "http://127.0.0.1:1/")])
        } _: { stack, solver in
            let answer = try await ask(stack, "GET \(Self.path)")
            #expect(answer.status == 302 && solver.requests.count == 1)
        }
        try await withSolver { _, exchange in
            try await exchange.cut()
        } _: { stack, _ in
            let answer = try await ask(stack, "GET \(Self.path)")
            #expect(answer.status == 502)
        }
        try await withSolver({ _, _ in }, port: 1) { stack, _ in
            let answer = try await ask(stack, "GET \(Self.path)")
            #expect(answer.status == 502)
        }
    }
}
