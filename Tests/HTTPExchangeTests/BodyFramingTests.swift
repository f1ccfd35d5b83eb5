import HTTPExchange
import Testing
import TunnelProtocol

@Suite("How long a body is")
struct BodyFramingTests {
    @Test(
        "A response's body is as long as RFC 9112 §6.3 has it",
        arguments: [
            ("GET", 200, nil, nil), ("GET", 200, "0", 0), ("GET", 200, "5", 5), ("POST", 404, "5", 5),
            ("HEAD", 200, "5", 0), ("HEAD", 200, nil, 0), ("GET", 204, nil, 0), ("GET", 304, "5", 0),
            ("GET", 103, nil, 0), ("GET", 101, nil, nil),
        ] as [(String, UInt16, String?, Int?)])
    func responses(method: String, status: UInt16, announced: String?, length: Int?) throws {
        let fields: HeaderFields = announced.map { ["Content-Length": $0] } ?? [:]
        var framing = try BodyFraming(response: status, fields: fields, method: method)
        #expect(framing.isEmpty == (length == 0))
        guard let length else {
            let takesAll = framing.pass(1_000_000)
            #expect(takesAll && framing.mayEnd)
            return
        }
        #expect(framing.mayEnd == (length == 0))
        let takesAll = framing.pass(length)
        #expect(takesAll && framing.mayEnd)
        let takesMore = framing.pass(1)
        #expect(!takesMore)
    }

    @Test("A request without Content-Length ends where the stream does")
    func requests() throws {
        var chunked = try BodyFraming(request: [:], endStream: false)
        let takes = chunked.pass(10)
        #expect(takes && chunked.mayEnd && !chunked.isEmpty)
        #expect(try BodyFraming(request: [:], endStream: true).isEmpty)
        #expect(try BodyFraming(request: ["Content-Length": "0"], endStream: true).isEmpty)
        var known = try BodyFraming(request: ["Content-Length": "3"], endStream: false)
        let first = known.pass(2)
        #expect(first && !known.mayEnd)
        let tooMuch = known.pass(2)
        #expect(!tooMuch)
        let last = known.pass(1)
        #expect(last && known.mayEnd && known.isEmpty)
    }

    @Test("A body that was announced and is missing is refused")
    func missing() {
        #expect(throws: BodyFraming.Invalid.self) {
            try BodyFraming(request: ["Content-Length": "5"], endStream: true)
        }
    }

    @Test(
        "A Content-Length that is not one number is refused",
        arguments: [
            ["Content-Length": ""], ["Content-Length": "-1"], ["Content-Length": "+1"], ["Content-Length": "1, 1"],
            ["Content-Length": "0x10"], ["Content-Length": " 1"], ["Content-Length": "١"],
            ["Content-Length": "99999999999999999999"], ["Content-Length": "1", "content-length": "1"],
            ["Content-Length": "1", "Content-Length": "2"],
        ] as [HeaderFields])
    func invalid(fields: HeaderFields) {
        #expect(throws: BodyFraming.Invalid.self) { try BodyFraming(request: fields, endStream: false) }
        #expect(throws: BodyFraming.Invalid.self) { try BodyFraming(response: 200, fields: fields, method: "GET") }
    }
}
