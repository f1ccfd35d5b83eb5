import EdgeGateway
import NIOCore
import TestSupport
import Testing

@Suite("Limits on bodies", .timeLimit(.minutes(1)))
struct BodyLimitTests {
    private func options(_ size: String? = "10", gateway: Int? = nil) -> StackOptions {
        var options = StackOptions()
        if let size { options.annotations["gateway.pipeops.io/max-body-size"] = size }
        options.limits.bodySize = gateway
        return options
    }

    private func expectTooLarge(_ connection: RawConnection) async throws {
        let head = try await connection.head()
        #expect(head.status == 413)
        #expect(head["Connection"] == ["close"])
        #expect(String(buffer: try await connection.rest()).contains(#""code":"body_too_large""#))
    }

    @Test(
        "a body that is announced as too long is refused at once, and no application hears of it",
        arguments: [("10", nil), (nil, 10), ("1m", 10)] as [(String?, Int?)])
    func announced(annotation: String?, gateway: Int?) async throws {
        try await withStack(options(annotation, gateway: gateway)) { backend in
            try await backend.answerAll()
        } _: { stack in
            let connection = try await stack.connect()
            // Nothing of the body is sent.
            try await connection.send(
                "POST /up HTTP/1.1\r\nHost: app.test\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
            try await expectTooLarge(connection)
            #expect(stack.backend.connections.isEmpty)
            let line = try await stack.accessLine("/up")
            #expect(line.fields["failure"] == "body_too_large")
            #expect(line.fields["status"] == "413")
        }
    }

    @Test("one that becomes too long is refused when it does, and the application does not take its part for the whole")
    func chunked() async throws {
        let seen = Box<String>()
        try await withStack(options()) { backend in
            try await backend.takeRequest(noting: seen)
        } _: { stack in
            let connection = try await stack.connect()
            try await connection.send(
                "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n")
            try await eventually("the application is at work") { seen.value == "started" }
            try await connection.send("3\r\nabc\r\n0\r\n\r\n")
            try await expectTooLarge(connection)
            try await eventually("the application's request broke off") { seen.value == "broken off" }
        }
    }

    @Test("what is as long as it may be passes, and another protocol has no such limit")
    func allowed() async throws {
        try await withStack(options()) { backend in
            while true {
                let head = try await backend.head()
                guard head["Upgrade"].isEmpty else {
                    try await backend.send(
                        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
                    while let bytes = try await backend.some() { try await backend.send(bytes) }
                    return
                }
                let (body, _, _) = try await backend.body(of: head)
                try await backend.send(
                    "HTTP/1.1 200 OK\r\nContent-Length: \(body.readableBytes)\r\n\r\n\(String(buffer: body))")
            }
        } _: { stack in
            let length = try await stack.request("POST", fields: ["Content-Length: 10"], body: "0123456789")
            #expect(length.text == "0123456789")
            let chunks = "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"
            let chunked = try await stack.request("POST", fields: ["Transfer-Encoding: chunked"], body: chunks)
            #expect(chunked.text == "0123456789")
            let connection = try await stack.connect()
            try await connection.send(
                "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            #expect(try await connection.head().status == 101)
            try await connection.send("more than ten bytes")
            #expect(String(buffer: try await connection.bytes(19)) == "more than ten bytes")
            connection.close()
        }
    }
}
