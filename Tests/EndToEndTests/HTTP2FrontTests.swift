import HTTPExchange
import NIOCore
import NIOHPACK
import NIOHTTP2
import Telemetry
import TestSupport
import Testing

@Suite("HTTP/2 at the front door", .timeLimit(.minutes(1)))
struct HTTP2FrontTests {
    static var options: StackOptions {
        var options = StackOptions()
        options.h2c = true
        return options
    }

    private static func names(_ block: HPACKHeaders?) -> [String] { block?.map(\.name) ?? [] }

    @Test("a request reaches an application of HTTP/1.1 as it is, and the answer comes back")
    func roundTrip() async throws {
        let seen = Box<(RawHead, ByteBuffer)>()
        try await withStack(Self.options) { backend in
            let head = try await backend.head()
            seen.set((head, try await backend.body(of: head).0))
            try await backend.send(
                "HTTP/1.1 203 Whatever\r\nX-One: 1\r\nx-two: 2\r\nX-One: 3\r\nConnection: X-Hop\r\nX-Hop: no\r\n"
                    + "Keep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nthe\r\n7\r\n answer\r\n0\r\n\r\n"
            )
        } _: { stack in
            let client = try await stack.http2()
            let stream = try await client.request(
                "POST", "/a%2Fb/../c?b=2&a=1&b=1",
                [
                    ("x-first", "1"), ("cookie", "a=1"), ("x-second", "2"), ("x-first", "3"), ("cookie", "b=2"),
                    ("te", "trailers"), ("x-forwarded-for", "1.2.3.4"),
                ], end: false)
            try await stream.send("bo")
            try await stream.send("dy", end: true)
            let answer = try await stream.end()
            #expect(answer.hasEnded && answer.reset == nil)
            #expect(
                answer.head?.map { "\($0.name): \($0.value)" } == [":status: 203", "x-one: 1", "x-two: 2", "x-one: 3"])
            #expect(stream.text == "the answer")
            let (head, body) = try #require(seen.value)
            #expect(head.startLine == "POST /a%2Fb/../c?b=2&a=1&b=1 HTTP/1.1")
            #expect(head["Host"] == ["app.test"])
            #expect(head["x-first"] == ["1", "3"])
            #expect(head["Cookie"] == ["a=1; b=2"])
            #expect(head["TE"] == ["trailers"])
            #expect(head["X-Forwarded-For"] == ["127.0.0.1"])
            #expect(head["X-Forwarded-Proto"] == ["http"])
            #expect(head["X-Forwarded-Host"] == ["app.test"])
            #expect(String(buffer: body) == "body")
            let line = try await stack.accessLine("/a%2Fb/../c")
            #expect(line.fields["status"] == "203")
            #expect(line.fields["bytes_in"] == "4")
            #expect(line.fields["bytes_out"] == "10")
            client.close()
        }
    }

    @Test("trailers pass both ways, and informational heads; what has no body ends with its head")
    func trailersAndHeads() async throws {
        let seen = Box<[String]>()
        try await withStack(Self.options) { backend in
            while true {
                let head = try await backend.head()
                switch head.target {
                case "/trailers":
                    seen.set(try await backend.body(of: head).1)
                    try await backend.send(
                        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                            + "2\r\nok\r\n0\r\nGrpc-Status: 0\r\n\r\n")
                case "/head": try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                case "/none": try await backend.send("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n")
                default: try await backend.send("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 9\r\n\r\n")
                }
            }
        } _: { stack in
            let client = try await stack.http2()
            let stream = try await client.request("POST", "/trailers", end: false)
            try await stream.send("body")
            try await stream.trailers([("x-checksum", "1"), ("content-length", "4")])
            let answer = try await stream.end()
            #expect(answer.informational.map { $0.first(name: "link") } == ["</a>"])
            #expect(answer.trailers?.map { "\($0.name): \($0.value)" } == ["grpc-status: 0"])
            #expect(stream.text == "ok")
            #expect(seen.value == ["x-checksum: 1"])
            for (method, path, status, length) in [
                ("HEAD", "/head", 200, ["5"]), ("GET", "/none", 204, []), ("GET", "/unchanged", 304, ["9"]),
            ] {
                let stream = try await client.request(method, path)
                let answer = try await stream.end()
                #expect(stream.status == status)
                #expect(answer.hasEnded && answer.body.readableBytes == 0)
                #expect(answer.head?[canonicalForm: "content-length"].map { String($0) } == length)
            }
            client.close()
        }
    }

    @Test("two hundred requests of one connection all get their own answers", arguments: [false, true])
    func many(separateLoops: Bool) async throws {
        var options = Self.options
        options.separateLoops = separateLoops
        try await withStack(options) { backend in
            while true {
                let head = try await backend.head()
                let (body, _, _) = try await backend.body(of: head)
                let answer = head.target + String(buffer: body)
                try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: \(answer.utf8.count)\r\n\r\n\(answer)")
            }
        } _: { stack in
            let client = try await stack.http2()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<20 {
                    group.addTask {
                        for number in 0..<10 {
                            let name = "/\(lane)-\(number)"
                            let stream = try await client.request("POST", name, end: false)
                            try await stream.send("+", end: true)
                            try await stream.end()
                            #expect(stream.text == name + "+")
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(client.isOpen && client.goAways.isEmpty)
            client.close()
        }
    }

    @Test("a client that resets a stream cancels what the application does for it, and nothing else")
    func cancelled() async throws {
        let ended = Counter()
        try await withStack(Self.options) { backend in
            let head = try await backend.head()
            guard head.target == "/long" else { return try await backend.answerAll(behind: head) }
            try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
            try await backend.waitForEnd()
            ended.add(1)
        } _: { stack in
            let client = try await stack.http2()
            let stream = try await client.request("GET", "/long")
            #expect(try await stream.body(5) == ByteBuffer(string: "begin"))
            let other = try await client.request("POST", "/other", end: false)
            try await stream.reset()
            let asked = ContinuousClock.now
            try await eventually("the application's connection is closed") { ended.value == 1 }
            #expect(ContinuousClock.now - asked < .seconds(4))
            #expect(try await stack.accessLine("/long").fields["failure"] == "client_closed")
            try await other.send("x", end: true)
            try await other.end()
            #expect(other.status == 200)
            client.close()
        }
    }

    @Test("an answer that comes before the request's end is whole, and the rest of the request is not wanted")
    func earlyAnswer() async throws {
        try await withStack(Self.options) { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            try await backend.waitForEnd()
        } _: { stack in
            let client = try await stack.http2()
            let stream = try await client.request("POST", "/upload", end: false)
            try await stream.send("begin")
            try await eventually("the stream is reset") { stream.state.reset != nil }
            #expect(stream.state.hasEnded)
            #expect(stream.status == 403)
            #expect(stream.text == "no")
            #expect(stream.state.reset == .noError)
            #expect(client.isOpen)
            client.close()
        }
    }

    @Test("failures are told as by HTTP/1.1: a problem document, a page, or the status of gRPC")
    func failures() async throws {
        try await withStack(Self.options) { _ in
        } _: { stack in
            let client = try await stack.http2()
            func ask(_ fields: [(String, String)], host: String = "nobody.test") async throws -> HTTP2ClientStream {
                let stream = try await client.open(
                    [(":method", "GET"), (":scheme", "http"), (":path", "/x"), (":authority", host)] + fields)
                try await stream.end()
                return stream
            }
            let problem = try await ask([])
            #expect(problem.status == 404)
            #expect(problem.text.contains("\"code\":\"no_such_host\""))
            #expect(problem.state.head?.first(name: "proxy-status")?.contains("destination_not_found") == true)
            #expect(try await ask([("accept", "text/html")]).text.hasPrefix("<!doctype html>"))
            let call = try await ask([("content-type", "application/grpc")])
            #expect(call.status == 200)
            #expect(call.state.head?.first(name: "grpc-status") == "12")
            #expect(call.state.hasEnded && call.state.body.readableBytes == 0)
            client.close()
        }
    }

    @Test("without the setting HTTP/2 in plain text is refused, with it HTTP/1.1 is served beside it")
    func setting() async throws {
        try await withStack { _ in
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            #expect(try await client.response().status == 505)
            client.close()
        }
        try await withStack(Self.options) { backend in
            try await backend.answerAll()
        } _: { stack in
            // The first bytes are also those of the preface.
            let client = try await stack.connect()
            try await client.send("P")
            try await client.send("RI / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            #expect(try await client.response().status == 200)
            func series(_ name: String, _ spoken: String) -> String {
                "gateway_\(name){protocol=\"\(spoken)\",scheme=\"http\"}"
            }
            let open = stack.metrics.exposition()
            #expect(open.contains(series("open_connections", "HTTP/1.1") + " 1\n"))
            #expect(open.contains(series("open_connections", "HTTP/2") + " 0\n"))
            client.close()
            try await eventually("it is closed") {
                stack.metrics.exposition().contains(series("open_connections", "HTTP/1.1") + " 0\n")
            }
            #expect(stack.metrics.exposition().contains(series("connections_total", "HTTP/1.1") + " 1\n"))
        }
    }

    @Test("an application that answers what HTTP/2 cannot carry is told of as 502, and what begins badly is broken off")
    func badAnswers() async throws {
        try await withStack(Self.options) { backend in
            while true {
                let head = try await backend.head()
                if head.target == "/large" {
                    let value = String(repeating: "~", count: 20_000)
                    try await backend.send("HTTP/1.1 200 OK\r\nX-Large: \(value)\r\nContent-Length: 0\r\n\r\n")
                } else {
                    try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
                    return
                }
            }
        } _: { stack in
            let client = try await stack.http2()
            let large = try await client.request("GET", "/large")
            try await large.end()
            #expect(large.status == 502)
            let short = try await client.request("GET", "/short")
            let state = try await short.end()
            #expect(short.status == 200)
            #expect(!state.hasEnded)
            #expect(state.reset == .internalError)
            #expect(client.isOpen)
            client.close()
        }
    }
}
