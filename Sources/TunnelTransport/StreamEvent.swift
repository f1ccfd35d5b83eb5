package import NIOCore
package import TunnelProtocol

/// What a stream tells its user.
package enum StreamEvent: Sendable {
    /// A response head (gateway only); more than one if informational ones precede it.
    case head(ResponseHead, endStream: Bool)
    /// Bytes of a body; each to be reported with `TunnelStream.consumed` once written onward, or thrown away.
    case data(ByteBuffer, endStream: Bool)
    /// The end of a body, with trailers.
    case trailers(HeaderFields)
    /// The peer ended the stream, or never processed it. Nothing follows.
    case reset(ResetCode, detail: String)
    /// The tunnel is gone. Nothing follows.
    case lost
    /// The stream could not be opened (gateway only). Nothing follows.
    case refused(StreamRefusal)
    /// Stop sending: what is queued has to drain first.
    case holdBack
    /// Go on sending.
    case resume
}

/// Why a tunnel did not open a stream; another tunnel may.
package enum StreamRefusal: Hashable, Sendable {
    case draining
    case streamLimit
    case memory
    /// The head does not fit into a frame.
    case headTooLarge
    case closed
}

/// The user of a stream, bound to one event loop.
package protocol StreamReceiver: AnyObject {
    /// Called on the receiver's event loop, in order, never again after an ending event.
    func received(_ event: StreamEvent)
    /// A burst of events is over: the time to flush.
    func receivedBurst()
}
