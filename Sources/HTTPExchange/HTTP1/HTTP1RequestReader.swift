package import NIOCore
package import TunnelProtocol

/// Cuts the bytes of a connection into requests (RFC 9112), one part at a time and no further than asked: what a client
/// sends ahead stays here until the request before it is answered.
package struct HTTP1RequestReader: Sendable {
    package enum Part: Equatable {
        case head(HTTP1Request)
        case body(ByteBuffer)
        /// The request's end, with the trailers of a chunked one.
        case end(HeaderFields?)
        /// The connection's bytes from here on are another protocol's (`becomeOpaque`).
        case opaque(ByteBuffer)
    }

    private enum State {
        case head(HTTP1HeadFinder)
        case body(HTTP1BodyReader)
        case opaque
        /// Nothing can be understood any more.
        case failed
    }

    private let limits: HTTP1Limits
    private var state = State.head(HTTP1HeadFinder())
    private var buffer = ByteBuffer()

    package init(limits: HTTP1Limits = HTTP1Limits()) { self.limits = limits }

    /// Bytes that have not been asked for.
    package var bufferedBytes: Int { buffer.readableBytes }

    /// Whether part of a head, and no more, has arrived.
    package var isBetweenRequests: Bool {
        if case .head = state { buffer.readableBytes == 0 } else { false }
    }

    package mutating func append(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// What follows the current request's head is not HTTP.
    package mutating func becomeOpaque() { state = .opaque }

    /// The next part, or `nil` until more bytes arrive.
    package mutating func next() throws(HTTP1Error) -> Part? {
        defer { if buffer.readableBytes == 0 { buffer = ByteBuffer() } }
        do throws(HTTP1Error) {
            switch state {
            case .head(let finder): return try head(finder)
            case .body(var body):
                // Not held twice while it is changed.
                state = .failed
                let part = try body.next(from: &buffer)
                state = .body(body)
                switch part {
                case .bytes(let bytes): return .body(bytes)
                case .end(let trailers):
                    state = .head(HTTP1HeadFinder())
                    return .end(trailers)
                case nil: return nil
                }
            case .opaque:
                guard let bytes = buffer.readSlice(length: buffer.readableBytes), bytes.readableBytes > 0 else {
                    return nil
                }
                return .opaque(bytes)
            case .failed: return nil
            }
        } catch {
            state = .failed
            buffer = ByteBuffer()
            throw error
        }
    }

    private mutating func head(_ finder: HTTP1HeadFinder) throws(HTTP1Error) -> Part? {
        var finder = finder
        skipEmptyLines()
        guard let size = try finder.find(in: buffer) else {
            guard buffer.readableBytes <= limits.head else { throw tooLong }
            state = .head(finder)
            return nil
        }
        guard size <= limits.head else { throw tooLong }
        let request = try buffer.readHead(size: size) { [limits] bytes throws(HTTP1Error) in
            try HTTP1HeadParser.request(bytes, limits: limits)
        }
        state = .body(try Self.body(of: request, limits))
        return .head(request)
    }

    /// RFC 9112 §2.2: an empty line before a request line means nothing.
    private mutating func skipEmptyLines() {
        while buffer.getInteger(at: buffer.readerIndex, as: UInt16.self) == 0x0D0A {
            buffer.moveReaderIndex(forwardBy: 2)
        }
    }

    /// Which of the two limits a head without end has passed.
    private var tooLong: HTTP1Error {
        let line = buffer.readableBytesView.prefix(limits.startLine)
        return line.contains(0x0A) ? .fieldsTooLarge : .targetTooLong
    }

    /// RFC 9112 §6.3, with everything refused that it lets a server refuse.
    private static func body(of request: HTTP1Request, _ limits: HTTP1Limits) throws(HTTP1Error) -> HTTP1BodyReader {
        switch try HTTP1Framing(request.fields) {
        case .none: return .none(limits)
        case .length(let length): return .length(length, limits)
        case .chunked:
            guard request.version == .http11 else { throw .malformed("HTTP/1.0 knows no Transfer-Encoding") }
            return .chunked(limits)
        }
    }
}

/// How a head says its body is framed (RFC 9112 §6.1, §6.2).
enum HTTP1Framing: Hashable {
    case none
    case length(Int)
    case chunked

    init(_ fields: HeaderFields) throws(HTTP1Error) {
        var (lengths, codings) = (0, 0)
        var length: Int?
        var isChunked = false
        fields.forEachField { field in
            switch FieldKind(field.name) {
            case .contentLength:
                lengths += 1
                length = field.value.decimalNumber
            case .transferEncoding:
                codings += 1
                isChunked = field.valueText.lowercased() == "chunked"
            default: break
            }
        }
        guard lengths == 0 || codings == 0 else {
            throw .malformed("it has both Content-Length and Transfer-Encoding")
        }
        if codings > 0 {
            guard codings == 1, isChunked else { throw .malformed("its Transfer-Encoding is not chunked alone") }
            self = .chunked
        } else if lengths > 0 {
            guard lengths == 1, let length else { throw .malformed("its Content-Length is not one number") }
            self = .length(length)
        } else {
            self = .none
        }
    }
}
