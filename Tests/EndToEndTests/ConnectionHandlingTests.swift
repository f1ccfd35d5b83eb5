import EdgeGateway
import HTTPExchange
import NIOCore
import TestSupport
import Testing
import TunnelProtocol

@Suite("Public connections", .timeLimit(.minutes(1)))
struct ConnectionHandlingTests {
    private func status(_ answer: String) -> Int { Int(answer.split(separator: " ").dropFirst().first ?? "") ?? 0 }

    /// Sends bytes on a connection of their own and returns all that comes until it is closed.
    private func raw(_ stack: Stack, _ text: String) async throws -> String {
        let client = try await stack.connect()
        try await client.send(text)
        return String(buffer: try await client.rest())
    }

    @Test("an HTTP/1.0 client gets a body that the connection's end ends, and no chunks")
    func http10() async throws {
        try await withStack { backend in
            let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
            try await backend.answerAll(answer)
        } _: { stack in
            let answer = try await raw(stack, "GET / HTTP/1.0\r\nHost: app.test\r\n\r\n")
            #expect(answer == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcdefg")
            // Even if it asks to keep the connection: only its end can end this body.
            let kept = try await raw(stack, "GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n")
            #expect(kept == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcdefg")
        }
    }

    @Test("an HTTP/1.0 client that keeps its connection gets the next answer on it, and no 1xx")
    func http10KeepAlive() async throws {
        try await withStack { backend in
            let answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            try await backend.answerAll(answer)
        } _: { stack in
            let client = try await stack.connect()
            for _ in 0..<2 {
                try await client.send("GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n")
                let response = try await client.response()
                #expect(response.status == 200)
                #expect(response.text == "ok")
                #expect(response.head["Connection"] == ["keep-alive"])
            }
            client.close()
        }
    }

    @Test("a length where there is no body does not reach the client, which might wait for one")
    func lengthWithoutBody() async throws {
        try await withStack { backend in
            try await backend.answerAll(
                "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nX-A: b\r\n\r\n"
                    + "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nX-C: d\r\n\r\n")
        } _: { stack in
            let answer = try await raw(stack, "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
            #expect(
                answer == "HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n"
                    + "HTTP/1.1 204 No Content\r\nX-C: d\r\nConnection: close\r\n\r\n")
        }
    }

    @Test("HTTP/2 in place of HTTP/1.1 is not taken up: what is inside would pass the routes by")
    func h2cOffered() async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            try await backend.answer(noting: seen)
        } _: { stack in
            let client = try await stack.connect()
            for _ in 0..<2 {
                try await client.send(
                    "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                        + "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n")
                #expect(try await client.response().status == 200)
                #expect(seen.value?["Upgrade"] == [])
                #expect(seen.value?["HTTP2-Settings"] == [])
            }
            client.close()
        }
    }

    @Test("a client that reads none of its pipelined answers gets few of them made")
    func unreadPipeline() async throws {
        let asked = Counter()
        try await withStack { backend in
            // Less than a stream's first credit, so that no stream stalls for want of it.
            let body = String(repeating: "x", count: 50_000)
            while true {
                _ = try await backend.head()
                asked.add(1)
                try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            }
        } _: { stack in
            let client = try await RawConnection.connect(port: stack.frontPort, receiveBuffer: 64 * 1024)
            let total = 800
            try await client.send(
                String(repeating: "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n", count: total))
            // Socket buffers take a few megabytes; the answers are forty.
            try await eventually("the first answers are made") { asked.value > 0 }
            #expect(try await asked.standstill() < total / 4)
            for _ in 0..<total { #expect(try await client.response().status == 200) }
            client.close()
        }
    }

    @Test("one connection carries many requests, and so does one connection to the backend")
    func keepAlive() async throws {
        try await withStack { backend in
            try await backend.answerAll()
        } _: { stack in
            let client = try await stack.connect()
            for number in 0..<20 {
                try await client.send("GET /\(number) HTTP/1.1\r\nHost: app.test\r\n\r\n")
                let response = try await client.response()
                #expect(response.text == "ok")
                #expect(response.head["Connection"] == [])
            }
            #expect(stack.backend.connections.count == 1)
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
            let last = try await client.response()
            #expect(last.head["Connection"] == ["close"])
            try await client.waitForEnd()
        }
    }

    @Test("pipelined requests are answered in their order")
    func pipelined() async throws {
        try await withStack { backend in
            while true {
                let head = try await backend.head()
                // The first takes longest.
                if head.target == "/0" { try await Task.sleep(for: .milliseconds(50)) }
                try await backend.send(
                    "HTTP/1.1 200 OK\r\nContent-Length: \(head.target.utf8.count)\r\n\r\n\(head.target)")
            }
        } _: { stack in
            let client = try await stack.connect()
            let requests = (0..<10).map { "GET /\($0) HTTP/1.1\r\nHost: app.test\r\n\r\n" }.joined()
            try await client.send(requests + "GET /none HTTP/1.1\r\nHost: other.test\r\n\r\n")
            for number in 0..<10 {
                let response = try await client.response()
                #expect(response.text == "/\(number)")
            }
            let missing = try await client.response()
            #expect(missing.status == 404)
            client.close()
        }
    }

    @Test("an absolute-form target is routed by its own host")
    func absoluteForm() async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            try await backend.answer(noting: seen)
        } _: { stack in
            let response = try await stack.request("GET", "http://app.test/x?y", host: "other.test")
            #expect(response.status == 200)
            #expect(seen.value?.startLine == "GET /x?y HTTP/1.1")
            #expect(seen.value?["Host"] == ["app.test"])
        }
    }

    @Test("OPTIONS * is asked of the application that serves the root")
    func asterisk() async throws {
        let seen = Box<RawHead>()
        try await withStack { backend in
            try await backend.answer(noting: seen)
        } _: { stack in
            let response = try await stack.request("OPTIONS", "*")
            #expect(response.status == 200)
            #expect(seen.value?.startLine == "OPTIONS * HTTP/1.1")
        }
    }

    @Test(
        "a request that cannot be understood is answered with 400 and never forwarded",
        arguments: [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: app.test\r\nHost: app.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5x\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: app.test\r\nX-A : 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: app.test\r\nX-A: 1\r\n folded\r\n\r\n",
            "not http at all\r\n\r\n",
        ])
    func badRequest(request: String) async throws {
        try await withStack { backend in
            try await backend.answerAll()
        } _: { stack in
            let client = try await stack.connect()
            try await client.send(request)
            let head = try await client.head()
            #expect(head.status == 400, "\(head)")
            #expect(head["Connection"] == ["close"])
            // Ends with the connection: what else the client sent is not read as a request.
            _ = try await client.rest()
            #expect(stack.backend.connections.isEmpty)
        }
    }

    @Test("a chunked body that is not chunked breaks the exchange off, and the application does not see it as whole")
    func badChunk() async throws {
        let seen = Box<String>()
        try await withStack { backend in
            try await backend.takeRequest(noting: seen)
        } _: { stack in
            let client = try await stack.connect()
            try await client.send(
                "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            try await eventually("the application is at work") { seen.value == "started" }
            try await client.send("zz\r\n")
            let head = try await client.head()
            #expect(head.status == 400)
            try await eventually("the application's request broke off") { seen.value == "broken off" }
            client.close()
        }
    }

    @Test("an unknown host and an unknown path are 404, each by its name, in JSON")
    func notFound() async throws {
        var options = StackOptions()
        options.routes = [("app.test", "/api")]
        try await withStack(options) { _ in
        } _: { stack in
            let noHost = try await stack.request("GET", "/a", host: "nobody.test")
            #expect(noHost.status == 404)
            #expect(noHost.text.contains(#""code":"no_such_host""#))
            #expect(noHost.head["Content-Type"] == ["application/problem+json"])
            let noPath = try await stack.request("GET", "/b")
            #expect(noPath.status == 404)
            #expect(noPath.text.contains(#""code":"no_such_path""#))
            let line = try await stack.accessLine("/b")
            #expect(line.fields["failure"] == "no_such_path")
            let head = try await stack.request("HEAD", "/c")
            #expect(head.status == 404)
        }
    }

    @Test("a route whose cluster has no tunnel is 503 with Retry-After, at once")
    func noTunnel() async throws {
        try await withStack { _ in
        } _: { stack in
            stack.stopAgent()
            try await eventually("the tunnel is gone") { stack.tunnels.all.isEmpty }
            let start = ContinuousClock.now
            let response = try await stack.request()
            #expect(response.status == 503)
            #expect(response.text.contains(#""code":"cluster_offline""#))
            #expect(response.head["Retry-After"].first.flatMap(Int.init) ?? 0 > 0)
            #expect(ContinuousClock.now - start < .seconds(5))
        }
    }

    @Test("an answer before the upload's end is passed on, and the connection is not used again")
    func earlyAnswer() async throws {
        try await withStack { backend in
            _ = try await backend.head()
            _ = try await backend.bytes(1000)
            try await backend.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nbig\n")
            try await backend.waitForEnd()
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000000\r\n\r\n")
            try await client.send(ByteBuffer(repeating: 1, count: 1000))
            let response = try await client.response()
            #expect(response.status == 413)
            #expect(response.text == "big\n")
            try await client.waitForEnd()
        }
    }

    @Test("a client that goes on uploading still reads the answer that refused it")
    func refusedUpload() async throws {
        try await withStack { _ in
        } _: { stack in
            let client = try await stack.connect()
            let size = 4 << 20
            try await client.send("POST / HTTP/1.1\r\nHost: nobody.test\r\nContent-Length: \(size)\r\n\r\n")
            // It does not look at the answer before it has sent everything, or was told to stop.
            try? await client.send(ByteBuffer(repeating: 1, count: size))
            let response = try await client.response()
            #expect(response.status == 404)
            client.close()
        }
    }

    @Test("fields that the operator or the route wants removed do not reach the application")
    func strippedFields() async throws {
        var options = StackOptions()
        options.forwarding = .init(strippedRequestFields: ["X-Auth-Token"])
        options.annotations = ["gateway.pipeops.io/strip-request-headers": "Authorization"]
        let seen = Box<RawHead>()
        try await withStack(options) { backend in
            try await backend.answer(noting: seen)
        } _: { stack in
            _ = try await stack.request(
                fields: ["X-Auth-Token: t", "Authorization: Bearer x", "Cookie: kept=1"])
            #expect(seen.value?["X-Auth-Token"] == [])
            #expect(seen.value?["Authorization"] == [])
            #expect(seen.value?["Cookie"] == ["kept=1"])
        }
    }
}
