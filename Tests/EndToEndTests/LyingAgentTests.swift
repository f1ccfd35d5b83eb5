import NIOCore
import TestSupport
import Testing
import TunnelProtocol

@Suite("The gateway believes no agent's framing", .timeLimit(.minutes(1)))
struct LyingAgentTests {
    private static var options: StackOptions {
        var options = StackOptions()
        options.hasAgent = false
        return options
    }

    private static let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    /// Sends a request, lets the agent answer with frames, and returns all the client gets until its connection ends
    /// or a second request was answered on it.
    private func clientSees(
        request: String = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n", _ frames: [Frame]
    ) async throws -> String {
        let seen = Box<String>()
        try await withStack(Self.options) { _ in
        } _: { stack in
            let agent = try await FakeAgent.connect(stack)
            let client = try await stack.connect()
            try await client.send(request)
            _ = try await agent.request()
            for frame in frames { agent.send(frame) }
            // A second request: where the connection was kept it is answered with 404, which ends the reading.
            try? await client.send("GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n")
            seen.set(String(buffer: try await client.rest()))
            // The tunnel carries on.
            let next = try await stack.connect()
            try await next.send("GET /next HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let head = try await agent.request(2)
            #expect(head.target == "/next")
            agent.send(.headers(StreamID(2), .response(.init(status: 204, fields: [:])), endStream: true))
            let answer = try await next.response()
            #expect(answer.status == 204)
            next.close()
        }
        return try #require(seen.value)
    }

    private func head(_ status: UInt16, _ fields: HeaderFields, end: Bool = false) -> Frame {
        .headers(StreamID(1), .response(.init(status: status, fields: fields)), endStream: end)
    }

    private func data(_ text: String, end: Bool = true) -> Frame {
        .data(StreamID(1), ByteBuffer(string: text), endStream: end)
    }

    @Test("a body longer than its Content-Length never becomes a second response")
    func tooLong() async throws {
        let seen = try await clientSees([head(200, ["Content-Length": "2"]), data("ok" + Self.evil)])
        #expect(!seen.contains("evil"))
        let inParts = try await clientSees([
            head(200, ["Content-Length": "2"]), data("ok", end: false), data(Self.evil),
        ])
        #expect(!inParts.contains("evil"))
        #expect(!inParts.contains("404"))
    }

    @Test(
        "a body shorter than its Content-Length ends the connection, so that no second response is taken for its rest")
    func tooShort() async throws {
        for frames in [
            [head(200, ["Content-Length": "100"]), data("short")],
            [head(200, ["Content-Length": "100"]), .headers(StreamID(1), .trailers(["X-A": "1"]), endStream: true)],
        ] {
            let seen = try await clientSees(frames)
            #expect(seen.hasPrefix("HTTP/1.1 200"))
            #expect(!seen.contains("404"))
        }
    }

    @Test("a head that announces a body and ends the stream is no answer")
    func announcedAndMissing() async throws {
        let seen = try await clientSees([head(200, ["Content-Length": "100"], end: true)])
        #expect(seen.hasPrefix("HTTP/1.1 502"))
    }

    @Test(
        "two lengths, or one that is no number, are no answer",
        arguments: [["2", "3"], ["2", "2"], ["2, 2"], ["-1"], ["+2"], ["0x2"], [""]])
    func badLengths(lengths: [String]) async throws {
        var fields = HeaderFields()
        for length in lengths { fields.add(name: "Content-Length", value: length) }
        let seen = try await clientSees([head(200, fields), data("ok")])
        #expect(seen.hasPrefix("HTTP/1.1 502"))
    }

    @Test("a body in answer to HEAD, or with 204 or 304, never reaches the client")
    func unexpectedBody() async throws {
        let answers: [(String, UInt16)] = [("HEAD", 200), ("GET", 204), ("GET", 304)]
        for (method, status) in answers {
            let seen = try await clientSees(
                request: "\(method) / HTTP/1.1\r\nHost: app.test\r\n\r\n", [head(status, [:]), data(Self.evil)])
            #expect(!seen.contains("evil"), "\(method) \(status)")
        }
    }

    @Test("hop-by-hop fields of an agent do not reach the client's framing")
    func hopByHop() async throws {
        let seen = try await clientSees([
            head(
                200,
                [
                    "Transfer-Encoding": "gzip, chunked", "Connection": "X-Drop", "X-Drop": "1", "Keep-Alive": "99",
                    "Content-Length": "7", "X-Kept": "1",
                ]),
            data("0\r\n\r\nab"),
        ])
        #expect(seen.hasPrefix("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Kept: 1\r\n\r\n0\r\n\r\nab"))
    }

    @Test("an upgrade nobody asked for is no answer")
    func upgrade() async throws {
        let seen = try await clientSees([head(101, ["Upgrade": "websocket"])])
        #expect(seen.hasPrefix("HTTP/1.1 502"))
    }

    @Test("what one replica of an agent has not advertised yet, another is asked for, once")
    func notAdvertisedByOneReplica() async throws {
        try await withStack(Self.options) { _ in
        } _: { stack in
            let first = try await FakeAgent.connect(stack)
            let second = try await FakeAgent.dial(stack, token: "token-a")
            var hello = FakeAgent.hello("cluster-a")
            hello.agentID = "fake-2"
            second.send(.hello(hello))
            try await eventually("the second is welcome") { second.isWelcome }

            let client = try await stack.connect()
            try await client.send("GET /one HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try await eventually("one of them is asked") { first.requests.count + second.requests.count == 1 }
            let (behind, ahead) = second.requests.isEmpty ? (first, second) : (second, first)
            behind.send(.reset(StreamID(1), .notAdvertised, detail: "app.test/one is not advertised"))
            #expect(try await ahead.request().target == "/one")
            ahead.send(.headers(StreamID(1), .response(.init(status: 204, fields: [:])), endStream: true))
            #expect(try await client.response().status == 204)
            client.close()

            // Where nobody has advertised it, the answer says so.
            let other = try await stack.connect()
            try await other.send("GET /two HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try await eventually("one is asked") { first.requests.count + second.requests.count == 3 }
            let asked = first.requests.contains { $0.target == "/two" } ? first : second
            let rest = asked === first ? second : first
            asked.send(.reset(StreamID(2), .notAdvertised, detail: ""))
            #expect(try await rest.request(2).target == "/two")
            rest.send(.reset(StreamID(2), .notAdvertised, detail: ""))
            #expect(try await other.response().status == 502)
            other.close()
        }
    }

    @Test("a reset before the head is the failure it names, and one after it breaks the connection")
    func resets() async throws {
        let before = try await clientSees([.reset(StreamID(1), .backendTimeout, detail: "slow")])
        #expect(before.hasPrefix("HTTP/1.1 504"))
        let after = try await clientSees([
            head(200, ["Content-Length": "100"]), data("half", end: false),
            .reset(StreamID(1), .backendClosed, detail: ""),
        ])
        #expect(after.hasPrefix("HTTP/1.1 200"))
        #expect(!after.contains("404"))
    }

    @Test(
        "frames that break the protocol end the tunnel with a typed reason that both sides log, and the request with 503"
    )
    func violations() async throws {
        try await withStack(Self.options) { _ in
        } _: { stack in
            let bystander = try await FakeAgent.connect(stack, cluster: "b", host: "b.test")
            let broken: [(ProtocolViolation.Code, [UInt8])] = [
                (.truncated, [0, 0, 9]),
                // A line break in a field's value.
                (.malformedFrame, [0, 0, 13, 1, 0, 0, 0, 0, 1, 2, 0, 200, 0, 1, 0, 1, 0x61, 0, 3, 0x62, 0x0A, 0x63]),
                // A stream that the agent opens.
                (.badStreamID, [0, 0, 1, 0, 0, 0, 0, 0, 99, 1]),
            ]
            for (number, (code, bytes)) in broken.enumerated() {
                let agent = try await FakeAgent.connect(stack)
                let client = try await stack.connect()
                try await client.send("GET /\(number) HTTP/1.1\r\nHost: app.test\r\n\r\n")
                _ = try await agent.request()
                agent.sendBytes(bytes)
                let response = try await client.response()
                #expect(response.status == 503)
                client.close()
                try await eventually("the agent knows \(code)") {
                    agent.closed != nil && agent.errors.contains { $0.code == code.rawValue }
                }
                try await eventually("the gateway logs \(code)") {
                    stack.gatewayLog.lines("Tunnel closed").contains {
                        $0.fields["reason"]?.contains(code.rawValue) == true && $0.fields["cluster_uuid"] == "cluster-a"
                    }
                }
            }
            // More than the credit that was granted.
            let agent = try await FakeAgent.connect(stack)
            let client = try await stack.connect()
            try await client.send("GET /flood HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let window = Int(try await agent.request().window)
            agent.send(head(200, [:]))
            for _ in 0...(window / 65536 + 80) { agent.send(data(String(repeating: "x", count: 65536), end: false)) }
            try await eventually("the flood is cut off") {
                stack.gatewayLog.lines("Tunnel closed").contains {
                    $0.fields["reason"]?.contains("credit_exceeded") == true
                }
            }
            client.close()

            let other = try await stack.connect()
            try await other.send("GET /b HTTP/1.1\r\nHost: b.test\r\n\r\n")
            _ = try await bystander.request()
            bystander.send(head(204, [:], end: true))
            let answer = try await other.response()
            #expect(answer.status == 204)
            other.close()
        }
    }
}
