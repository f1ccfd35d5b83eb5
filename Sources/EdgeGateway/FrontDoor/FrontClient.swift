import HTTPExchange
import NIOCore
import TunnelProtocol

/// Where one request came from, and where its answer goes, in the words of the client's protocol: a connection of
/// HTTP/1.1 for as long as the request lasts, or a stream of one of HTTP/2.
///
/// Bound to the connection's event loop. Nothing is asked of it once its exchange is over.
protocol FrontClient: AnyObject {
    var shared: ProxyContext { get }
    var spoken: FrontProtocol { get }
    /// Who speaks on the connection, as logs and applications see it.
    var address: String { get }
    /// Whether that is a proxy that is believed when it says whom it speaks for.
    var isTrusted: Bool { get }
    /// nil once the connection is gone.
    var eventLoop: (any EventLoop)? { get }
    /// Whether protocols are offered and asked for by `Upgrade` (RFC 9110 §7.8).
    var knowsUpgrade: Bool { get }

    /// A trace for a request that came without one.
    func beginTrace(sampled: Bool) -> TraceContext
    /// Why the application's answer cannot be put into the client's protocol, as a sentence's end; nil where it can.
    func problem(with head: ResponseHead) -> String?

    /// Whether the rest of the request is to wait.
    func hold(_ held: Bool)
    /// The exchange wants to look at the time by then.
    func ensureTimer(by deadline: NIODeadline)

    /// Writes an informational head, unless the client can do without it better than take it.
    func inform(_ head: ResponseHead)
    /// Writes the final head.
    ///
    /// - Parameters:
    ///   - endStream: whether the answer is complete with it.
    ///   - requestStays: whether the rest of the request will not be taken, or perhaps not come: the client is to be told
    ///     where that is the end of the connection.
    func answer(_ head: ResponseHead, endStream: Bool, requestStays: Bool)
    /// The application takes the other protocol: from here on bytes pass as they are, until each side has ended.
    func switchProtocols(to chosen: String, _ fields: HeaderFields)
    func write(_ bytes: ByteBuffer)
    /// To be called at the end of each burst of answers. The exchange is told of what reaches the client's socket
    /// (`FrontExchange.sent`).
    func flush()

    /// The application has said its last of another protocol; the client may still speak.
    func endOutput()
    /// The answer is complete, and the exchange over.
    ///
    /// - Parameter requestEnded: whether all of the request has come.
    func end(trailers: HeaderFields?, requestEnded: Bool)
    /// The exchange is over, and the client has been told so in the words of another protocol.
    func sayGoodbye()
    /// The exchange is over, and the client must see that its answer is incomplete.
    func abort()
    /// The exchange is over because the client is gone.
    func forget()
}
