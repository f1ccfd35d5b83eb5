import NIOCore
import Testing

@testable import EdgeGateway

@Suite("Which server a TLS client wants")
struct ClientHelloReaderTests {
    /// A ClientHello with these extensions, without its record.
    private func hello(_ extensions: [(type: UInt16, content: [UInt8])], type: UInt8 = 1) -> [UInt8] {
        var list = ByteBuffer()
        for (type, content) in extensions {
            list.writeInteger(type)
            list.writeInteger(UInt16(content.count))
            list.writeBytes(content)
        }
        var body = ByteBuffer(bytes: [3, 3] + [UInt8](repeating: 7, count: 32))
        body.writeBytes([4, 1, 2, 3, 4])
        body.writeBytes([0, 2, 0x13, 0x01])
        body.writeBytes([1, 0])
        body.writeInteger(UInt16(list.readableBytes))
        body.writeBuffer(&list)
        var message = ByteBuffer()
        message.writeInteger(UInt32(type) << 24 | UInt32(body.readableBytes))
        message.writeBuffer(&body)
        return Array(message.readableBytesView)
    }

    private func serverName(_ name: String, kind: UInt8 = 0) -> (type: UInt16, content: [UInt8]) {
        let bytes = Array(name.utf8)
        var content: [UInt8] = [0, UInt8(bytes.count + 3), kind, 0, UInt8(bytes.count)]
        content += bytes
        return (0, content)
    }

    /// The message in records of so many bytes.
    private func records(_ message: [UInt8], of size: Int) -> ByteBuffer {
        var buffer = ByteBuffer()
        for start in stride(from: 0, to: message.count, by: size) {
            let piece = message[start..<min(start + size, message.count)]
            buffer.writeBytes([22, 3, 1])
            buffer.writeInteger(UInt16(piece.count))
            buffer.writeBytes(piece)
        }
        return buffer
    }

    /// What comes of the bytes when so many arrive at a time; all are kept.
    private func read(_ bytes: ByteBuffer, by step: Int) -> ClientHelloReader.Wish? {
        var reader = ClientHelloReader()
        var rest = bytes
        var arrived = ByteBuffer()
        while let piece = rest.readSlice(length: min(step, rest.readableBytes)), piece.readableBytes > 0 {
            arrived.writeImmutableBuffer(piece)
            let wish = reader.append(piece)
            #expect(reader.received == arrived)
            if let wish { return wish }
        }
        return nil
    }

    @Test("its name is found in however many records it comes, and however they arrive")
    func fragments() {
        let message = hello([(10, [0, 2, 0, 29]), serverName("app.test"), (16, [0, 3, 2, 0x68, 0x32])])
        for size in [1, 2, 3, 4, 5, 7, 40, 64, message.count - 1, message.count] {
            let wire = records(message, of: size)
            for step in [1, 3, wire.readableBytes] { #expect(read(wire, by: step) == .server("app.test")) }
            // Before the last byte nothing is decided.
            #expect(read(wire.getSlice(at: 0, length: wire.readableBytes - 1) ?? wire, by: 5) == nil)
        }
    }

    @Test("a client may name no server, or one by another kind of name")
    func none() {
        for extensions in [[], [(type: UInt16(10), content: [UInt8(0), 2, 0, 29])], [serverName("x", kind: 1)]] {
            #expect(read(records(hello(extensions), of: 20), by: 9) == .unknown)
        }
    }

    @Test("what is no such message is left to TLS at the first byte that shows it")
    func nonsense() {
        let message = hello([serverName("app.test")])
        #expect(read(ByteBuffer(string: "G"), by: 1) == .unknown)
        #expect(read(ByteBuffer(bytes: [22, 2]), by: 1) == .unknown)
        #expect(read(ByteBuffer(bytes: [22, 3, 1, 0, 0]), by: 1) == .unknown)
        #expect(read(ByteBuffer(bytes: [22, 3, 1, 0x40, 1]), by: 1) == .unknown)
        // Another message, one that is too long, and a record of another kind amid it.
        #expect(read(records(hello([], type: 2), of: 4), by: 1) == .unknown)
        #expect(read(records([1, 0, 0x40, 1], of: 4), by: 1) == .unknown)
        var mixed = records(Array(message.prefix(20)), of: 20)
        mixed.writeBytes([23, 3, 1, 0, 1, 0])
        #expect(read(mixed, by: 100) == .unknown)
        // Lengths that lead beyond the end.
        for position in 4..<message.count {
            var broken = message
            broken[position] = 0xFF
            #expect(read(records(broken, of: 50), by: 1000) != nil)
        }
        #expect(read(records(hello([serverName("\u{E9}")]), of: 100), by: 100) == .unknown)
    }
}
