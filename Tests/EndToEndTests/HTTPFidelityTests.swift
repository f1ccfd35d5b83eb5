import NIOCore
import TestSupport
import Testing

@Suite("What passes through unchanged", .timeLimit(.minutes(1)))
struct HTTPFidelityTests {
    @Test("fields, cookies and repeated fields pass untouched and in order, both ways", arguments: [false, true])
    func fields(separateLoops: Bool) async throws {
        var options = StackOptions()
        options.separateLoops = separateLoops
        try await withStack(options) { backend in
            try await backend.answer(
                "HTTP/1.1 200 OK\r\nServer: app\r\nSet-Cookie: session=abc123; Path=/; HttpOnly\r\nX-One: 1\r\n"
                    + "Set-Cookie: theme=dark; Path=/\r\nX-Empty:\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\nHello")
        } _: { stack in
            let fields = [
                "User-Agent: test/1", "Accept: a, b;q=0.5", "Cookie: a=1; b=\"2\"", "X-Repeated: one", "X-Other: o",
                "X-Repeated: two", "Authorization: Bearer secret",
            ]
            let response = try await stack.request("GET", "/x", fields: fields)
            #expect(response.status == 200)
            #expect(response.text == "Hello")
            #expect(
                response.head.lines() == [
                    "Server: app", "Set-Cookie: session=abc123; Path=/; HttpOnly", "X-One: 1",
                    "Set-Cookie: theme=dark; Path=/", "X-Empty: ", "Content-Length: 5", "ETag: \"x\"",
                ])
            let line = try await stack.accessLine("/x")
            #expect(line.fields["status"] == "200")
            #expect(line.fields["bytes_out"] == "5")
            #expect(!line.description.contains("secret"))
        }
    }

    @Test("the application sees the client's fields, its Host, and who forwarded")
    func requestFields() async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            try await backend.answer(noting: seen)
        } _: { stack in
            _ = try await stack.request(
                "GET", "/", host: "App.test:8080",
                fields: [
                    "X-B: 2", "X-A: 1", "Connection: X-Private, keep-alive", "X-Private: p", "Keep-Alive: 5",
                    "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6", "TE: trailers, gzip",
                ])
            let head = try #require(seen.value)
            #expect(head.startLine == "GET / HTTP/1.1")
            let id = try #require(head["X-Request-Id"].first)
            #expect(
                head.lines() == [
                    "Host: App.test:8080", "X-B: 2", "X-A: 1", "X-Request-Id: \(id)", "X-Forwarded-For: 127.0.0.1",
                    "X-Forwarded-Proto: http", "X-Forwarded-Host: App.test:8080", "TE: trailers",
                ])
        }
    }

    @Test("the raw target reaches the application byte for byte, and the query stays out of the log")
    func target() async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            try await backend.answer(noting: seen)
        } _: { stack in
            for target in [
                "/a%2Fb/..;/c?x=1&x=2&y=%20", "/compare/a...b", "/fetch/https://example.org/?u=http://x", "//double//",
                "/?", "/%F0%9F%98%80?q=[]|{}", "/../../etc/passwd",
            ] {
                let response = try await stack.request("GET", target)
                #expect(response.status == 200)
                #expect(seen.value?.target == target)
            }
            let line = try await stack.accessLine("/a%2Fb/..;/c")
            #expect(!line.description.contains("x=1"))
        }
    }

    @Test("HEAD keeps the length of a body that does not come, and the connection can be used again")
    func head() async throws {
        try await withStack { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-H: 1\r\n\r\n")
            try await backend.answerAll()
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("HEAD /h HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let head = try await client.response(toHead: true).head
            #expect(head.status == 200)
            #expect(head["Content-Length"] == ["1234"])
            #expect(head["Transfer-Encoding"] == [])
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let next = try await client.response()
            #expect(next.text == "ok")
            client.close()
        }
    }

    @Test(
        "answers without a body end at their head",
        arguments: [
            "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\n\r\n",
        ])
    func bodyless(answer: String) async throws {
        try await withStack { backend in
            _ = try await backend.head()
            try await backend.send(answer)
            try await backend.answerAll()
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let head = try await client.response().head
            let lines = answer.split(separator: "\r\n").map(String.init)
            #expect([head.startLine] + head.lines() == lines)
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let next = try await client.response()
            #expect(next.text == "ok")
            client.close()
        }
    }

    @Test("an empty answer without framing is told to be empty")
    func emptyAnswer() async throws {
        try await withStack { backend in
            try await backend.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        } _: { stack in
            let response = try await stack.request()
            #expect(response.head["Content-Length"] == ["0"])
        }
    }

    @Test("100 Continue comes before the body is sent, and other 1xx before the answer")
    func informational() async throws {
        try await withStack { backend in
            let head = try await backend.head()
            #expect(head["Expect"] == ["100-continue"])
            try await backend.send("HTTP/1.1 100 Continue\r\n\r\n")
            let (body, _, _) = try await backend.body(of: head)
            try await backend.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
            try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.readableBytes)\r\n\r\n")
            try await backend.send(body)
        } _: { stack in
            let client = try await stack.connect()
            try await client.send(
                "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            let first = try await client.head()
            #expect(first.startLine == "HTTP/1.1 100 Continue")
            try await client.send("12345")
            let second = try await client.head()
            #expect(second.status == 103)
            #expect(second["Link"] == ["</style.css>; rel=preload"])
            let final = try await client.response()
            #expect(final.status == 200)
            #expect(final.text == "12345")
            client.close()
        }
    }

    @Test("chunked bodies and trailers pass both ways")
    func chunked() async throws {
        let seen = Box<(RawHead, String, [String])>()
        try await withStack { backend in
            let head = try await backend.head()
            let (body, trailers, _) = try await backend.body(of: head)
            seen.set((head, String(buffer: body), trailers))
            try await backend.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                    + "3\r\nabc\r\n5\r\ndefgh\r\n0\r\nX-Sum: 42\r\nX-More: m\r\n\r\n")
        } _: { stack in
            let response = try await stack.request(
                "POST", "/", fields: ["Transfer-Encoding: chunked", "Trailer: X-Check", "TE: trailers"],
                body: "4\r\nwiki\r\n5;ext=1\r\npedia\r\n0\r\nX-Check: ok\r\n\r\n")
            #expect(response.head["Transfer-Encoding"] == ["chunked"])
            #expect(response.head["Trailer"] == ["X-Sum"])
            #expect(response.text == "abcdefgh")
            #expect(response.trailers == ["X-Sum: 42", "X-More: m"])
            let (head, body, trailers) = try #require(seen.value)
            #expect(head["Transfer-Encoding"] == ["chunked"])
            #expect(head["Content-Length"] == [])
            #expect(head["Trailer"] == ["X-Check"])
            #expect(body == "wikipedia")
            #expect(trailers == ["X-Check: ok"])
        }
    }

    @Test("a chunk reaches the client when it is written, not at the end")
    func chunkByChunk() async throws {
        let goOn = Box<Bool>()
        try await withStack { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n")
            try await eventually("the client has the first chunk") { goOn.value == true }
            try await backend.send("7\r\nsecond\n\r\n0\r\n\r\n")
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("GET /events HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await client.head()
            let first = [try await client.line(), try await client.line()]
            #expect(first == ["6", "first"])
            goOn.set(true)
            let rest = [try await client.line(), try await client.line(), try await client.line()]
            #expect(rest == ["", "7", "second"])
            client.close()
        }
    }

    @Test("an upload keeps its Content-Length")
    func contentLength() async throws {
        let seen = Box<(RawHead, String)>()
        try await withStack { backend in
            let head = try await backend.head()
            let (body, _, _) = try await backend.body(of: head)
            seen.set((head, String(buffer: body)))
            try await backend.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        } _: { stack in
            let response = try await stack.request("PUT", "/", fields: ["Content-Length: 11"], body: "hello world")
            #expect(response.status == 201)
            let (head, body) = try #require(seen.value)
            #expect(head["Content-Length"] == ["11"])
            #expect(head["Transfer-Encoding"] == [])
            #expect(body == "hello world")
        }
    }

    @Test("a request without a body is sent without one, and an empty one keeps its zero")
    func noBody() async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            while true { try await backend.answer(noting: seen) }
        } _: { stack in
            _ = try await stack.request("DELETE", "/")
            #expect(seen.value?["Content-Length"] == [])
            #expect(seen.value?["Transfer-Encoding"] == [])
            _ = try await stack.request("POST", "/", fields: ["Content-Length: 0"])
            #expect(seen.value?["Content-Length"] == ["0"])
        }
    }
}
