import HTTPExchange
import NIOCore
import TunnelProtocol

/// One request and its response on the way to a backend, as an exchange sees it: a connection of HTTP/1.1 for as long as
/// the exchange lasts, or a stream of one of HTTP/2.
protocol UpstreamLink: AnyObject {
    /// Whether its connection has carried another exchange before: then the backend may have closed it already.
    var isReused: Bool { get }
    /// Whether more than its end follows the final head that was read last.
    var responseHasBody: Bool { get }

    /// Starts an exchange: writes the head of its request, to be flushed.
    ///
    /// - Parameters:
    ///   - body: whether more than the head follows.
    ///   - upgrades: whether the protocol that the head names is asked for.
    func begin(_ head: RequestHead, body: Bool, upgrades: Bool, for user: any UpstreamUser)
    func send(_ bytes: ByteBuffer)
    func endRequest(trailers: HeaderFields?)
    /// To be called at the end of each burst of wishes, so that what it brought leaves in one system call.
    func flush()
    /// Whether the response is to wait.
    func hold(_ held: Bool)
    /// Gives the exchange up.
    func cancel()
    /// Nobody wants it after all; no exchange has begun.
    func giveBack()

    /// Both sides speak another protocol from here on, in which one may end before the other.
    func becomeOpaque()
    /// The client of another protocol has said its last; the backend may still speak.
    func endOutput()
    /// Both have said their last: the connection ends behind it, however slowly the backend takes it.
    func end()
}

/// What a link tells the exchange that uses it.
protocol UpstreamUser: AnyObject {
    func received(_ part: HTTP1ResponseReader.Part)
    func receivedBurst()
    /// Bytes written since this was asked last; it waits to hear that they are with the backend's socket (`sent`).
    func takeOwedCredit() -> Int
    func sent(_ bytes: Int)
    /// The backend has said its last of another protocol; the connection still takes what the client says.
    func backendEnded()
    /// The link is gone; `error` where it did not end by itself.
    func connectionClosed(_ error: (any Error)?)
    /// The link is gone, and the backend has certainly not looked at the request.
    func neverProcessed(_ detail: String)
}
