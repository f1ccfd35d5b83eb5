package import NIOCore
package import TunnelProtocol

/// Cuts a byte stream into WebSocket messages, unmasking and joining fragments.
///
/// What is wrong is refused as soon as it can be known: a header before its payload has arrived, a text with its first
/// byte that is not UTF-8 (RFC 6455 §8.1).
package struct WebSocketReader {
    private let role: WebSocketRole
    private let limits: WebSocketLimits
    private var buffer = ByteBuffer()
    private var fragments: (opcode: UInt8, payload: ByteBuffer)?
    /// Frames that brought a message neither bytes nor its end, since they were asked for last.
    private var emptyFragments = 0
    /// How far a text that has not arrived whole is known to be UTF-8.
    private var text = UTF8Progress()
    /// Bytes of the frame's payload that `text` has seen.
    private var seen = 0
    /// The frame whose payload is arriving, unmasked as far as it has come.
    private var arriving: (header: Header, payload: ByteBuffer)?
    /// A payload up to this long has its place made before it arrives.
    private static let reserved = 64 * 1024

    /// - Parameter limits: a longer message is `too_large`.
    package init(role: WebSocketRole, limits: WebSocketLimits = .tunnel) {
        self.role = role
        self.limits = limits
    }

    /// Bytes kept for a message that has not arrived whole.
    package var bufferedBytes: Int { buffer.readableBytes + (arriving?.payload.readableBytes ?? 0) }

    /// How many frames have come since the last call that brought a message neither bytes nor its end.
    package mutating func takeEmptyFragments() -> Int {
        defer { emptyFragments = 0 }
        return emptyFragments
    }

    package mutating func append(_ bytes: ByteBuffer) { buffer.join(bytes) }

    /// The next message, or `nil` until more bytes arrive.
    package mutating func next() throws(ProtocolViolation) -> WebSocketMessage? {
        while true {
            if arriving == nil {
                guard let header = try takeHeader() else { return nil }
                arriving = (header, ByteBuffer())
            }
            guard let (header, payload) = try takePayload() else { return nil }
            if let message = try message(header, payload) { return message }
        }
    }

    private struct Header {
        var isFinal: Bool
        var opcode: UInt8
        var payloadLength: Int
        var mask: UInt32?
    }

    private mutating func takeHeader() throws(ProtocolViolation) -> Header? {
        let start = buffer.readerIndex
        guard let first: UInt8 = buffer.getInteger(at: start), let second: UInt8 = buffer.getInteger(at: start + 1)
        else { return nil }
        guard first & 0x70 == 0 else { throw violation("a reserved bit is set") }
        let opcode = first & 0x0F
        let isFinal = first & 0x80 != 0
        try check(opcode)
        let isMasked = second & 0x80 != 0
        guard isMasked == (role == .server) else {
            throw violation(isMasked ? "a masked frame from the server" : "an unmasked frame from the client")
        }
        var size = 2
        var length = Int(second & 0x7F)
        if opcode >= 0x8 {
            guard length <= 125, isFinal else { throw violation("a control frame is long or fragmented") }
        }
        if length == 126 {
            guard let long: UInt16 = buffer.getInteger(at: start + 2) else { return nil }
            length = Int(long)
            size += 2
        } else if length == 127 {
            guard let long: UInt64 = buffer.getInteger(at: start + 2) else { return nil }
            guard long <= UInt64(Int32.max) else { throw tooLong(Int(clamping: long)) }
            length = Int(long)
            size += 8
        }
        if opcode < 0x8 {
            let isText = (fragments?.opcode ?? opcode) == WebSocketOpcode.text
            let joined = length + (fragments?.payload.readableBytes ?? 0)
            guard joined <= (isText ? limits.text : limits.binary) else { throw tooLong(joined) }
        }
        var mask: UInt32?
        if isMasked {
            guard let key: UInt32 = buffer.getInteger(at: start + size, endianness: .host) else { return nil }
            mask = key
            size += 4
        }
        guard buffer.readableBytes >= size else { return nil }
        buffer.moveReaderIndex(forwardBy: size)
        return Header(isFinal: isFinal, opcode: opcode, payloadLength: length, mask: mask)
    }

    /// Whether a frame of this opcode may come now (RFC 6455 §5.4).
    private func check(_ opcode: UInt8) throws(ProtocolViolation) {
        switch opcode {
        case WebSocketOpcode.ping, WebSocketOpcode.pong, WebSocketOpcode.close: break
        case WebSocketOpcode.text, WebSocketOpcode.binary:
            guard fragments == nil else { throw violation("a new message inside a fragmented one") }
        case WebSocketOpcode.continuation:
            guard fragments != nil else { throw violation("a continuation of nothing") }
        default: throw violation("an unknown opcode \(opcode)")
        }
    }

    /// The frame under way, once its payload has arrived whole. Each byte is copied at most once.
    private mutating func takePayload() throws(ProtocolViolation) -> (Header, ByteBuffer)? {
        guard case (let header, var payload)? = arriving else { return nil }
        // Not held twice while it is changed.
        arriving = nil
        let missing = header.payloadLength - payload.readableBytes
        let count = min(missing, buffer.readableBytes)
        if header.mask == nil, payload.readableBytes == 0, count == missing {
            payload = buffer.readSlice(length: count) ?? ByteBuffer()
        } else if count > 0 {
            if payload.capacity == 0 { payload.reserveCapacity(min(header.payloadLength, Self.reserved)) }
            payload.writeMasked(
                from: &buffer, length: count, mask: header.mask ?? 0, position: payload.readableBytes)
        }
        if buffer.readableBytes == 0 { buffer = ByteBuffer() }
        guard count == missing else {
            if isText(header) { try lookAt(payload) }
            arriving = (header, payload)
            return nil
        }
        return (header, payload)
    }

    private mutating func message(_ header: Header, _ payload: ByteBuffer) throws(ProtocolViolation)
        -> WebSocketMessage?
    {
        switch header.opcode {
        case WebSocketOpcode.ping: return .ping(payload)
        case WebSocketOpcode.pong: return .pong(payload)
        case WebSocketOpcode.close: return try close(payload)
        default: break
        }
        if !header.isFinal, isText(header) { try lookAt(payload) }
        seen = 0
        var joined = fragments ?? (header.opcode, ByteBuffer())
        fragments = nil
        if joined.payload.readableBytes == 0 {
            joined.payload = payload
        } else {
            joined.payload.writeImmutableBuffer(payload)
        }
        guard header.isFinal else {
            if header.payloadLength == 0 { emptyFragments += 1 }
            fragments = joined
            return nil
        }
        text = UTF8Progress()
        guard joined.opcode == WebSocketOpcode.text else { return .binary(joined.payload) }
        return .text(try utf8(joined.payload))
    }

    private func close(_ payload: ByteBuffer) throws(ProtocolViolation) -> WebSocketMessage {
        var payload = payload
        guard payload.readableBytes > 0 else { return .close(code: nil, reason: "") }
        guard let code: UInt16 = payload.readInteger() else { throw violation("a close frame of one byte") }
        guard WebSocketClose.isAllowed(code) else { throw violation("a close code of \(code)") }
        return .close(code: code, reason: try utf8(payload))
    }

    // MARK: Text

    private func isText(_ header: Header) -> Bool {
        header.opcode < 0x8 && (fragments?.opcode ?? header.opcode) == WebSocketOpcode.text
    }

    /// Looks at what has arrived of a text that is not whole.
    private mutating func lookAt(_ payload: ByteBuffer) throws(ProtocolViolation) {
        let isText = payload.withUnsafeReadableBytes { text.accepts($0, from: seen) }
        guard isText else { throw notUTF8 }
        seen = payload.readableBytes
    }

    private func utf8(_ payload: ByteBuffer) throws(ProtocolViolation) -> String {
        let text = payload.withUnsafeReadableBytes { String(validating: $0, as: UTF8.self) }
        guard let text else { throw notUTF8 }
        return text
    }

    private var notUTF8: ProtocolViolation { ProtocolViolation(.invalidText, "text that is not UTF-8") }

    private func violation(_ detail: String) -> ProtocolViolation { ProtocolViolation(.webSocket, detail) }

    private func tooLong(_ length: Int) -> ProtocolViolation {
        ProtocolViolation(.tooLarge, "a WebSocket message of \(length) bytes")
    }
}

/// Tells with each byte whether a text can still become UTF-8 (RFC 3629 §4).
struct UTF8Progress {
    /// Bytes that the character under way still needs.
    private var missing = 0
    /// What the next of them may be.
    private var range: ClosedRange<UInt8> = 0x80...0xBF

    /// Takes a payload from `start` on; ASCII eight bytes at a time.
    mutating func accepts(_ payload: UnsafeRawBufferPointer, from start: Int) -> Bool {
        var position = start
        while position < payload.count {
            if missing == 0, position + 8 <= payload.count,
                payload.loadUnaligned(fromByteOffset: position, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
            {
                position += 8
                continue
            }
            guard accepts(payload[position]) else { return false }
            position += 1
        }
        return true
    }

    private mutating func accepts(_ byte: UInt8) -> Bool {
        guard missing == 0 else {
            guard range.contains(byte) else { return false }
            missing -= 1
            range = 0x80...0xBF
            return true
        }
        switch byte {
        case 0x00...0x7F: break
        case 0xC2...0xDF: missing = 1
        // The second byte's range keeps out longer forms than needed, surrogates, and what is above U+10FFFF.
        case 0xE0: (missing, range) = (2, 0xA0...0xBF)
        case 0xED: (missing, range) = (2, 0x80...0x9F)
        case 0xE1...0xEF: missing = 2
        case 0xF0: (missing, range) = (3, 0x90...0xBF)
        case 0xF1...0xF3: missing = 3
        case 0xF4: (missing, range) = (3, 0x80...0x8F)
        default: return false
        }
        return true
    }
}
