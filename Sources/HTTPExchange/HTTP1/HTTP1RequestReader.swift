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

    /// Whether more than its end follows the head that was read last.
    package var expectsBody: Bool {
        if case .body(let body) = state { !body.isEmpty } else { false }
    }

    /// How long the body is that follows the head that was read last, where the head says so.
    package var announcedLength: Int? { if case .body(let body) = state { body.length } else { nil } }

    package mutating func append(_ bytes: ByteBuffer) { buffer.join(bytes) }

    /// What follows the current request's head is not HTTP.
    package mutating func becomeOpaque() { state = .opaque }

    /// The next part, or `nil` until more bytes arrive.
    package mutating func next() throws(HTTP1Error) -> Part? {
        defer { if buffer.readableBytes == 0 { buffer = ByteBuffer() } }
        do throws(HTTP1Error) {
            switch state {
            case .head(let finder): return try head(finder)
            case .body(var body):
                let part = try body.next(from: &buffer)
                state = .body(body)
                switch part {
                case .bytes(let bytes): return .body(bytes)
                case .end(let trailers):
                    state = .head(HTTP1HeadFinder())
                    return .end(trailers)
                case nil: return nil
                }
            case .opaque: return buffer.take().map { .opaque($0) }
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
        let request = try finder.takeHead(
            from: &buffer, limit: limits.head, tooLong: { [limits] in Self.tooLong($0, limits) },
            { [limits] bytes throws(HTTP1Error) in try HTTP1HeadParser.request(bytes, limits: limits) })
        guard let request else {
            state = .head(finder)
            return nil
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
    private static func tooLong(_ buffer: ByteBuffer, _ limits: HTTP1Limits) -> HTTP1Error {
        let line = buffer.readableBytesView.prefix(limits.startLine)
        return line.contains(0x0A) ? .fieldsTooLarge : .targetTooLong
    }

    /// RFC 9112 §6.3, with everything refused that it lets a server refuse.
    private static func body(of request: HTTP1Request, _ limits: HTTP1Limits) throws(HTTP1Error) -> HTTP1BodyReader {
        switch try HTTP1Framing(request.fields, request.version) {
        case .none: return .none(limits)
        case .length(let length): return .length(length, limits)
        case .chunked: return .chunked(limits)
        }
    }
}

/// How a head says its body is framed (RFC 9112 §6.1, §6.2).
enum HTTP1Framing: Hashable {
    case none
    case length(Int)
    case chunked

    init(_ fields: HeaderFields, _ version: HTTP1Version) throws(HTTP1Error) {
        var codings = 0
        var isChunked = false
        var hasLength = false
        fields.forEachField { field in
            switch FieldKind(field.name) {
            case .contentLength: hasLength = true
            case .transferEncoding:
                codings += 1
                isChunked = field.valueText.lowercased() == "chunked"
            default: break
            }
        }
        guard !hasLength || codings == 0 else {
            throw .malformed("it has both Content-Length and Transfer-Encoding")
        }
        guard codings == 0 else {
            // Who relays for a client of HTTP/1.0 may have passed on what it does not understand (RFC 9112 §6.1).
            guard version == .http11 else { throw .malformed("HTTP/1.0 knows no Transfer-Encoding") }
            guard codings == 1, isChunked else { throw .malformed("its Transfer-Encoding is not chunked alone") }
            self = .chunked
            return
        }
        do throws(BodyFraming.Invalid) {
            self = hasLength ? try fields.contentLength().map { .length($0) } ?? .none : .none
        } catch {
            throw .malformed(error.description)
        }
    }
}
