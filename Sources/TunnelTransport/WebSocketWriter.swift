package import NIOCore

/// Builds WebSocket frames in place: the payload is written once, after a gap that the header then fills.
package struct WebSocketWriter {
    /// The longest header: two bytes, eight of length, four of mask.
    package static let headerSpace = 14

    private let role: WebSocketRole
    private var random = SystemRandomNumberGenerator()

    package init(role: WebSocketRole) { self.role = role }

    /// A buffer whose readable bytes are empty and begin behind the gap.
    package func startMessage(capacity: Int, allocator: ByteBufferAllocator) -> ByteBuffer {
        var message = allocator.buffer(capacity: Self.headerSpace + capacity)
        message.writeRepeatingByte(0, count: Self.headerSpace)
        message.moveReaderIndex(to: Self.headerSpace)
        return message
    }

    /// Writes the header before the readable bytes and masks them where this end must.
    package mutating func finish(_ message: inout ByteBuffer, opcode: UInt8) {
        let length = message.readableBytes
        let payloadStart = message.readerIndex
        let maskBit: UInt8 = role == .client ? 0x80 : 0
        var size = length < 126 ? 2 : length <= 0xFFFF ? 4 : 10
        if role == .client { size += 4 }
        var index = payloadStart - size
        message.moveReaderIndex(to: index)
        message.setInteger(0x80 | opcode, at: index)
        switch length {
        case ..<126:
            message.setInteger(maskBit | UInt8(length), at: index + 1)
            index += 2
        case ...0xFFFF:
            message.setInteger(maskBit | 126, at: index + 1)
            message.setInteger(UInt16(length), at: index + 2)
            index += 4
        default:
            message.setInteger(maskBit | 127, at: index + 1)
            message.setInteger(UInt64(length), at: index + 2)
            index += 10
        }
        if role == .client {
            let mask = UInt32.random(in: .min ... .max, using: &random)
            message.setInteger(mask, at: index, endianness: .host)
            message.applyMask(mask, at: payloadStart, length: length)
        }
    }
}

extension ByteBuffer {
    /// XORs `length` bytes at `index` with the four bytes of `mask` as they lie in memory (RFC 6455 §5.3), eight at a
    /// time: byte by byte costs four times as much.
    package mutating func applyMask(_ mask: UInt32, at index: Int, length: Int) {
        let offset = index - readerIndex
        precondition(offset >= 0 && offset + length <= readableBytes, "masking outside the readable bytes")
        withUnsafeMutableReadableBytes { bytes in
            let wide = UInt64(mask) | UInt64(mask) << 32
            var position = offset
            let end = offset + length
            while position + 8 <= end {
                let word = bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)
                bytes.storeBytes(of: word ^ wide, toByteOffset: position, as: UInt64.self)
                position += 8
            }
            withUnsafeBytes(of: mask) { key in
                for (step, at) in (position..<end).enumerated() { bytes[at] ^= key[step & 3] }
            }
        }
    }
}
