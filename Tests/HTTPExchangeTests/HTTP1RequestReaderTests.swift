import HTTPExchange
import NIOCore
import Testing
import TunnelProtocol

@Suite("Requests as they come on a connection (RFC 9112)")
struct HTTP1RequestReaderTests {
    /// The parts that a text is cut into, with the bytes of neighbouring body parts joined.
    private func read(_ text: String, step: Int = .max) throws -> [HTTP1RequestReader.Part] {
        var reader = HTTP1RequestReader()
        var parts: [HTTP1RequestReader.Part] = []
        var bytes = ByteBuffer(string: text)
        while let piece = bytes.readSlice(length: min(step, bytes.readableBytes)), piece.readableBytes > 0 {
            reader.append(piece)
            while let part = try reader.next() {
                if case .body(let more) = part, case .body(var before) = parts.last {
                    before.writeImmutableBuffer(more)
                    parts[parts.count - 1] = .body(before)
                } else {
                    parts.append(part)
                }
            }
        }
        return parts
    }

    @Test(
        "the same parts come out however the bytes are split",
        arguments: [
            "GET /a%2Fb?x=1&x=2 HTTP/1.1\r\nHost: a.test\r\nX-Empty:\r\nX-Padded: \t v \t\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\nhello worldGET /next HTTP/1.1\r\nHost: b\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: CHUNKED\r\n\r\n5;x=y\r\nhello\r\n0006 ;y\r\n world\r\n"
                + "0\r\nX-Sum: 1\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ])
    func dripFed(text: String) throws {
        let whole = try read(text)
        #expect(!whole.isEmpty)
        for step in 1...7 { #expect(try read(text, step: step) == whole) }
    }

    @Test("head, body and trailers are what was sent")
    func parts() throws {
        let parts = try read(
            "POST /p HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nX-Ö: ö\r\n\r\n".replacing("Ö", with: "O")
                + "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n")
        #expect(
            parts == [
                .head(
                    HTTP1Request(
                        method: "POST", target: "/p",
                        fields: ["Host": "a.test", "Transfer-Encoding": "chunked", "X-O": "ö"])),
                .body(ByteBuffer(string: "hello world")), .end(["X-Sum": "1"]),
            ])
    }

    @Test("a head and trailers have as many fields as they may, and no more")
    func fieldCount() throws {
        var limits = HTTP1Limits()
        limits.fieldCount = 3
        func parts(_ fields: Int, _ trailers: Int) throws -> Int {
            var reader = HTTP1RequestReader(limits: limits)
            let lines = (1..<fields).map { "A\($0): b\r\n" }.joined()
            let last = (0..<trailers).map { "T\($0): b\r\n" }.joined()
            reader.append(
                ByteBuffer(string: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\(lines)\r\n0\r\n\(last)\r\n"))
            var count = 0
            while try reader.next() != nil { count += 1 }
            return count
        }
        #expect(try parts(3, 3) == 2)
        #expect(throws: HTTP1Error.fieldsTooLarge) { try parts(4, 0) }
        #expect(throws: HTTP1Error.fieldsTooLarge) { try parts(3, 4) }
    }

    @Test("how long a body will be is known where the head says so")
    func announcedLength() throws {
        for (fields, length) in [("Content-Length: 11\r\n", 11), ("", 0), ("Transfer-Encoding: chunked\r\n", nil)] {
            var reader = HTTP1RequestReader()
            #expect(reader.announcedLength == nil)
            reader.append(ByteBuffer(string: "POST / HTTP/1.1\r\n\(fields)\r\n"))
            _ = try reader.next()
            #expect(reader.announcedLength == length)
        }
    }

    @Test("a target that is not UTF-8 is refused, one that is stays as it is")
    func targetEncoding() throws {
        #expect(throws: HTTP1Error.malformed("its target is not UTF-8")) {
            var reader = HTTP1RequestReader()
            reader.append(
                ByteBuffer(bytes: Array("GET /".utf8) + [0xE4] + Array(" HTTP/1.1\r\nHost: a\r\n\r\n".utf8)))
            _ = try reader.next()
        }
        #expect(
            try read("GET /ä HTTP/1.1\r\nHost: a\r\n\r\n").first
                == .head(HTTP1Request(method: "GET", target: "/ä", fields: ["Host": "a"])))
    }

    @Test("bytes of a value that are not UTF-8 stay as they are")
    func notUTF8() throws {
        var reader = HTTP1RequestReader()
        reader.append(ByteBuffer(bytes: Array("GET / HTTP/1.1\r\nX: ".utf8) + [0xE4, 0xFF] + Array("\r\n\r\n".utf8)))
        guard case .head(let head) = try reader.next() else {
            Issue.record("there is no head")
            return
        }
        var value: [UInt8] = []
        head.fields.forEachField { value = Array($0.value) }
        #expect(value == [0xE4, 0xFF])
    }

    @Test("no more is read than was asked for: what is sent ahead stays")
    func oneAtATime() throws {
        var reader = HTTP1RequestReader()
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        reader.append(ByteBuffer(string: request + request))
        _ = try reader.next()
        #expect(try reader.next() == .end(nil))
        #expect(reader.bufferedBytes == request.utf8.count)
    }

    @Test("behind an upgrade bytes are not looked at")
    func opaque() throws {
        var reader = HTTP1RequestReader()
        reader.append(ByteBuffer(string: "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET nonsense"))
        _ = try reader.next()
        _ = try reader.next()
        reader.becomeOpaque()
        #expect(try reader.next() == .opaque(ByteBuffer(string: "GET nonsense")))
        #expect(try reader.next() == nil)
    }

    @Test(
        "what two recipients could understand in two ways is refused",
        arguments: [
            "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\n\n", "GET / HTTP/1.1\rHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\n: a\r\n\r\n", "GET / HTTP/1.1\r\nHost\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\u{0}b\r\n\r\n", "GET / HTTP/1.1\r\nX: a\u{1B}b\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\u{7F}\r\n\r\n", "GET / HTTP/1.1\r\nX: 12345678\rabcdefgh\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1 \r\n\r\n", "GET / x HTTP/1.1\r\n\r\n", "GET /\r\n\r\n",
            "G@T / HTTP/1.1\r\n\r\n", "GET /\u{7F} HTTP/1.1\r\n\r\n", "GET / HTTPS/1.1\r\n\r\n",
            "GET / HTTP/1.x\r\n\r\n",
            "nonsense\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: \r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ])
    func ambiguous(text: String) {
        for step in [1, 5, .max] {
            do throws(any Error) {
                let parts = try read(text, step: step)
                Issue.record("\(parts)")
            } catch {
                guard case HTTP1Error.malformed = error else {
                    Issue.record("\(error)")
                    return
                }
            }
        }
    }

    @Test(
        "a chunked body that is not chunked is refused",
        arguments: [
            "zz\r\n", "\r\n", ";x\r\n", "5\r\nhelloX\r\n", "5\nhello\r\n", "-5\r\n", "0x5\r\n", "5 x\r\n",
            "1234567890123456\r\n", "5;a\u{0}\r\nhello\r\n", "0\r\nX : 1\r\n\r\n", "0\r\nX: 1\n\r\n",
            "5" + String(repeating: "x", count: 2000),
        ])
    func badChunks(body: String) {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        for step in [1, 3, .max] { #expect(throws: HTTP1Error.self) { try read(head + body, step: step) } }
    }

    @Test("what is too long is told from what is wrong, and is not kept")
    func limits() {
        let long = String(repeating: "a", count: 70_000)
        #expect(throws: HTTP1Error.targetTooLong) { try read("GET /\(long) HTTP/1.1\r\n\r\n") }
        #expect(throws: HTTP1Error.targetTooLong) { try read("GET /\(long)") }
        #expect(throws: HTTP1Error.fieldsTooLarge) { try read("GET / HTTP/1.1\r\nX: \(long)") }
        #expect(throws: HTTP1Error.versionNotSupported) { try read("GET / HTTP/2.0\r\n\r\n") }
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(throws: HTTP1Error.fieldsTooLarge) { try read(head + "0\r\nX: \(long)") }
    }

    @Test("after an error nothing is read")
    func afterError() throws {
        var reader = HTTP1RequestReader()
        reader.append(ByteBuffer(string: "nonsense\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        #expect(throws: HTTP1Error.self) { try reader.next() }
        #expect(try reader.next() == nil)
        #expect(reader.bufferedBytes == 0)
    }

    @Test(
        "a connection is kept as RFC 9112 §9.3 has it",
        arguments: [
            (HTTP1Version.http11, [:], true), (.http11, ["Connection": "close"], false),
            (.http11, ["Connection": "x, Close"], false), (.http10, [:], false),
            (.http10, ["Connection": "keep-alive"], true), (.http10, ["Connection": "keep-alive, close"], false),
        ] as [(HTTP1Version, HeaderFields, Bool)])
    func keepAlive(version: HTTP1Version, fields: HeaderFields, expected: Bool) {
        #expect(version.keepsAlive(fields) == expected)
    }
}
