import NIOCore
import Testing
import TunnelProtocol

@testable import TunnelTransport

@Suite("Writing WebSocket frames (RFC 6455)")
struct WebSocketWriterTests {
    private func written(_ payload: [UInt8], opcode: UInt8 = WebSocketOpcode.binary, by role: WebSocketRole)
        -> ByteBuffer
    {
        var writer = WebSocketWriter(role: role)
        var message = writer.startMessage(capacity: payload.count, allocator: ByteBufferAllocator())
        message.writeBytes(payload)
        writer.finish(&message, opcode: opcode)
        return message
    }

    @Test("the server's frames have the shortest header and no mask", arguments: [0, 1, 125, 126, 127, 65535, 65536])
    func serverHeader(length: Int) {
        let payload = [UInt8](repeating: 0xAB, count: length)
        var header: [UInt8] = [0x82]
        switch length {
        case ..<126: header.append(UInt8(length))
        case ...0xFFFF: header += [126, UInt8(length >> 8), UInt8(length & 0xFF)]
        default: header += [127, 0, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
        }
        #expect(Array(written(payload, by: .server).readableBytesView) == header + payload)
    }

    @Test(
        "what one end writes the other reads, for every length around the boundaries",
        arguments: Array(0...40) + [124, 125, 126, 127, 128, 1000, 65534, 65535, 65536, 65543])
    func roundTrip(length: Int) throws {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        for (sender, receiver) in [(WebSocketRole.client, WebSocketRole.server), (.server, .client)] {
            var reader = WebSocketReader(role: receiver)
            reader.append(written(payload, by: sender))
            reader.append(written([1], opcode: WebSocketOpcode.pong, by: sender))
            #expect(try reader.next() == .binary(ByteBuffer(bytes: payload)))
            #expect(try reader.next() == .pong(ByteBuffer(bytes: [1])))
            #expect(try reader.next() == nil)
        }
    }

    @Test("the client masks, with a new key for every frame")
    func maskKeys() {
        let frames = (0..<8).map { _ in Array(written(Array("Hello, tunnel".utf8), by: .client).readableBytesView) }
        let keys = Set(frames.map { Array($0[2..<6]) })
        #expect(keys.count > 1)
        for frame in frames {
            #expect(frame[1] == 0x80 | 13)
            let clear = frame[6...].enumerated().map { $1 ^ frame[2 + $0 % 4] }
            #expect(clear == Array("Hello, tunnel".utf8))
        }
    }

    @Test("masking eight bytes at a time gives what masking byte by byte gives, anywhere in a buffer")
    func maskAlignment() {
        let mask: UInt32 = 0xA1B2_C3D4
        let key = withUnsafeBytes(of: mask) { Array($0) }
        for start in 0..<17 {
            for length in 0..<35 {
                let bytes = (0..<60).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
                var buffer = ByteBuffer(bytes: [0, 0, 0] + bytes)
                buffer.moveReaderIndex(forwardBy: 3)
                buffer.applyMask(mask, at: buffer.readerIndex + start, length: length)
                var expected = bytes
                for index in 0..<length { expected[start + index] ^= key[index % 4] }
                #expect(Array(buffer.readableBytesView) == expected, "start \(start), length \(length)")
            }
        }
    }
}
