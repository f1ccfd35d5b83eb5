import HTTPExchange
import NIOCore
import NIOHPACK
import TestSupport
import Testing
import TunnelProtocol

@Suite("Responses by HTTP/2")
struct HTTP2ResponseReaderTests {
    private func block(_ status: String, _ fields: (String, String)...) -> HPACKHeaders {
        HPACKHeaders([(":status", status)] + fields)
    }

    @Test("A response from its informational head to its trailers")
    func transcript() throws {
        var reader = HTTP2ResponseReader(method: "GET")
        #expect(
            try reader.received(block("103", ("link", "x")), endStream: false)
                == .head(HTTP1Response(status: 103, fields: ["link": "x"])))
        #expect(
            try reader.received(block("200", ("a", "1"), ("b", "2"), ("a", "3")), endStream: false)
                == .head(HTTP1Response(status: 200, fields: ["a": "1", "b": "2", "a": "3"])))
        #expect(reader.expectsBody)
        try reader.received(5, endStream: false)
        #expect(
            try reader.received(HPACKHeaders([("grpc-status", "0"), ("content-length", "9")]), endStream: true)
                == .end(["grpc-status": "0"]))
        #expect(reader.hasEnded)
    }

    @Test("A response that is only a head has no body", arguments: ["GET", "HEAD"])
    func headOnly(method: String) throws {
        var reader = HTTP2ResponseReader(method: method)
        let fields: [(String, String)] = method == "HEAD" ? [("content-length", "10")] : []
        _ = try reader.received(HPACKHeaders([(":status", "200")] + fields), endStream: true)
        #expect(!reader.expectsBody)
        #expect(reader.hasEnded)
    }

    @Test(
        "Bodies are as long as announced, or the response is refused",
        arguments: [(3, false, true), (5, true, true), (5, false, true), (6, false, false), (4, true, false)])
    func lengths(bytes: Int, ends: Bool, isGood: Bool) throws {
        var reader = HTTP2ResponseReader(method: "GET")
        _ = try reader.received(block("200", ("content-length", "5")), endStream: false)
        if isGood {
            try reader.received(bytes, endStream: ends)
        } else {
            #expect(throws: HTTP1Error.self) { try reader.received(bytes, endStream: ends) }
        }
    }

    @Test(
        "What is no response is refused",
        arguments: [
            HPACKHeaders([("a", "b")]), HPACKHeaders([(":status", "20")]), HPACKHeaders([(":status", "2x0")]),
            HPACKHeaders([(":status", "099")]), HPACKHeaders([(":status", "101")]),
            HPACKHeaders([(":status", "200"), ("a", "b\u{1}")]), HPACKHeaders([(":status", "200"), ("a b", "c")]),
            HPACKHeaders([(":status", "200"), ("content-length", "1, 1")]),
        ])
    func refused(block: HPACKHeaders) {
        var reader = HTTP2ResponseReader(method: "GET")
        #expect(throws: HTTP1Error.self) { try reader.received(block, endStream: false) }
    }

    @Test("Heads and bodies out of order are refused")
    func order() throws {
        var early = HTTP2ResponseReader(method: "GET")
        #expect(throws: HTTP1Error.self) { try early.received(1, endStream: false) }
        var twice = HTTP2ResponseReader(method: "GET")
        _ = try twice.received(block("200"), endStream: false)
        #expect(throws: HTTP1Error.self) { try twice.received(block("200"), endStream: false) }
        var ended = HTTP2ResponseReader(method: "GET")
        _ = try ended.received(block("200"), endStream: true)
        #expect(throws: HTTP1Error.self) { try ended.received(block("200"), endStream: true) }
        var informational = HTTP2ResponseReader(method: "GET")
        #expect(throws: HTTP1Error.self) { try informational.received(block("100"), endStream: true) }
    }

    @Test("Informational heads come to an end")
    func informationalHeads() throws {
        var reader = HTTP2ResponseReader(method: "GET")
        for _ in 0..<100 { _ = try reader.received(block("102"), endStream: false) }
        #expect(throws: HTTP1Error.self) { try reader.received(block("102"), endStream: false) }
    }
}

@Suite("Fields in HTTP/2")
struct HTTP2FieldsTests {
    @Test("A request's head: pseudo-header fields first, names in lower case, nothing hop-by-hop")
    func request() {
        let head = RequestHead(
            method: "POST", authority: "a.test", target: "/x%2F?y",
            fields: [
                "X-A": "1", "Connection": "X-B", "X-B": "2", "TE": "trailers, gzip", "Host": "evil", "Keep-Alive": "5",
                "Authorization": "secret", "x-a": "3",
            ])
        let block = HPACKHeaders(head, scheme: "https")
        #expect(
            block.map { "\($0.name): \($0.value)" } == [
                ":method: POST", ":scheme: https", ":path: /x%2F?y", ":authority: a.test", "x-a: 1",
                "authorization: secret", "x-a: 3", "te: trailers",
            ])
        let secret = block.first { $0.name == "authorization" }
        #expect(secret.map { "\($0.indexable)" } == "\(HPACKIndexing.neverIndexed)")
    }

    @Test("No block is longer than expected, whatever is in it", arguments: 0..<20)
    func mostEncodedBytes(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<50 {
            var block = HPACKHeaders()
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let highest = [0x7E, 0x7E, 0x7F, 0x7FF][Int.random(in: 0..<4, using: &random)]
                let value = (0..<Int.random(in: 0...300, using: &random)).map { _ in
                    Character(Unicode.Scalar(UInt32(Int.random(in: 0x01...highest, using: &random))) ?? "\\")
                }
                block.add(name: "x-\(Int.random(in: 0...5, using: &random))", value: String(value))
            }
            var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
            try encoder.beginEncoding(allocator: ByteBufferAllocator())
            try encoder.append(headers: block)
            let bytes = try encoder.endEncoding().readableBytes
            #expect(bytes <= block.mostEncodedBytes)
        }
    }
}
