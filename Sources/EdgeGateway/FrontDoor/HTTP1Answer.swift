import HTTPExchange
import NIOCore
import TunnelProtocol

/// How the answer to one request is put for a client of HTTP/1.1, or of HTTP/1.0: how its body is framed, and whether the
/// connection goes on behind it (RFC 9112 §6, §9.3).
struct HTTP1Answer {
    /// Whether the client understands chunked bodies, and informational heads (RFC 9110 §15.2).
    let isHTTP11: Bool
    private let isToHead: Bool
    /// Whether the connection can carry another request.
    private(set) var keepsAlive: Bool
    private var isChunked = false

    /// To what is no request.
    init() {
        isHTTP11 = true
        isToHead = false
        keepsAlive = false
    }

    init(to request: HTTP1Request) {
        isHTTP11 = request.version == .http11
        isToHead = request.method == "HEAD"
        keepsAlive = request.version.keepsAlive(request.fields)
    }

    func writeInformational(_ head: ResponseHead, to output: inout ByteBuffer) {
        output.writeHTTP1StatusLine(head.status)
        output.writeHTTP1Fields(head.fields)
        output.writeHTTP1HeadEnd()
    }

    /// - Parameter isLast: whether no request follows on the connection, whatever the client would like.
    mutating func write(_ head: ResponseHead, endStream: Bool, isLast: Bool, to output: inout ByteBuffer) {
        let mayHaveBody = !isToHead && head.status != 204 && head.status != 304
        let hasLength = head.fields.contains(name: "Content-Length")
        isChunked = mayHaveBody && !hasLength && !endStream && isHTTP11
        // Only the end of the connection can end such a body.
        let endsWithConnection = mayHaveBody && !hasLength && !endStream && !isHTTP11
        keepsAlive = keepsAlive && !isLast && !endsWithConnection
        output.writeHTTP1StatusLine(head.status)
        output.writeHTTP1Fields(head.fields)
        if isChunked { output.writeHTTP1Field("Transfer-Encoding", "chunked") }
        if mayHaveBody, !hasLength, endStream { output.writeHTTP1Field("Content-Length", "0") }
        if !keepsAlive {
            output.writeHTTP1Field("Connection", "close")
        } else if !isHTTP11 {
            output.writeHTTP1Field("Connection", "keep-alive")
        }
        output.writeHTTP1HeadEnd()
    }

    /// The head behind which bytes are another protocol's.
    mutating func writeSwitch(to chosen: String, _ fields: HeaderFields, to output: inout ByteBuffer) {
        keepsAlive = false
        output.writeHTTP1StatusLine(101)
        output.writeHTTP1Field("Connection", "upgrade")
        output.writeHTTP1Field("Upgrade", chosen)
        output.writeHTTP1Fields(fields)
        output.writeHTTP1HeadEnd()
    }

    /// What stands before the bytes of a body.
    func writeBegin(of size: Int, to output: inout ByteBuffer) { if isChunked { output.writeHTTP1ChunkLine(size) } }

    /// What stands behind them.
    func writeEndOfPart(to output: inout ByteBuffer) { if isChunked { output.writeHTTP1HeadEnd() } }

    func writeEnd(_ trailers: HeaderFields?, to output: inout ByteBuffer) {
        if isChunked { output.writeHTTP1LastChunk(trailers: trailers) }
    }
}
