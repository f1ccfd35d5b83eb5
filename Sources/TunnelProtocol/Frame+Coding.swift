package import NIOCore

/// The numbers of the frame header: length u24, type u8, flags u8, stream u32, all big-endian.
enum FrameWire {
    static let headerSize = 9

    static let data: UInt8 = 0
    static let headers: UInt8 = 1
    static let window: UInt8 = 2
    static let reset: UInt8 = 3
    static let goAway: UInt8 = 4

    static let endStream: UInt8 = 0x01

    static let requestBlock: UInt8 = 1
    static let responseBlock: UInt8 = 2
    static let trailerBlock: UInt8 = 3
}

// MARK: - Writing

extension ByteBuffer {
    private mutating func writeFrameHeader(length: Int, type: UInt8, flags: UInt8, stream: UInt32) {
        writeMultipleIntegers(UInt32(length) << 8 | UInt32(type), flags, stream)
    }

    /// Appends a frame whose payload length is known only once it is written.
    private mutating func writeFrame(
        type: UInt8, flags: UInt8, stream: UInt32, payload: (inout ByteBuffer) -> Void
    ) {
        let start = writerIndex
        writeFrameHeader(length: 0, type: type, flags: flags, stream: stream)
        payload(&self)
        let length = writerIndex - start - FrameWire.headerSize
        setInteger(UInt32(length) << 8 | UInt32(type), at: start)
    }

    /// Bytes of the frame that starts the readable ones, header included; `nil` where there is none.
    var firstFrameSize: Int? {
        guard let lengthAndType: UInt32 = getInteger(at: readerIndex) else { return nil }
        return FrameWire.headerSize + Int(lengthAndType >> 8)
    }

    /// Appends the header of a DATA frame; its `length` bytes of payload must follow.
    mutating func writeDataFrameHeader(stream: StreamID, length: Int, endStream: Bool) {
        writeFrameHeader(
            length: length, type: FrameWire.data, flags: endStream ? FrameWire.endStream : 0, stream: stream.rawValue)
    }

    /// Appends a frame as it goes on the wire.
    package mutating func writeFrame(_ frame: Frame) {
        switch frame {
        case .headers(let stream, let block, let endStream):
            let flags = endStream ? FrameWire.endStream : 0
            writeFrame(type: FrameWire.headers, flags: flags, stream: stream.rawValue) { $0.writeHeaderBlock(block) }
        case .data(let stream, let bytes, let endStream):
            writeDataFrameHeader(stream: stream, length: bytes.readableBytes, endStream: endStream)
            writeImmutableBuffer(bytes)
        case .window(let stream, let increment):
            writeFrameHeader(length: 4, type: FrameWire.window, flags: 0, stream: stream.rawValue)
            writeInteger(increment)
        case .reset(let stream, let code, let detail):
            writeFrame(type: FrameWire.reset, flags: 0, stream: stream.rawValue) {
                $0.writeInteger(code.rawValue)
                $0.writeDetail(detail)
            }
        case .goAway(let lastStreamID, let detail):
            writeFrame(type: FrameWire.goAway, flags: 0, stream: 0) {
                $0.writeInteger(lastStreamID.rawValue)
                $0.writeDetail(detail)
            }
        }
    }

    private mutating func writeDetail(_ detail: String) {
        guard detail.utf8.count > FrameLimits.maxDetailSize else {
            writeString(detail)
            return
        }
        // Cut at a character boundary, so that what arrives is still UTF-8.
        var cut = detail.utf8.index(detail.startIndex, offsetBy: FrameLimits.maxDetailSize)
        while cut.samePosition(in: detail) == nil { cut = detail.utf8.index(before: cut) }
        writeSubstring(detail[..<cut])
    }

    private mutating func writeHeaderBlock(_ block: HeaderBlock) {
        switch block {
        case .request(let head):
            writeInteger(FrameWire.requestBlock)
            writeInteger(head.window)
            writeShortText(head.method)
            writeShortText(head.upgrade)
            writeText(head.authority)
            writeText(head.target)
            writeFields(head.fields)
        case .response(let head):
            writeInteger(FrameWire.responseBlock)
            writeInteger(head.status)
            writeFields(head.fields)
        case .trailers(let fields):
            writeInteger(FrameWire.trailerBlock)
            writeFields(fields)
        }
    }

    private mutating func writeFields(_ fields: HeaderFields) {
        writeInteger(UInt16(clamping: fields.count))
        writeImmutableBuffer(fields.block)
    }

    private mutating func writeShortText(_ text: String) {
        let start = writerIndex
        writeInteger(UInt8(0))
        setInteger(UInt8(clamping: writeString(text)), at: start)
    }

    private mutating func writeText(_ text: String) {
        let start = writerIndex
        writeInteger(UInt16(0))
        setInteger(UInt16(clamping: writeString(text)), at: start)
    }
}

extension HeaderBlock {
    /// Whether the peer's `FrameReader` will take the block: every part fits its length field, the block fits a frame
    /// (see `FrameLimits`), and everything in it is allowed in HTTP.
    ///
    /// What fails this check must be refused before it is sent: 431 or 400 for a request, 502 for an answer. Sent all
    /// the same it would end the tunnel, and with it everybody else's exchanges.
    package var isSendable: Bool {
        func fits(_ fields: HeaderFields) -> Bool {
            fields.count <= 0xFFFF && fields.byteCount + 64 <= FrameLimits.maxHeaderBlockSize / 2 && fields.isSound
        }
        switch self {
        case .request(let head):
            return head.method.utf8.count <= 0xFF && head.upgrade.utf8.count <= 0xFF
                && head.authority.utf8.count + head.target.utf8.count <= 0x7FFF && head.isValid && fits(head.fields)
        case .response(let head): return head.isValid && fits(head.fields)
        case .trailers(let fields): return fits(fields)
        }
    }
}

extension RequestHead {
    /// Whether a request line can be made of it.
    fileprivate var isValid: Bool {
        FieldSyntax.isName(method) && !target.isEmpty && FieldSyntax.isTarget(target)
            && FieldSyntax.isTarget(authority) && FieldSyntax.isValue(upgrade)
    }
}

extension ResponseHead {
    /// Whether a status line can be made of it.
    fileprivate var isValid: Bool { (100...999).contains(status) }
}

// MARK: - Reading

/// Cuts the payload of a WebSocket binary message into frames.
package struct FrameReader {
    private var message: ByteBuffer
    /// Frames of unknown types so far.
    package private(set) var passedOver = 0
    /// Whether DATA that waits keeps bytes in memory that are not its stream's: less than half of the message is DATA, or
    /// it is DATA of several streams.
    package let isShared: Bool

    package init(_ message: ByteBuffer) {
        self.message = message
        isShared = Self.isShared(message)
    }

    private static func isShared(_ message: ByteBuffer) -> Bool {
        var index = message.readerIndex
        var data = 0
        var owner: UInt32?
        while let lengthAndType: UInt32 = message.getInteger(at: index) {
            let length = Int(lengthAndType >> 8)
            if UInt8(truncatingIfNeeded: lengthAndType) == FrameWire.data, length > 0,
                let stream: UInt32 = message.getInteger(at: index + 5)
            {
                guard owner == nil || owner == stream else { return true }
                owner = stream
                data += length
            }
            index += FrameWire.headerSize + length
        }
        return data < message.readableBytes / 2
    }

    /// The next frame of a known type, or `nil` at the message's end. Frames of unknown types are passed over.
    package mutating func next() throws(ProtocolViolation) -> Frame? {
        while message.readableBytes > 0 {
            guard let (lengthAndType, flags, stream) = message.readMultipleIntegers(as: (UInt32, UInt8, UInt32).self)
            else { throw ProtocolViolation(.truncated, "the message ends inside a frame header") }
            let type = UInt8(truncatingIfNeeded: lengthAndType)
            let length = Int(lengthAndType >> 8)
            guard var payload = message.readSlice(length: length) else {
                throw ProtocolViolation(.truncated, "the message ends inside a frame of type \(type)")
            }
            if let frame = try Self.decode(type: type, flags: flags, stream: StreamID(stream), payload: &payload) {
                return frame
            }
            passedOver += 1
        }
        return nil
    }

    private static func decode(
        type: UInt8, flags: UInt8, stream: StreamID, payload: inout ByteBuffer
    ) throws(ProtocolViolation) -> Frame? {
        let endStream = flags & FrameWire.endStream != 0
        let frame: Frame
        switch type {
        case FrameWire.data:
            guard payload.readableBytes <= FrameLimits.maxDataSize else {
                throw ProtocolViolation(.tooLarge, "DATA of \(payload.readableBytes) bytes on stream \(stream)")
            }
            // A few bytes must not keep a whole message in memory: credit counts bytes, and promises memory.
            if payload.readableBytes < payload.storageCapacity / 64 { payload = ByteBuffer(buffer: payload) }
            return .data(stream, payload, endStream: endStream)
        case FrameWire.headers:
            guard payload.readableBytes <= FrameLimits.maxHeaderBlockSize else {
                throw ProtocolViolation(.tooLarge, "HEADERS of \(payload.readableBytes) bytes on stream \(stream)")
            }
            frame = .headers(stream, try readHeaderBlock(&payload), endStream: endStream)
        case FrameWire.window:
            guard let increment: UInt32 = payload.readInteger() else { throw truncated("WINDOW") }
            frame = .window(stream, increment: increment)
        case FrameWire.reset:
            guard let code: UInt32 = payload.readInteger() else { throw truncated("RESET") }
            frame = .reset(stream, ResetCode(rawValue: code), detail: try readDetail(&payload))
        case FrameWire.goAway:
            guard let last: UInt32 = payload.readInteger() else { throw truncated("GOAWAY") }
            frame = .goAway(lastStreamID: StreamID(last), detail: try readDetail(&payload))
        default:
            return nil
        }
        guard payload.readableBytes == 0 else {
            throw ProtocolViolation(.malformedFrame, "\(payload.readableBytes) bytes after a frame of type \(type)")
        }
        return frame
    }

    private static func truncated(_ what: String) -> ProtocolViolation {
        ProtocolViolation(.truncated, "\(what) ends before its fields do")
    }

    private static func readDetail(_ payload: inout ByteBuffer) throws(ProtocolViolation) -> String {
        guard payload.readableBytes <= FrameLimits.maxDetailSize else {
            throw ProtocolViolation(.tooLarge, "a detail of \(payload.readableBytes) bytes")
        }
        return payload.readString(length: payload.readableBytes) ?? ""
    }

    private static func readHeaderBlock(_ payload: inout ByteBuffer) throws(ProtocolViolation) -> HeaderBlock {
        guard let kind: UInt8 = payload.readInteger() else { throw truncated("HEADERS") }
        switch kind {
        case FrameWire.requestBlock:
            guard let window: UInt32 = payload.readInteger(),
                let method = payload.readShortText(), let upgrade = payload.readShortText(),
                let authority = payload.readText(), let target = payload.readText()
            else { throw truncated("HEADERS") }
            var head = RequestHead(
                method: method, authority: authority, target: target, upgrade: upgrade, window: window, fields: [:])
            guard head.isValid else {
                throw ProtocolViolation(.malformedFrame, "a request line that is not allowed in HTTP")
            }
            head.fields = try readFields(&payload)
            return .request(head)
        case FrameWire.responseBlock:
            guard let status: UInt16 = payload.readInteger() else { throw truncated("HEADERS") }
            var head = ResponseHead(status: status, fields: [:])
            guard head.isValid else {
                throw ProtocolViolation(.malformedFrame, "a response with status \(status)")
            }
            head.fields = try readFields(&payload)
            return .response(head)
        case FrameWire.trailerBlock:
            return .trailers(try readFields(&payload))
        default:
            throw ProtocolViolation(.malformedFrame, "HEADERS of unknown kind \(kind)")
        }
    }

    /// The fields up to the payload's end.
    private static func readFields(_ payload: inout ByteBuffer) throws(ProtocolViolation) -> HeaderFields {
        guard let count: UInt16 = payload.readInteger() else { throw truncated("HEADERS") }
        var rest = payload
        for _ in 0..<count {
            guard let nameLength: UInt16 = payload.readInteger(),
                let isName = payload.passText(length: nameLength, FieldSyntax.isName(_:)),
                let valueLength: UInt16 = payload.readInteger(),
                let isValue = payload.passText(length: valueLength, FieldSyntax.isValue(_:))
            else { throw truncated("HEADERS") }
            guard isName, isValue else {
                throw ProtocolViolation(.malformedFrame, "a field whose name or value is not allowed in HTTP")
            }
        }
        guard count > 0, let block = rest.readSlice(length: rest.readableBytes - payload.readableBytes) else {
            return HeaderFields()
        }
        // A copy: fields outlive the message they came in, which is larger.
        return HeaderFields(checked: ByteBuffer(buffer: block), count: Int(count))
    }
}

extension ByteBuffer {
    fileprivate mutating func readShortText() -> String? {
        guard let length: UInt8 = readInteger() else { return nil }
        return readString(length: Int(length))
    }

    /// Passes over that many bytes; what `check` says of them, or `nil` where there are fewer.
    fileprivate mutating func passText(
        length: UInt16, _ check: (UnsafeRawBufferPointer) -> Bool
    ) -> Bool? {
        guard readableBytes >= Int(length) else { return nil }
        return readWithUnsafeReadableBytes { bytes in
            (Int(length), check(UnsafeRawBufferPointer(rebasing: bytes[..<Int(length)])))
        }
    }

    fileprivate mutating func readText() -> String? {
        guard let length: UInt16 = readInteger() else { return nil }
        return readString(length: Int(length))
    }
}
