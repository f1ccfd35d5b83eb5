import NIOHPACK
import Testing
import TunnelProtocol

@testable import HTTPExchange

@Suite("Requests of HTTP/2")
struct HTTP2RequestReaderTests {
    private static func block(
        method: String = "GET", scheme: String = "https", path: String = "/", authority: String? = "app.test",
        _ fields: [(String, String)] = []
    ) -> HPACKHeaders {
        let named = authority.map { [(":authority", $0)] } ?? []
        return HPACKHeaders([(":method", method), (":scheme", scheme), (":path", path)] + named + fields)
    }

    private static func read(_ block: HPACKHeaders, endStream: Bool = true) throws(HTTP1Error) -> HTTP2Request {
        var reader = HTTP2RequestReader()
        return try reader.received(head: block, endStream: endStream)
    }

    @Test("a head becomes one of HTTP/1.1, with Host first and cookies put together")
    func head() throws {
        let request = try Self.read(
            Self.block(
                method: "PATCH", path: "/a%2F?b",
                [
                    ("x-one", "1"), ("cookie", "a=1"), ("x-two", "2"), ("cookie", "b=2"), ("x-one", "3"),
                    ("cookie", "c=3"),
                ]))
        #expect(
            request
                == HTTP2Request(
                    request: HTTP1Request(
                        method: "PATCH", target: "/a%2F?b",
                        fields: [
                            "host": "app.test", "x-one": "1", "x-two": "2", "x-one": "3", "cookie": "a=1; b=2; c=3",
                        ])))
    }

    @Test("Host stands for :authority where that is missing, and may say the same")
    func host() throws {
        let alone = try Self.read(Self.block(authority: nil, [("x-a", "b"), ("host", "app.test")]))
        #expect(alone.request.fields == ["x-a": "b", "host": "app.test"])
        let both = try Self.read(Self.block([("x-a", "b"), ("host", "APP.test"), ("host", "app.test")]))
        #expect(both.request.fields == ["host": "app.test", "x-a": "b"])
        #expect(throws: HTTP1Error.malformed("its Host is not its :authority")) {
            try Self.read(Self.block([("host", "other.test")]))
        }
    }

    @Test(
        "what the codec lets through and HTTP does not allow is refused",
        arguments: [
            (block(method: "GE T"), "its method is not a token"),
            (block(scheme: "ftp"), "its scheme is neither http nor https"),
            (block(path: "http://other.test/"), "its path does not begin with a slash"),
            (block(path: "*"), "its path does not begin with a slash"),
            (block(path: "/a b"), "its path has a space or a control character, or is not UTF-8"),
            (block(path: "/\u{FFFD}"), "its path has a space or a control character, or is not UTF-8"),
            (block([("x-a", "b\u{1}c")]), "a field's value has a control character"),
            (block([("x-a", " b")]), "a field's value begins or ends with white space"),
            (block([("cookie", "b ")]), "a field's value begins or ends with white space"),
            (block([("content-length", "5")]), "the body announced is missing"),
            (block([("content-length", "+0")]), "its Content-Length is not one number"),
            (block([("content-length", "0"), ("content-length", "0")]), "its Content-Length is not one number"),
            (
                HPACKHeaders([(":method", "CONNECT"), (":authority", "app.test")]),
                "a tunnel to a host is not to be had here"
            ),
            (block(method: "GET", [(":protocol", "websocket")]), "only CONNECT may ask for another protocol"),
        ])
    func malformed(block: HPACKHeaders, problem: String) {
        #expect(throws: HTTP1Error.malformed(problem)) { try Self.read(block) }
    }

    @Test("limits are those of HTTP/1.1")
    func limits() throws {
        var limits = HTTP1Limits()
        limits.startLine = 10
        limits.head = 100
        limits.fieldCount = 6
        func read(_ block: HPACKHeaders) throws(HTTP1Error) {
            var reader = HTTP2RequestReader(limits: limits)
            _ = try reader.received(head: block, endStream: true)
        }
        try read(Self.block(path: "/345678910", [("x-a", "b"), ("x-c", "d")]))
        #expect(throws: HTTP1Error.targetTooLong) { try read(Self.block(path: "/3456789101")) }
        #expect(throws: HTTP1Error.fieldsTooLarge) {
            try read(Self.block([("x-a", String(repeating: "b", count: 60))]))
        }
        #expect(throws: HTTP1Error.fieldsTooLarge) { try read(Self.block([("x", ""), ("x", ""), ("x", "")])) }
    }

    @Test("a body is as long as announced, and trailers end it")
    func body() throws {
        var reader = HTTP2RequestReader()
        _ = try reader.received(head: Self.block([("content-length", "5")]), endStream: false)
        #expect(reader.announcedLength == 5)
        try reader.received(3, endStream: false)
        let short = reader
        #expect(throws: HTTP1Error.malformed("the body is not as long as announced")) {
            var reader = short
            try reader.received(3, endStream: false)
        }
        #expect(throws: HTTP1Error.malformed("the body is not as long as announced")) {
            var reader = short
            try reader.received(1, endStream: true)
        }
        #expect(throws: HTTP1Error.malformed("the body is not as long as announced")) {
            var reader = short
            _ = try reader.received(trailers: ["x-a": "b"])
        }
        try reader.received(2, endStream: false)
        #expect(try reader.received(trailers: ["x-a": "b"]) == ["x-a": "b"])
        #expect(throws: HTTP1Error.malformed("there is something behind its end")) {
            try reader.received(0, endStream: true)
        }
        var open = HTTP2RequestReader()
        _ = try open.received(head: Self.block(), endStream: false)
        #expect(open.announcedLength == nil)
        try open.received(1 << 30, endStream: false)
        try open.received(0, endStream: true)
    }

    @Test("the extended CONNECT names its protocol, and what follows is of any length")
    func extendedConnect() throws {
        var reader = HTTP2RequestReader()
        let request = try reader.received(
            head: Self.block(method: "CONNECT", [(":protocol", "websocket"), ("content-length", "5")]), endStream: false
        )
        #expect(request.connectProtocol == "websocket")
        #expect(request.request.method == "CONNECT")
        try reader.received(1000, endStream: false)
        try reader.received(0, endStream: true)
    }
}
