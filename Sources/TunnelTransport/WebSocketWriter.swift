import Crypto
package import NIOCore

/// Builds WebSocket frames in place: the payload is written once, after a gap that the header then fills.
package struct WebSocketWriter {
    /// The longest header: two bytes, eight of length, four of mask.
    package static let headerSpace = 14

    private let role: WebSocketRole
    private var keys = MaskingKeys()

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
            let mask = keys.next()
            message.setInteger(mask, at: index, endianness: .host)
            message.applyMask(mask, at: payloadStart, length: length)
        }
    }
}

/// Fresh unpredictable masking keys (RFC 6455 §5.3), taken from the system's generator many at a time: each time is a
/// system call.
private struct MaskingKeys {
    private var keys: [UInt32] = []

    mutating func next() -> UInt32 {
        if keys.isEmpty {
            SymmetricKey(size: .init(bitCount: 64 * UInt32.bitWidth)).withUnsafeBytes { bytes in
                keys = Array(bytes.bindMemory(to: UInt32.self))
            }
        }
        return keys.removeLast()
    }
}

extension ByteBuffer {
    /// XORs `length` bytes at `index` with the four bytes of `mask` as they lie in memory (RFC 6455 §5.3).
    package mutating func applyMask(_ mask: UInt32, at index: Int, length: Int) {
        let offset = index - readerIndex
        precondition(offset >= 0 && offset + length <= readableBytes, "masking outside the readable bytes")
        withUnsafeMutableReadableBytes { bytes in
            let target = UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<(offset + length)])
            Self.mask(UnsafeRawBufferPointer(target), into: target, with: mask)
        }
    }

    /// Moves `length` bytes from the start of `source` to the end of this buffer, XORed with the mask: in one pass, and
    /// without a copy of what `source` shares its storage with.
    ///
    /// - Parameter position: of the first of these bytes in the frame's payload.
    mutating func writeMasked(from source: inout ByteBuffer, length: Int, mask: UInt32, position: Int) {
        let turns = UInt32(position & 3) * 8
        let turned = UInt32(littleEndian: mask)
        let key = UInt32(littleEndian: turns == 0 ? turned : turned >> turns | turned << (32 - turns))
        writeWithUnsafeMutableBytes(minimumWritableBytes: length) { target in
            source.withUnsafeReadableBytes { bytes in
                Self.mask(UnsafeRawBufferPointer(rebasing: bytes[..<length]), into: target, with: key)
            }
            return length
        }
        source.moveReaderIndex(forwardBy: length)
    }

    /// Thirty-two bytes at a time: eight cost twice as much, single ones eight times.
    private static func mask(
        _ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, with mask: UInt32
    ) {
        typealias Block = SIMD4<UInt64>
        let wide = Block(repeating: UInt64(mask) | UInt64(mask) << 32)
        var position = 0
        while position + MemoryLayout<Block>.size <= source.count {
            let block = source.loadUnaligned(fromByteOffset: position, as: Block.self)
            target.storeBytes(of: block ^ wide, toByteOffset: position, as: Block.self)
            position += MemoryLayout<Block>.size
        }
        withUnsafeBytes(of: mask) { key in
            for index in position..<source.count { target[index] = source[index] ^ key[index & 3] }
        }
    }
}
