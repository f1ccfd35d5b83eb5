import NIOCore
import Testing
import TunnelProtocol

@Suite("Frames on the wire")
struct FrameEncodingTests {
    /// Each frame with its bytes, written out by hand from the specification.
    static let golden: [(Frame, String)] = [
        (
            .headers(
                StreamID(1),
                .request(
                    RequestHead(
                        method: "GET", authority: "a.com", target: "/x?y=1", window: 65536,
                        fields: ["Accept": "*/*"])), endStream: true),
            """
            00 00 28 01 01 00 00 00 01
            01 00 01 00 00 03 47 45 54 00 00 05 61 2e 63 6f 6d 00 06 2f 78 3f 79 3d 31
            00 01 00 06 41 63 63 65 70 74 00 03 2a 2f 2a
            """
        ),
        (
            .headers(StreamID(1), .response(ResponseHead(status: 200, fields: [:])), endStream: false),
            "00 00 05 01 00 00 00 00 01 02 00 c8 00 00"
        ),
        (
            .headers(StreamID(1), .trailers(["a": ""]), endStream: true),
            "00 00 08 01 01 00 00 00 01 03 00 01 00 01 61 00 00"
        ),
        (.data(StreamID(0x0102_0304), text("hi"), endStream: false), "00 00 02 00 00 01 02 03 04 68 69"),
        (.data(StreamID(2), ByteBuffer(), endStream: true), "00 00 00 00 01 00 00 00 02"),
        (.window(StreamID(3), increment: 65536), "00 00 04 02 00 00 00 00 03 00 01 00 00"),
        (.reset(StreamID(4), .backendUnreachable, detail: "no"), "00 00 06 03 00 00 00 00 04 00 00 00 07 6e 6f"),
        (.goAway(lastStreamID: StreamID(9), detail: ""), "00 00 04 04 00 00 00 00 00 00 00 00 09"),
    ]

    @Test("A frame is encoded to exactly these bytes and read back from them", arguments: golden)
    func goldenBytes(frame: Frame, text: String) throws {
        let expected = try bytes(hex: text)
        #expect(hex(encoded([frame])) == hex(expected))
        #expect(try frames(in: expected) == [frame])
    }

    @Test("One message carries many frames, in order")
    func coalesced() throws {
        let all = Self.golden.map(\.0)
        #expect(try frames(in: encoded(all)) == all)
        #expect(try frames(in: ByteBuffer()) == [])
    }

    @Test("Fields keep their order, their spelling and their repetition")
    func fieldOrder() throws {
        let fields: HeaderFields = ["b": "1", "A": "2", "b": "3", "Set-Cookie": "x", "set-cookie": "y"]
        let frame = Frame.headers(StreamID(1), .response(ResponseHead(status: 200, fields: fields)), endStream: true)
        guard case .headers(_, .response(let head), _) = try frames(in: encoded([frame])).first else {
            Issue.record("no response")
            return
        }
        #expect(head.fields.map { "\($0): \($1)" } == fields.map { "\($0): \($1)" })
    }

    @Test("A detail is cut to its limit at a character boundary")
    func longDetail() throws {
        let long = String(repeating: "ä", count: 1000)
        guard
            case .reset(_, _, let detail) = try frames(in: encoded([.reset(StreamID(1), .cancelled, detail: long)]))
                .first
        else {
            Issue.record("no reset")
            return
        }
        #expect(detail == String(repeating: "ä", count: FrameLimits.maxDetailSize / 2))
        let odd = "a" + long
        guard
            case .goAway(_, let oddDetail) = try frames(in: encoded([.goAway(lastStreamID: StreamID(1), detail: odd)]))
                .first
        else {
            Issue.record("no goaway")
            return
        }
        #expect(oddDetail == "a" + String(repeating: "ä", count: FrameLimits.maxDetailSize / 2 - 1))
    }

    @Test("The path of a request is its target without the query")
    func path() {
        #expect(RequestHead(method: "GET", authority: "a", target: "/x?y?z", fields: [:]).path == "/x")
        #expect(RequestHead(method: "GET", authority: "a", target: "/x", fields: [:]).path == "/x")
    }

    /// Blocks that the other side would not take, so that sending them would end the tunnel.
    static let unsendable: [HeaderBlock] = {
        func request(_ change: (inout RequestHead) -> Void) -> HeaderBlock {
            var head = Heads.get
            change(&head)
            return .request(head)
        }
        return [
            request { $0.method = "" },
            request { $0.method = "GE T" },
            request { $0.method = String(repeating: "A", count: 256) },
            request { $0.target = "" },
            request { $0.target = "/a b" },
            request { $0.target = "/a\tb" },
            request { $0.target = "/" + String(repeating: "a", count: 0x8000) },
            request { $0.authority = "a.com:x y" },
            request { $0.authority = "a.com\r\nX: y" },
            request { $0.upgrade = "a\nb" },
            request { $0.upgrade = String(repeating: "a", count: 256) },
            request { $0.fields = ["a b": "c"] },
            request { $0.fields = ["": "c"] },
            request { $0.fields = ["a": "b\r\nc: d"] },
            request { $0.fields = ["a": String(repeating: "b", count: 0x10000)] },
            request { head in
                (0..<70).forEach { head.fields.add(name: "n\($0)", value: String(repeating: "b", count: 1000)) }
            },
            .response(ResponseHead(status: 99, fields: [:])),
            .response(ResponseHead(status: 1000, fields: [:])),
            .response(ResponseHead(status: 200, fields: ["a": "\u{0}"])),
            .trailers(["a:": "b"]),
        ]
    }()

    @Test("What the other side would refuse is known before it is sent", arguments: unsendable)
    func refused(_ block: HeaderBlock) {
        #expect(!block.isSendable)
    }

    @Test("What may be sent is read back as it was")
    func sendable() throws {
        let blocks: [HeaderBlock] = [
            .request(Heads.get),
            .request(
                RequestHead(
                    method: "M-SEARCH", authority: "", target: "*", upgrade: "websocket", window: .max,
                    fields: ["x": "ä \t\u{80}"])),
            .request(
                RequestHead(
                    method: "GET", authority: "a", target: "/" + String(repeating: "a", count: 0x7FF0), fields: [:])),
            .response(ResponseHead(status: 100, fields: [:])),
            .response(ResponseHead(status: 999, fields: ["a": String(repeating: "b", count: 60_000)])),
            .trailers(["grpc-status": "0"]),
        ]
        for block in blocks {
            #expect(block.isSendable)
            let frame = Frame.headers(StreamID(1), block, endStream: false)
            #expect(try frames(in: encoded([frame])) == [frame])
        }
    }
}
