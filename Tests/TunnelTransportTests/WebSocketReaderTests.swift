import NIOCore
import Testing
import TunnelProtocol

@testable import TunnelTransport

@Suite("Reading WebSocket frames (RFC 6455)")
struct WebSocketReaderTests {
    /// A frame as it stands on the wire, unmasked where `mask` is `nil`.
    static func frame(
        _ first: UInt8, _ payload: [UInt8], mask: [UInt8]? = [0x37, 0xfa, 0x21, 0x3d], length: [UInt8]? = nil
    ) -> [UInt8] {
        let maskBit: UInt8 = mask == nil ? 0 : 0x80
        var bytes = [first]
        if let length {
            bytes.append(maskBit | length[0])
            bytes += length.dropFirst()
        } else if payload.count < 126 {
            bytes.append(maskBit | UInt8(payload.count))
        } else if payload.count <= 0xFFFF {
            bytes += [maskBit | 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
        } else {
            bytes.append(maskBit | 127)
            bytes += (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
        }
        guard let mask else { return bytes + payload }
        return bytes + mask + payload.enumerated().map { $1 ^ mask[$0 % 4] }
    }

    private func read(_ bytes: [UInt8], as role: WebSocketRole = .server) throws -> [WebSocketMessage] {
        var reader = WebSocketReader(role: role)
        reader.append(ByteBuffer(bytes: bytes))
        var messages: [WebSocketMessage] = []
        while let message = try reader.next() { messages.append(message) }
        return messages
    }

    @Test("the examples of RFC 6455 §5.7 are read")
    func examples() throws {
        let hello: [UInt8] = [0x48, 0x65, 0x6c, 0x6c, 0x6f]
        #expect(try read([0x81, 0x05] + hello, as: .client) == [.text("Hello")])
        #expect(
            try read([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]) == [.text("Hello")])
        #expect(
            try read([0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f], as: .client) == [.text("Hello")])
        #expect(try read([0x89, 0x05] + hello, as: .client) == [.ping(ByteBuffer(string: "Hello"))])
        #expect(
            try read([0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58])
                == [.pong(ByteBuffer(string: "Hello"))])
        let medium = (0..<256).map { UInt8($0) }
        #expect(try read([0x82, 0x7e, 0x01, 0x00] + medium, as: .client) == [.binary(ByteBuffer(bytes: medium))])
        let long = (0..<65536).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        #expect(
            try read([0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0] + long, as: .client) == [.binary(ByteBuffer(bytes: long))])
    }

    @Test(
        "every mask alignment and length is undone", arguments: [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 125, 126, 300])
    func unmasking(length: Int) throws {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ 5) }
        for mask: [UInt8] in [[0, 0, 0, 0], [1, 2, 3, 4], [0xff, 0, 0xff, 0]] {
            let wire = Self.frame(0x82, payload, mask: mask)
            #expect(try read(wire) == [.binary(ByteBuffer(bytes: payload))])
            // Behind other frames, so that the payload starts anywhere.
            for offset in 0..<9 {
                let before = Self.frame(0x89, [UInt8](repeating: 1, count: offset))
                #expect(try read(before + wire).last == .binary(ByteBuffer(bytes: payload)))
            }
        }
    }

    @Test("bytes that come one by one give the same messages as all at once")
    func dripFeed() throws {
        let wire =
            Self.frame(0x81, Array("Grüße".utf8)) + Self.frame(0x02, [1, 2, 3]) + Self.frame(0x89, [9])
            + Self.frame(0x80, [UInt8](repeating: 4, count: 200)) + Self.frame(0x8a, [])
            + Self.frame(0x88, [0x03, 0xe8] + Array("bye".utf8))
        let expected = try read(wire)
        var reader = WebSocketReader(role: .server)
        var messages: [WebSocketMessage] = []
        for byte in wire {
            reader.append(ByteBuffer(bytes: [byte]))
            while let message = try reader.next() { messages.append(message) }
        }
        #expect(messages == expected)
        #expect(messages.count == 5)
        #expect(messages.last == .close(code: 1000, reason: "bye"))
        #expect(reader.bufferedBytes == 0)
    }

    @Test("a ping between the fragments of a message is delivered first and leaves the message whole")
    func interleavedPing() throws {
        let wire = Self.frame(0x01, Array("Hel".utf8)) + Self.frame(0x89, [7]) + Self.frame(0x80, Array("lo".utf8))
        #expect(try read(wire) == [.ping(ByteBuffer(bytes: [7])), .text("Hello")])
    }

    @Test("a fragment may be empty, and a character may be cut by fragmentation")
    func cutCharacter() throws {
        let euro = Array("€".utf8)
        let wire = Self.frame(0x01, [euro[0]]) + Self.frame(0x00, []) + Self.frame(0x80, Array(euro[1...]))
        #expect(try read(wire) == [.text("€")])
    }

    /// U+D800, a surrogate, between κόσμε and "edited".
    static let spoiled: [UInt8] = Array("κόσμε".utf8) + [0xED, 0xA0, 0x80] + Array("edited".utf8)

    @Test(
        "a text is refused with its first byte that cannot be UTF-8, before the rest of its frame has arrived",
        arguments: [0, 1, 7, 8, 9, 40])
    func failFastInFrame(ascii: Int) throws {
        let wire = Self.frame(0x81, [UInt8](repeating: 65, count: ascii) + Self.spoiled)
        let header = 6
        let firstWrong = ascii + "κόσμε".utf8.count + 1
        for step in [1, 2, 3, 4, 5, 8, 11] {
            var reader = WebSocketReader(role: .server)
            var sent = 0
            var refusedAfter: Int?
            while sent < wire.count, refusedAfter == nil {
                let chop = wire[sent..<min(sent + step, wire.count)]
                sent += chop.count
                reader.append(ByteBuffer(bytes: chop))
                do throws(ProtocolViolation) {
                    #expect(try reader.next() == nil)
                } catch {
                    #expect(error.code == .invalidText)
                    refusedAfter = sent
                }
            }
            let due = header + firstWrong + 1
            #expect(refusedAfter == min((due + step - 1) / step * step, wire.count), "in steps of \(step)")
        }
    }

    @Test("a fragment that cannot be UTF-8 is refused before the message has ended")
    func failFastInFragments() throws {
        let cut = "κόσμε".utf8.count + 1
        var reader = WebSocketReader(role: .server)
        reader.append(ByteBuffer(bytes: Self.frame(0x01, Array(Self.spoiled[..<cut]))))
        #expect(try reader.next() == nil)
        reader.append(ByteBuffer(bytes: Self.frame(0x00, Array(Self.spoiled[cut...]))))
        let error = #expect(throws: ProtocolViolation.self) { try reader.next() }
        #expect(error?.code == .invalidText)
    }

    @Test("every scalar value is taken byte by byte, and binary messages are not looked at")
    func everyScalar() throws {
        let text = [0x0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x3FFFF, 0x10FFFF]
            .compactMap { Unicode.Scalar($0).map(String.init) }.joined()
        for (opcode, payload) in [(UInt8(0x1), Array(text.utf8)), (0x2, Self.spoiled)] {
            let wire = Self.frame(opcode, payload) + Self.frame(0x80, payload)
            var reader = WebSocketReader(role: .server)
            var messages: [WebSocketMessage] = []
            for byte in wire {
                reader.append(ByteBuffer(bytes: [byte]))
                while let message = try reader.next() { messages.append(message) }
            }
            #expect(messages == [opcode == 1 ? .text(text + text) : .binary(ByteBuffer(bytes: payload + payload))])
        }
    }

    @Test("the limits are a parameter, one for texts and one for the rest")
    func limits() throws {
        let payload = [UInt8](repeating: 65, count: 70_000)
        for (opcode, limits) in [
            (UInt8(0x81), WebSocketLimits(text: 70_000, binary: 0)), (0x82, WebSocketLimits(text: 0, binary: 70_000)),
        ] {
            for slack in [0, 1] {
                var reader = WebSocketReader(
                    role: .server,
                    limits: WebSocketLimits(text: limits.text - slack, binary: limits.binary - slack))
                reader.append(ByteBuffer(bytes: Self.frame(opcode, payload)))
                if slack == 0 {
                    #expect(try reader.next() != nil)
                } else {
                    let error = #expect(throws: ProtocolViolation.self) { try reader.next() }
                    #expect(error?.code == .tooLarge)
                }
            }
        }
    }

    @Test("a close frame without a body has no code")
    func emptyClose() throws {
        #expect(try read(Self.frame(0x88, [])) == [.close(code: nil, reason: "")])
    }

    struct Violation: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var wire: [UInt8]
        var role = WebSocketRole.server
        var code = ProtocolViolation.Code.webSocket
    }

    static let violations: [Violation] =
        [
            Violation(testDescription: "an unmasked frame from the client", wire: frame(0x81, [65], mask: nil)),
            Violation(testDescription: "a masked frame from the server", wire: frame(0x81, [65]), role: .client),
            Violation(testDescription: "RSV1", wire: frame(0xC1, [65])),
            Violation(testDescription: "RSV2", wire: frame(0xA1, [65])),
            Violation(testDescription: "RSV3", wire: frame(0x91, [65])),
            Violation(
                testDescription: "a ping of 126 bytes", wire: frame(0x89, [UInt8](repeating: 0, count: 126))),
            Violation(testDescription: "a fragmented ping", wire: frame(0x09, [1])),
            Violation(testDescription: "a fragmented close", wire: frame(0x08, [])),
            Violation(testDescription: "a close frame of one byte", wire: frame(0x88, [3])),
            Violation(testDescription: "a continuation of nothing", wire: frame(0x80, [65])),
            Violation(
                testDescription: "a message inside a message", wire: frame(0x01, [65]) + frame(0x81, [66])),
            Violation(testDescription: "opcode 3", wire: frame(0x83, [65])),
            Violation(testDescription: "opcode 11", wire: frame(0x8B, [])),
            Violation(testDescription: "text that is not UTF-8", wire: frame(0x81, [0xC3, 0x28]), code: .invalidText),
            Violation(
                testDescription: "text with a surrogate", wire: frame(0x81, [0xED, 0xA0, 0x80]), code: .invalidText),
            Violation(
                testDescription: "text that ends in a character", wire: frame(0x81, [0xE2, 0x82]), code: .invalidText),
            Violation(
                testDescription: "a close reason that is not UTF-8", wire: frame(0x88, [0x03, 0xE8, 0xFF]),
                code: .invalidText),
            Violation(
                testDescription: "a message longer than allowed",
                wire: frame(0x82, [], length: [127, 0, 0, 0, 0, 0, 4, 0, 1]), code: .tooLarge),
            Violation(
                testDescription: "a length of 2⁶³", wire: frame(0x82, [], length: [127, 0x80, 0, 0, 0, 0, 0, 0, 0]),
                code: .tooLarge),
            Violation(
                testDescription: "a control message longer than 64 KiB",
                wire: frame(0x81, [UInt8](repeating: 65, count: 65537)), code: .tooLarge),
            Violation(
                testDescription: "fragments that are too long together",
                wire: frame(0x02, [UInt8](repeating: 0, count: 200_000))
                    + frame(0x80, [UInt8](repeating: 0, count: 100_000)), code: .tooLarge),
        ]
        + [999, 1004, 1005, 1006, 1015, 1016, 2999, 5000].map { (code: UInt16) in
            Violation(
                testDescription: "close code \(code)", wire: frame(0x88, [UInt8(code >> 8), UInt8(code & 0xFF)]))
        }

    @Test("a violation is refused with its code, at once and byte by byte", arguments: violations)
    func violation(_ violation: Violation) throws {
        let error = #expect(throws: ProtocolViolation.self) { try read(violation.wire, as: violation.role) }
        #expect(error?.code == violation.code)

        var reader = WebSocketReader(role: violation.role)
        var dripped: ProtocolViolation.Code?
        for byte in violation.wire where dripped == nil {
            reader.append(ByteBuffer(bytes: [byte]))
            do { _ = try reader.next() } catch { dripped = error.code }
        }
        #expect(dripped == violation.code)
    }

    @Test("an announced length is refused before its bytes arrive")
    func refusedEarly() {
        var reader = WebSocketReader(role: .server)
        reader.append(ByteBuffer(bytes: [0x82, 0xFF, 0, 0, 0, 0, 1, 0, 0, 0]))
        #expect(throws: ProtocolViolation.self) { try reader.next() }
    }

    @Test(
        "close codes that applications may use are accepted",
        arguments: [1000, 1001, 1002, 1003, 1007, 1014, 3000, 4999])
    func closeCodes(code: UInt16) throws {
        #expect(
            try read(Self.frame(0x88, [UInt8(code >> 8), UInt8(code & 0xFF)])) == [.close(code: code, reason: "")])
    }
}
