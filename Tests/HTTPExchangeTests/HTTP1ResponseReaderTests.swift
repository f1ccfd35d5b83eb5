import HTTPExchange
import NIOCore
import Testing
import TunnelProtocol

@Suite("Responses as they come from a backend (RFC 9112)")
struct HTTP1ResponseReaderTests {
    /// The parts, with the bytes of neighbouring body parts joined, and whether the connection's end ends them well.
    private func read(
        _ text: String, method: String = "GET", step: Int = .max
    ) throws -> (parts: [HTTP1ResponseReader.Part], endsWithConnection: Bool) {
        var reader = HTTP1ResponseReader()
        reader.begin(method: method)
        var parts: [HTTP1ResponseReader.Part] = []
        var bytes = ByteBuffer(string: text)
        while let piece = bytes.readSlice(length: min(step, bytes.readableBytes)), piece.readableBytes > 0 {
            reader.append(piece)
            while let part = try reader.next() {
                switch (part, parts.last) {
                case (.body(let more), .body(var before)):
                    before.writeImmutableBuffer(more)
                    parts[parts.count - 1] = .body(before)
                case (.opaque(let more), .opaque(var before)):
                    before.writeImmutableBuffer(more)
                    parts[parts.count - 1] = .opaque(before)
                default: parts.append(part)
                }
            }
        }
        return (parts, reader.endsWithConnection)
    }

    private func head(_ status: UInt16, _ fields: HeaderFields = [:]) -> HTTP1ResponseReader.Part {
        .head(HTTP1Response(status: status, fields: fields))
    }

    @Test(
        "the same parts come out however the bytes are split",
        arguments: [
            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nuntil the end",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\u{1}\u{2}HTTP/1.1 200 OK\r\n\r\n",
        ])
    func dripFed(text: String) throws {
        let whole = try read(text)
        for step in 1...7 {
            let split = try read(text, step: step)
            #expect(split.parts == whole.parts)
            #expect(split.endsWithConnection == whole.endsWithConnection)
        }
    }

    @Test("a body is framed as RFC 9112 §6.3 has it")
    func framing() throws {
        #expect(
            try read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").parts
                == [head(200, ["Content-Length": "2"]), .body(ByteBuffer(string: "ok")), .end(nil)])
        #expect(
            try read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", method: "HEAD").parts
                == [head(200, ["Content-Length": "2"]), .end(nil)])
        #expect(try read("HTTP/1.1 204 No Content\r\n\r\n").parts == [head(204), .end(nil)])
        #expect(
            try read("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n").parts
                == [head(304, ["Content-Length": "9"]), .end(nil)])
        let open = try read("HTTP/1.0 200 OK\r\n\r\nabc")
        #expect(open.parts.last == .body(ByteBuffer(string: "abc")))
        #expect(open.endsWithConnection)
        #expect(try !read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").endsWithConnection)
        #expect(try !read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").endsWithConnection)
        #expect(try !read("HTTP/1.1 200 OK\r\n").endsWithConnection)
    }

    @Test(
        "what is no answer is refused",
        arguments: [
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "SSH-2.0-OpenSSH_9.6\r\n", "garbage garbage\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 099 X\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/3.0 200 OK\r\n\r\n",
            "HTTP/1.1 200 O\u{0}K\r\n\r\n", "HTTP/1.1 200 OK\nX: y\n\n", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: " + String(repeating: "x", count: 70_000),
        ])
    func refused(text: String) {
        for step in [1, 100, .max] where step > 1 || text.utf8.count < 1000 {
            #expect(throws: HTTP1Error.self) { try read(text, step: step) }
        }
    }

    @Test("bytes behind an answer are nobody's")
    func leftOver() throws {
        var reader = HTTP1ResponseReader()
        reader.begin(method: "GET")
        reader.append(ByteBuffer(string: "HTTP/1.1 204 X\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"))
        _ = try reader.next()
        #expect(try reader.next() == .end(nil))
        #expect(try reader.next() == nil)
        #expect(reader.bufferedBytes > 0)
    }
}
