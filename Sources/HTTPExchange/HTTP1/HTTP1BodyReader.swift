import NIOCore
import TunnelProtocol

/// Reads one message's body by its framing (RFC 9112 §6, §7).
struct HTTP1BodyReader: Sendable {
    enum Part {
        case bytes(ByteBuffer)
        /// The body's end, with trailers where a chunked one has some.
        case end(HeaderFields?)
    }

    private enum State {
        /// Bytes that are still to come. Next: `ended`.
        case length(Int)
        /// The connection's end is the body's. Next: `ended`.
        case untilClosed
        /// The line before a chunk. Next: `chunk`, `trailers`.
        case chunkLine
        /// Bytes of a chunk that are still to come. Next: `chunkEnd`.
        case chunk(Int)
        /// The line's end behind a chunk. Next: `chunkLine`.
        case chunkEnd
        case trailers(HTTP1HeadFinder)
        case ended
    }

    private var state: State
    private let limits: HTTP1Limits

    static func none(_ limits: HTTP1Limits) -> Self { Self(state: .length(0), limits: limits) }
    static func length(_ length: Int, _ limits: HTTP1Limits) -> Self { Self(state: .length(length), limits: limits) }
    static func chunked(_ limits: HTTP1Limits) -> Self { Self(state: .chunkLine, limits: limits) }
    static func untilClosed(_ limits: HTTP1Limits) -> Self { Self(state: .untilClosed, limits: limits) }

    /// Whether the end is all that is to come.
    var isEmpty: Bool { if case .length(0) = state { true } else { false } }

    /// What is left of a body whose length is known.
    var length: Int? { if case .length(let length) = state { length } else { nil } }

    var endsWithConnection: Bool { if case .untilClosed = state { true } else { false } }

    /// The next part, or `nil` until more bytes arrive. To be called until it returns `end`, and not after that.
    mutating func next(from buffer: inout ByteBuffer) throws(HTTP1Error) -> Part? {
        while true {
            switch state {
            case .length(0):
                state = .ended
                return .end(nil)
            case .length(let left):
                guard let bytes = buffer.take(upTo: left) else { return nil }
                state = .length(left - bytes.readableBytes)
                return .bytes(bytes)
            case .untilClosed:
                guard let bytes = buffer.take() else { return nil }
                return .bytes(bytes)
            case .chunkLine:
                guard let size = try chunkSize(from: &buffer) else { return nil }
                state = size == 0 ? .trailers(HTTP1HeadFinder()) : .chunk(size)
            case .chunk(let left):
                guard let bytes = buffer.take(upTo: left) else { return nil }
                let rest = left - bytes.readableBytes
                state = rest == 0 ? .chunkEnd : .chunk(rest)
                return .bytes(bytes)
            case .chunkEnd:
                guard buffer.readableBytes >= 2 else { return nil }
                guard buffer.readInteger(as: UInt16.self) == 0x0D0A else {
                    throw .malformed("a chunk is longer than its size")
                }
                state = .chunkLine
            case .trailers(let finder):
                guard let trailers = try trailers(finder, from: &buffer) else { return nil }
                state = .ended
                return .end(trailers.isEmpty ? nil : trailers)
            case .ended:
                preconditionFailure("a body is read beyond its end")
            }
        }
    }

    /// `chunk-size [ chunk-ext ] CRLF` (RFC 9112 §7.1). Extensions are passed over: none is known here.
    private func chunkSize(from buffer: inout ByteBuffer) throws(HTTP1Error) -> Int? {
        let view = buffer.readableBytesView
        guard let end = view.firstIndex(of: 0x0A) else {
            guard view.count <= limits.chunkLine else { throw .malformed("a chunk's first line is too long") }
            // What is no size is refused at once: nobody need wait for the rest of the line.
            _ = try Self.hexadecimal(Self.size(in: view))
            return nil
        }
        let line = view[view.startIndex..<end]
        guard line.count <= limits.chunkLine else { throw .malformed("a chunk's first line is too long") }
        guard line.last == 0x0D else { throw .malformed("a line does not end with CR and LF") }
        let size = Self.size(in: line)
        guard let number = try Self.hexadecimal(size) else { throw .malformed("a chunk has no size") }
        let rest = line.dropLast()[size.endIndex...]
        let isExtension = rest.drop { $0 == 0x20 || $0 == 0x09 }.first == UInt8(ascii: ";")
        guard rest.isEmpty || isExtension, rest.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
            throw .malformed("something stands behind a chunk's size")
        }
        buffer.moveReaderIndex(forwardBy: line.count + 1)
        return number
    }

    /// What stands before the extensions and the line's end.
    private static func size(in line: ByteBufferView) -> ByteBufferView {
        line.prefix { $0 != 0x0D && $0 != UInt8(ascii: ";") && $0 != 0x20 && $0 != 0x09 }
    }

    /// `nil` where there is no digit.
    private static func hexadecimal(_ digits: ByteBufferView) throws(HTTP1Error) -> Int? {
        guard digits.count <= 15 else { throw .malformed("a chunk's size is too large") }
        var number = 0
        for byte in digits {
            switch byte {
            case 0x30...0x39: number = number << 4 | Int(byte - 0x30)
            case 0x41...0x46: number = number << 4 | Int(byte - 0x41 + 10)
            case 0x61...0x66: number = number << 4 | Int(byte - 0x61 + 10)
            default: throw .malformed("a chunk's size is not a hexadecimal number")
            }
        }
        return digits.isEmpty ? nil : number
    }

    private mutating func trailers(
        _ finder: HTTP1HeadFinder, from buffer: inout ByteBuffer
    ) throws(HTTP1Error) -> HeaderFields? {
        var finder = finder
        let fields = try finder.takeHead(
            from: &buffer, limit: limits.head,
            { [limits] bytes throws(HTTP1Error) in try HTTP1HeadParser.fields(bytes, limits) })
        if fields == nil { state = .trailers(finder) }
        return fields
    }
}
