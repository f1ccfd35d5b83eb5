import ClusterAgent
import NIOCore
import TestSupport
import Testing

/// Frames as bytes, also such that no codec would make (RFC 9113 §4.1).
private func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8] = []) -> [UInt8] {
    let length = payload.count
    return [UInt8(length >> 16 & 0xFF), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF), type, flags]
        + (0..<4).map { UInt8(stream >> (24 - 8 * $0) & 0xFF) } + payload
}

private let settings = frame(4, 0, 0)
/// A field without index and Huffman.
private func field(_ name: String, _ value: String) -> [UInt8] {
    [0, UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8
}
private let ok: [UInt8] = [0x88]

@Suite("A hostile backend that speaks HTTP/2", .timeLimit(.minutes(2)))
struct HostileHTTP2BackendTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var answer: [UInt8]
        var code = "backend_invalid"
    }

    static let cases: [Case] = [
        Case(testDescription: "HTTP/1.1", answer: Array("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".utf8)),
        Case(
            testDescription: "a head that does not decompress", answer: settings + frame(1, 5, 1, [0xFF, 0xFF, 0xFF])),
        Case(testDescription: "a head without a status", answer: settings + frame(1, 5, 1, field("a", "b"))),
        Case(testDescription: "a status of letters", answer: settings + frame(1, 5, 1, field(":status", "abc"))),
        Case(testDescription: "a status of two digits", answer: settings + frame(1, 5, 1, field(":status", "99"))),
        Case(testDescription: "a name in upper case", answer: settings + frame(1, 5, 1, ok + field("X-A", "b"))),
        Case(testDescription: "a name with a colon", answer: settings + frame(1, 5, 1, ok + field("a:b", "b"))),
        Case(
            testDescription: "a value with a line break",
            answer: settings + frame(1, 5, 1, ok + field("a", "b\r\nc: d"))),
        Case(
            testDescription: "a value with a control byte", answer: settings + frame(1, 5, 1, ok + field("a", "b\u{1}"))
        ),
        Case(testDescription: "Connection", answer: settings + frame(1, 5, 1, ok + field("connection", "close"))),
        Case(
            testDescription: "Transfer-Encoding",
            answer: settings + frame(1, 5, 1, ok + field("transfer-encoding", "chunked"))),
        Case(testDescription: "a switch of protocols", answer: settings + frame(1, 4, 1, field(":status", "101"))),
        Case(testDescription: "an informational end", answer: settings + frame(1, 5, 1, field(":status", "103"))),
        Case(
            testDescription: "a body that is missing",
            answer: settings + frame(1, 5, 1, ok + field("content-length", "5"))),
        Case(
            testDescription: "two lengths",
            answer: settings + frame(1, 4, 1, ok + field("content-length", "5") + field("content-length", "6"))),
        Case(testDescription: "a body before its head", answer: settings + frame(0, 1, 1, [1, 2, 3])),
        Case(testDescription: "DATA of no stream", answer: settings + frame(0, 0, 0, [1])),
        Case(testDescription: "a stream that the backend opens", answer: settings + frame(1, 5, 2, ok)),
        Case(testDescription: "a promise", answer: settings + frame(5, 4, 1, [0, 0, 0, 2] + ok)),
        Case(testDescription: "padding longer than the frame", answer: settings + frame(0, 8, 1, [200, 1])),
        Case(testDescription: "a frame larger than allowed", answer: settings + [0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 1]),
        Case(testDescription: "a window of nothing", answer: settings + frame(8, 0, 0, [0, 0, 0, 0])),
        Case(testDescription: "settings out of range", answer: frame(4, 0, 0, [0, 4, 0xFF, 0xFF, 0xFF, 0xFF])),
        Case(testDescription: "no settings", answer: frame(6, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0])),
        Case(testDescription: "a continuation of nothing", answer: settings + frame(9, 4, 1, ok)),
        Case(
            testDescription: "a head that never ends",
            answer: settings + frame(1, 0, 1, ok) + (0..<200).flatMap { _ in frame(9, 0, 1, field("a", "b")) }),
        Case(
            testDescription: "a head of far too many fields",
            answer: settings + frame(1, 0, 1, ok)
                + (0..<4).flatMap { _ in
                    frame(9, 0, 1, (0..<80).flatMap { _ in field("a", String(repeating: "v", count: 120)) })
                } + frame(9, 4, 1, (0..<110).flatMap { _ in field("b", String(repeating: "v", count: 120)) })
                + frame(1, 5, 1, ok)),
        // One field in the table, named again and again: a kilobyte that becomes megabytes.
        Case(
            testDescription: "a bomb of HPACK",
            answer: settings
                + frame(
                    1, 5, 1,
                    ok + [0x40, 1] + "a".utf8 + [0x7F, 0x81, 0x1E] + [UInt8](repeating: 0x62, count: 4000)
                        + [UInt8](repeating: 0xBE, count: 4000))),
        Case(
            testDescription: "informational heads without end",
            answer: settings + (0..<5000).flatMap { _ in frame(1, 4, 1, field(":status", "103")) }),
        Case(
            testDescription: "empty DATA without end",
            answer: settings + frame(1, 4, 1, ok) + (0..<5000).flatMap { _ in frame(0, 0, 1) }, code: ""),
        Case(
            testDescription: "PINGs without end",
            answer: settings + (0..<5000).flatMap { _ in frame(6, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0]) }),
        Case(testDescription: "SETTINGS without end", answer: settings + (0..<5000).flatMap { _ in settings }),
        Case(testDescription: "the end of the connection", answer: settings, code: "backend_closed"),
        Case(
            testDescription: "GOAWAY at once", answer: settings + frame(7, 0, 0, [0, 0, 0, 0, 0, 0, 0, 2]),
            code: "overloaded"),
        Case(testDescription: "no streams at all", answer: frame(4, 0, 0, [0, 3, 0, 0, 0, 0]), code: "overloaded"),
    ]

    @Test("is a failure of this request, and nothing worse", .serialized, arguments: cases)
    func hostile(hostile: Case) async throws {
        var options = StackOptions()
        options.transport = BackendTransport(usesHTTP2: true)
        try await withStack(options) { backend in
            _ = try await backend.bytes(24)
            if hostile.answer.starts(with: settings) {
                try await backend.send(ByteBuffer(bytes: settings))
                // The request follows SETTINGS.
                while try await Self.frameType(backend) != 1 {}
                try await backend.send(ByteBuffer(bytes: hostile.answer.dropFirst(settings.count)))
            } else {
                try await backend.send(ByteBuffer(bytes: hostile.answer))
            }
            if hostile.code != "backend_closed" { try await backend.waitForEnd() }
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n")
            let text = String(buffer: try await within(.seconds(15)) { try await Self.answer(of: client) })
            if hostile.code.isEmpty {
                #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
                #expect(!text.contains("\r\n0\r\n\r\n"))
            } else {
                #expect(text.contains("\"code\":\"\(hostile.code)\""), "\(text)")
            }
            // The tunnel lives.
            let other = try await stack.request(host: "other.test")
            #expect(other.status == 404)
        }
    }

    private static func frameType(_ connection: RawConnection) async throws -> UInt8 {
        let head = Array(try await connection.bytes(9).readableBytesView)
        _ = try await connection.bytes(Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2]))
        return head[3]
    }

    /// A failure is answered with its length, and a broken answer ends with the connection.
    private static func answer(of client: RawConnection) async throws -> ByteBuffer {
        var all = ByteBuffer()
        while let bytes = try await client.some() {
            all.writeImmutableBuffer(bytes)
            if String(buffer: all).hasSuffix("\"}\n") { break }
        }
        return all
    }
}
