import NIOCore
import NIOHTTP1
import Testing
import TunnelProtocol

@Suite("Frames from a peer that is not to be trusted")
struct FrameDecodingTests {
    static let everyKind: [Frame] = [
        .headers(
            StreamID(1),
            .request(
                RequestHead(
                    method: "POST", authority: "my-app.example.com", target: "/a?b", upgrade: "websocket",
                    window: 1, fields: ["Accept": "*/*", "X": ""])), endStream: false),
        .headers(StreamID(1), .response(ResponseHead(status: 204, fields: ["ETag": "\"1\""])), endStream: true),
        .headers(StreamID(1), .trailers(["grpc-status": "0"]), endStream: true),
        .data(StreamID(1), text("some bytes"), endStream: true),
        .window(StreamID(1), increment: 70_000),
        .reset(StreamID(1), .idleTimeout, detail: "waited too long"),
        .goAway(lastStreamID: StreamID(1), detail: "shutting down"),
    ]

    @Test("A message that ends at any byte inside a frame is truncated", arguments: everyKind)
    func truncatedMessage(_ frame: Frame) {
        let whole = encoded([frame])
        for length in 1..<whole.readableBytes {
            #expect(violation(in: whole.getSlice(at: 0, length: length) ?? whole) == .truncated, "\(length) bytes")
        }
    }

    @Test(
        "A frame whose payload is cut at any byte is a typed violation or a shorter frame, never a crash",
        arguments: everyKind)
    func truncatedPayload(_ frame: Frame) throws {
        let whole = encoded([frame])
        for length in 0..<whole.readableBytes - 9 {
            var cut = whole.getSlice(at: 0, length: 9 + length) ?? whole
            let type: UInt8 = try #require(cut.getInteger(at: 3))
            cut.setInteger(UInt32(length) << 8 | UInt32(type), at: 0)
            switch frame {
            case .headers, .window: #expect(violation(in: cut) == .truncated, "\(length) bytes")
            case .data: #expect(violation(in: cut) == nil)
            case .reset, .goAway: #expect(violation(in: cut) == (length < 4 ? .truncated : nil), "\(length) bytes")
            }
        }
    }

    @Test("Bytes behind a frame's fields are malformed", arguments: everyKind)
    func trailingBytes(_ frame: Frame) throws {
        var long = encoded([frame])
        let type: UInt8 = try #require(long.getInteger(at: 3))
        long.writeInteger(UInt8(0))
        long.setInteger(UInt32(long.readableBytes - 9) << 8 | UInt32(type), at: 0)
        switch frame {
        case .headers, .window: #expect(violation(in: long) == .malformedFrame)
        case .data, .reset, .goAway: #expect(violation(in: long) == nil)
        }
    }

    @Test("Frames of unknown types are passed over", arguments: [UInt8(5), 17, 255])
    func unknownTypes(_ type: UInt8) throws {
        var message = encoded([.window(StreamID(1), increment: 1)])
        message.writeMultipleIntegers(UInt32(3) << 8 | UInt32(type), UInt8(0xFF), UInt32(7))
        message.writeString("abc")
        message.writeImmutableBuffer(encoded([.window(StreamID(2), increment: 2)]))
        #expect(
            try frames(in: message) == [.window(StreamID(1), increment: 1), .window(StreamID(2), increment: 2)])
    }

    @Test("An unknown frame must still fit its message")
    func unknownTruncated() throws {
        #expect(violation(in: try bytes(hex: "00 00 05 ff 00 00 00 00 01 61")) == .truncated)
    }

    @Test("Unknown flags and the stream number of GOAWAY are ignored")
    func unknownFlags() throws {
        #expect(
            try frames(in: bytes(hex: "00 00 01 00 fe 00 00 00 01 61"))
                == [.data(StreamID(1), text("a"), endStream: false)])
        #expect(
            try frames(in: bytes(hex: "00 00 04 04 01 00 00 00 09 00 00 00 02"))
                == [.goAway(lastStreamID: StreamID(2), detail: "")])
    }

    @Test("Payloads beyond their limit are too large, those at the limit are not")
    func oversize() {
        let limit = FrameLimits.maxDataSize
        #expect(violation(in: encoded([.data(StreamID(1), filler(limit), endStream: false)])) == nil)
        #expect(violation(in: encoded([.data(StreamID(1), filler(limit + 1), endStream: false)])) == .tooLarge)

        func raw(_ type: UInt8, _ payload: ByteBuffer) -> ByteBuffer {
            var message = ByteBuffer()
            message.writeMultipleIntegers(UInt32(payload.readableBytes) << 8 | UInt32(type), UInt8(0), UInt32(1))
            message.writeImmutableBuffer(payload)
            return message
        }
        #expect(violation(in: raw(1, filler(FrameLimits.maxHeaderBlockSize + 1))) == .tooLarge)
        #expect(violation(in: raw(1, filler(FrameLimits.maxHeaderBlockSize))) == .malformedFrame)
        #expect(violation(in: raw(3, filler(4 + FrameLimits.maxDetailSize + 1))) == .tooLarge)
        #expect(violation(in: raw(3, filler(4 + FrameLimits.maxDetailSize))) == nil)
        #expect(violation(in: raw(4, filler(4 + FrameLimits.maxDetailSize + 1))) == .tooLarge)
    }

    @Test("A false count of fields is truncated and reserves nothing")
    func falseCount() throws {
        #expect(violation(in: try bytes(hex: "00 00 05 01 00 00 00 00 01 02 00 c8 ff ff")) == .truncated)
        #expect(violation(in: try bytes(hex: "00 00 03 01 01 00 00 00 01 03 ff ff")) == .truncated)
    }

    static let malformed: [HeaderBlock] = [
        .request(RequestHead(method: "", authority: "a", target: "/", fields: [:])),
        .request(RequestHead(method: "G T", authority: "a", target: "/", fields: [:])),
        .request(RequestHead(method: "GET\r\n", authority: "a", target: "/", fields: [:])),
        .request(RequestHead(method: "GET", authority: "a", target: "", fields: [:])),
        .request(RequestHead(method: "GET", authority: "a", target: "/ HTTP/1.1\r\nX: y", fields: [:])),
        .request(RequestHead(method: "GET", authority: "a b", target: "/", fields: [:])),
        .request(RequestHead(method: "GET", authority: "a\u{7F}", target: "/", fields: [:])),
        .request(RequestHead(method: "GET", authority: "a", target: "/", upgrade: "x\r\ny", fields: [:])),
        .response(ResponseHead(status: 0, fields: [:])),
        .response(ResponseHead(status: 99, fields: [:])),
        .response(ResponseHead(status: 1000, fields: [:])),
        .response(ResponseHead(status: 200, fields: ["": "x"])),
        .response(ResponseHead(status: 200, fields: ["a:b": "x"])),
        .response(ResponseHead(status: 200, fields: ["ä": "x"])),
        .response(ResponseHead(status: 200, fields: ["a": "x\ny"])),
        .response(ResponseHead(status: 200, fields: ["a": "x\u{0}"])),
        .trailers(["a": "x\ry"]),
    ]

    @Test("What is not allowed in HTTP is malformed", arguments: malformed)
    func fieldSyntax(_ block: HeaderBlock) {
        #expect(violation(in: encoded([.headers(StreamID(1), block, endStream: false)])) == .malformedFrame)
    }

    @Test("HEADERS of an unknown kind are malformed")
    func unknownKind() throws {
        #expect(violation(in: try bytes(hex: "00 00 03 01 00 00 00 00 01 04 00 00")) == .malformedFrame)
    }

    @Test("A few bytes do not keep the message they came in alive")
    func smallData() throws {
        var message = encoded([.data(StreamID(1), text("a"), endStream: false)])
        message.writeMultipleIntegers(UInt32(200_000) << 8 | 0xFF, UInt8(0), UInt32(0))
        message.writeImmutableBuffer(filler(200_000))
        guard case .data(_, let bytes, _) = try frames(in: message).first else {
            Issue.record("no data")
            return
        }
        #expect(bytes == text("a"))
        #expect(bytes.storageCapacity < 1024)
    }

    @Test("Random bytes never do more than violate")
    func noise() {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<2000 {
            var message = ByteBuffer()
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let length = Int.random(in: 0...40, using: &random)
                let type = UInt32.random(in: 0...6, using: &random)
                message.writeMultipleIntegers(
                    UInt32(length) << 8 | type, UInt8.random(in: 0...1, using: &random), UInt32(1))
                for _ in 0..<length { message.writeInteger(UInt8.random(in: 0...8, using: &random)) }
            }
            if let code = violation(in: message) {
                #expect([.truncated, .malformedFrame, .tooLarge].contains(code))
            }
        }
    }

    @Test("Field syntax follows RFC 9110")
    func syntax() {
        #expect(FieldSyntax.isName("!#$%&'*+-.^_`|~09azAZ"))
        for bad in ["", " ", "a b", "a:", "a\t", "(", "é", "a\u{7F}", "@", "[", "{", "\"", "/", ","] {
            #expect(!FieldSyntax.isName(bad), "\(bad)")
        }
        #expect(FieldSyntax.isValue(""))
        #expect(FieldSyntax.isValue("a b\tc é"))
        for bad in ["\n", "\r", "\u{0}", "\u{7F}", "\u{1B}"] { #expect(!FieldSyntax.isValue(bad)) }
        #expect(FieldSyntax.isTarget("/a?b=%20&é"))
        for bad in ["/a b", "/a\n", "/\u{7F}", "/\t"] { #expect(!FieldSyntax.isTarget(bad)) }
    }
}
