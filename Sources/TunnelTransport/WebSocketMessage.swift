import Crypto
package import NIOCore
package import TunnelProtocol

/// What the WebSocket layer (RFC 6455) delivers: whole messages and control frames.
package enum WebSocketMessage: Hashable, Sendable {
    case text(String)
    case binary(ByteBuffer)
    case ping(ByteBuffer)
    case pong(ByteBuffer)
    case close(code: UInt16?, reason: String)
}

/// The WebSocket opcodes (RFC 6455 §11.8).
enum WebSocketOpcode {
    static let continuation: UInt8 = 0x0
    static let text: UInt8 = 0x1
    static let binary: UInt8 = 0x2
    static let close: UInt8 = 0x8
    static let ping: UInt8 = 0x9
    static let pong: UInt8 = 0xA
}

/// Which end of the connection this is: the client masks what it sends, the server does not (RFC 6455 §5.1).
package enum WebSocketRole: Hashable, Sendable {
    case client
    case server
}

/// Cuts a byte stream into WebSocket messages, unmasking and joining fragments.
package struct WebSocketReader {
    private let role: WebSocketRole
    private var buffer = ByteBuffer()
    private var fragments: (opcode: UInt8, payload: ByteBuffer)?

    package init(role: WebSocketRole) { self.role = role }

    /// Bytes kept for a message that has not arrived whole.
    package var bufferedBytes: Int { buffer.readableBytes }

    package mutating func append(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            var bytes = bytes
            buffer.writeBuffer(&bytes)
        }
    }

    /// The next message, or `nil` until more bytes arrive.
    package mutating func next() throws(ProtocolViolation) -> WebSocketMessage? {
        while true {
            guard let header = try readHeader() else { return nil }
            guard let payload = takePayload(header) else { return nil }
            if let message = try message(header, payload) { return message }
        }
    }

    private struct Header {
        var isFinal: Bool
        var opcode: UInt8
        /// Bytes of the frame before its payload.
        var size: Int
        var payloadLength: Int
        var mask: UInt32?
    }

    private func readHeader() throws(ProtocolViolation) -> Header? {
        let start = buffer.readerIndex
        guard let first: UInt8 = buffer.getInteger(at: start), let second: UInt8 = buffer.getInteger(at: start + 1)
        else { return nil }
        guard first & 0x70 == 0 else { throw violation("a reserved bit is set") }
        let opcode = first & 0x0F
        let isMasked = second & 0x80 != 0
        guard isMasked == (role == .server) else {
            throw violation(isMasked ? "a masked frame from the server" : "an unmasked frame from the client")
        }
        var size = 2
        var length = Int(second & 0x7F)
        if length == 126 {
            guard let long: UInt16 = buffer.getInteger(at: start + 2) else { return nil }
            length = Int(long)
            size += 2
        } else if length == 127 {
            guard let long: UInt64 = buffer.getInteger(at: start + 2) else { return nil }
            guard long <= UInt64(FrameLimits.maxMessageSize) else { throw tooLong(Int(clamping: long)) }
            length = Int(long)
            size += 8
        }
        if opcode >= 0x8 {
            guard length <= 125, first & 0x80 != 0 else { throw violation("a control frame is long or fragmented") }
        }
        guard length + (fragments?.payload.readableBytes ?? 0) <= FrameLimits.maxMessageSize else {
            throw tooLong(length)
        }
        var mask: UInt32?
        if isMasked {
            guard let key: UInt32 = buffer.getInteger(at: start + size, endianness: .host) else { return nil }
            mask = key
            size += 4
        }
        return Header(
            isFinal: first & 0x80 != 0, opcode: opcode, size: size, payloadLength: length, mask: mask)
    }

    private mutating func takePayload(_ header: Header) -> ByteBuffer? {
        guard buffer.readableBytes >= header.size + header.payloadLength else { return nil }
        if let mask = header.mask, mask != 0 {
            // In place, before the slice below shares the storage.
            buffer.applyMask(mask, at: buffer.readerIndex + header.size, length: header.payloadLength)
        }
        buffer.moveReaderIndex(forwardBy: header.size)
        let payload = buffer.readSlice(length: header.payloadLength)
        if buffer.readableBytes == 0 { buffer = ByteBuffer() }
        return payload
    }

    private mutating func message(_ header: Header, _ payload: ByteBuffer) throws(ProtocolViolation)
        -> WebSocketMessage?
    {
        switch header.opcode {
        case WebSocketOpcode.ping: return .ping(payload)
        case WebSocketOpcode.pong: return .pong(payload)
        case WebSocketOpcode.close: return try close(payload)
        case WebSocketOpcode.text, WebSocketOpcode.binary:
            guard fragments == nil else { throw violation("a new message inside a fragmented one") }
            if header.isFinal { return try whole(header.opcode, payload) }
            fragments = (header.opcode, payload)
            return nil
        case WebSocketOpcode.continuation:
            guard var joined = fragments else { throw violation("a continuation of nothing") }
            fragments = nil
            joined.payload.writeImmutableBuffer(payload)
            if header.isFinal { return try whole(joined.opcode, joined.payload) }
            fragments = joined
            return nil
        default:
            throw violation("an unknown opcode \(header.opcode)")
        }
    }

    private func whole(_ opcode: UInt8, _ payload: ByteBuffer) throws(ProtocolViolation) -> WebSocketMessage {
        guard opcode == WebSocketOpcode.text else { return .binary(payload) }
        guard payload.readableBytes <= ControlMessage.maximumSize else { throw tooLong(payload.readableBytes) }
        return .text(try utf8(payload))
    }

    private func close(_ payload: ByteBuffer) throws(ProtocolViolation) -> WebSocketMessage {
        var payload = payload
        guard payload.readableBytes > 0 else { return .close(code: nil, reason: "") }
        guard let code: UInt16 = payload.readInteger() else { throw violation("a close frame of one byte") }
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: break
        default: throw violation("a close code of \(code)")
        }
        return .close(code: code, reason: try utf8(payload))
    }

    private func utf8(_ payload: ByteBuffer) throws(ProtocolViolation) -> String {
        let text = payload.withUnsafeReadableBytes { String(validating: $0, as: UTF8.self) }
        guard let text else { throw violation("text that is not UTF-8") }
        return text
    }

    private func violation(_ detail: String) -> ProtocolViolation { ProtocolViolation(.webSocket, detail) }

    private func tooLong(_ length: Int) -> ProtocolViolation {
        ProtocolViolation(.tooLarge, "a WebSocket message of \(length) bytes")
    }
}

/// Builds WebSocket frames in place: the payload is written once, after a gap that the header then fills.
struct WebSocketWriter {
    /// The longest header: two bytes, eight of length, four of mask.
    static let headerSpace = 14

    private let role: WebSocketRole
    private var keys = MaskingKeys()

    init(role: WebSocketRole) { self.role = role }

    /// A buffer whose readable bytes are empty and begin behind the gap.
    func startMessage(capacity: Int, allocator: ByteBufferAllocator) -> ByteBuffer {
        var message = allocator.buffer(capacity: Self.headerSpace + capacity)
        message.writeRepeatingByte(0, count: Self.headerSpace)
        message.moveReaderIndex(to: Self.headerSpace)
        return message
    }

    /// Writes the header before the readable bytes and masks them where this end must.
    mutating func finish(_ message: inout ByteBuffer, opcode: UInt8) {
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
