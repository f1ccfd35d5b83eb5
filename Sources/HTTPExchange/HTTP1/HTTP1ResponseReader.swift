package import NIOCore
package import TunnelProtocol

/// Cuts the bytes of a connection to a backend into the responses to its requests (RFC 9112), one request at a time.
package struct HTTP1ResponseReader: Sendable {
    package enum Part: Equatable {
        /// Informational ones (1xx, not 101) precede the final one.
        case head(HTTP1Response)
        case body(ByteBuffer)
        /// The response's end, with the trailers of a chunked one.
        case end(HeaderFields?)
        /// The connection's bytes behind a 101 are another protocol's.
        case opaque(ByteBuffer)
    }

    private enum State {
        /// No request is under way: there is nothing to read.
        case idle
        case head(HTTP1HeadFinder, isHead: Bool)
        case body(HTTP1BodyReader)
        case opaque
        case failed
    }

    private let limits: HTTP1Limits
    private var state = State.idle
    private var buffer = ByteBuffer()

    package init(limits: HTTP1Limits = HTTP1Limits()) { self.limits = limits }

    /// Bytes that nobody has asked for.
    package var bufferedBytes: Int { buffer.readableBytes }

    /// A request was sent; its response is the next.
    ///
    /// - Parameter method: the answer to HEAD has no body, whatever its fields say.
    package mutating func begin(method: String) { state = .head(HTTP1HeadFinder(), isHead: method == "HEAD") }

    package mutating func append(_ bytes: ByteBuffer) { buffer.join(bytes) }

    /// Whether more than its end follows the final head that was read last.
    package var expectsBody: Bool {
        if case .body(let body) = state { !body.isEmpty } else { false }
    }

    /// The connection has ended.
    ///
    /// - Returns: whether the response ends well with it.
    package var endsWithConnection: Bool {
        if case .body(let body) = state { body.endsWithConnection } else { false }
    }

    /// The next part, or `nil` until more bytes arrive.
    package mutating func next() throws(HTTP1Error) -> Part? {
        defer { if buffer.readableBytes == 0 { buffer = ByteBuffer() } }
        do throws(HTTP1Error) {
            switch state {
            case .idle, .failed: return nil
            case .head(let finder, let isHead): return try head(finder, isHead: isHead)
            case .body(var body):
                let part = try body.next(from: &buffer)
                state = .body(body)
                switch part {
                case .bytes(let bytes): return .body(bytes)
                case .end(let trailers):
                    state = .idle
                    return .end(trailers)
                case nil: return nil
                }
            case .opaque: return buffer.take().map { .opaque($0) }
            }
        } catch {
            state = .failed
            buffer = ByteBuffer()
            throw error
        }
    }

    private mutating func head(_ finder: HTTP1HeadFinder, isHead: Bool) throws(HTTP1Error) -> Part? {
        // Another protocol's greeting need not be followed by an empty line.
        guard buffer.readableBytes < 5 || buffer.readableBytesView.starts(with: "HTTP/".utf8) else {
            throw .malformed("it does not begin with a status line")
        }
        var finder = finder
        let response = try finder.takeHead(
            from: &buffer, limit: limits.head,
            { [limits] bytes throws(HTTP1Error) in try HTTP1HeadParser.response(bytes, limits: limits) })
        guard let response else {
            state = .head(finder, isHead: isHead)
            return nil
        }
        switch response.status {
        case 101: state = .opaque
        case ..<200: state = .head(HTTP1HeadFinder(), isHead: isHead)
        default: state = .body(try Self.body(of: response, isHead: isHead, limits))
        }
        return .head(response)
    }

    /// RFC 9112 §6.3.
    private static func body(
        of response: HTTP1Response, isHead: Bool, _ limits: HTTP1Limits
    ) throws(HTTP1Error) -> HTTP1BodyReader {
        let framing = try HTTP1Framing(response.fields, response.version)
        if isHead || response.status == 204 || response.status == 304 { return .none(limits) }
        switch framing {
        case .none: return .untilClosed(limits)
        case .length(let length): return .length(length, limits)
        case .chunked: return .chunked(limits)
        }
    }
}
