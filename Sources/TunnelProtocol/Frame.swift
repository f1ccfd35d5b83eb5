package import NIOCore

/// Names one exchange on a tunnel. The gateway counts up from 1 and never uses a number twice.
package struct StreamID: Hashable, Sendable, Comparable, CustomStringConvertible {
    package var rawValue: UInt32

    package init(_ rawValue: UInt32) { self.rawValue = rawValue }

    package var description: String { String(rawValue) }
    package static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }

    /// In GOAWAY: the tunnel is about to end, and streams may still be opened (as in RFC 9113 §6.8).
    static let announcement = StreamID(UInt32(Int32.max))
}

/// The unit on the wire: one or more make up a WebSocket binary message. See `docs/tunnel-protocol.md`, "Frames".
package enum Frame: Equatable, Sendable {
    /// Opens a stream (a request), answers it (a response, possibly after 1xx ones), or ends a body (trailers).
    case headers(StreamID, HeaderBlock, endStream: Bool)
    /// Part of a body, at most `FrameLimits.maxDataSize` bytes, paid for with credit.
    case data(StreamID, ByteBuffer, endStream: Bool)
    /// Credit, in bytes, for the other side's DATA on one stream.
    case window(StreamID, increment: UInt32)
    /// Ends a stream at once, in both directions.
    case reset(StreamID, ResetCode, detail: String)
    /// The sender opens, or accepts, no stream above `lastStreamID`; those at or below it go on. 2³¹−1 from the gateway
    /// announces only that the next one will say so.
    case goAway(lastStreamID: StreamID, detail: String)
}

/// What a HEADERS frame carries.
package enum HeaderBlock: Equatable, Sendable {
    case request(RequestHead)
    case response(ResponseHead)
    case trailers(HeaderFields)
}

/// The head of a request on its way to the cluster.
package struct RequestHead: Equatable, Sendable {
    package var method: String
    /// The `Host` field or `:authority` as the client sent it.
    package var authority: String
    /// The request target (path and query) exactly as the client sent it.
    package var target: String
    /// The protocol the client wants to switch to (RFC 9110 §7.8), or empty.
    package var upgrade: String
    /// Credit, in bytes, that the gateway grants for the answer's body.
    package var window: UInt32
    /// End-to-end fields in order, without `Host`.
    package var fields: HeaderFields

    package init(
        method: String, authority: String, target: String, upgrade: String = "", window: UInt32 = 0,
        fields: HeaderFields
    ) {
        self.method = method
        self.authority = authority
        self.target = target
        self.upgrade = upgrade
        self.window = window
        self.fields = fields
    }

    /// The target without its query; `/` for `*` (RFC 9110 §9.3.7), which is for who serves the root.
    package var path: Substring {
        guard target != "*" else { return "/" }
        guard let query = target.utf8.firstIndex(of: UInt8(ascii: "?")) else { return target[...] }
        return target[..<query]
    }
}

/// The head of an answer on its way to the client.
package struct ResponseHead: Equatable, Sendable {
    /// 100 to 999; below 200 another head follows, except for 101.
    package var status: UInt16
    /// End-to-end fields in order.
    package var fields: HeaderFields

    package init(status: UInt16, fields: HeaderFields) {
        self.status = status
        self.fields = fields
    }

    /// Whether another head follows (RFC 9110 §15.2).
    package var isInformational: Bool { status < 200 && status != 101 }
}

/// What a receiver accepts; a peer that exceeds it breaks the protocol.
package enum FrameLimits {
    /// Credit, in bytes, that the agent grants implicitly for each request's body; raised by WINDOW.
    package static let initialRequestCredit = 64 * 1024
    /// The longest DATA payload, in bytes.
    package static let maxDataSize = 64 * 1024
    /// The longest HEADERS payload, in bytes.
    package static let maxHeaderBlockSize = 128 * 1024
    /// The longest RESET or GOAWAY detail, in bytes of UTF-8.
    package static let maxDetailSize = 1024
    /// The longest WebSocket binary message, in bytes: room for one frame of any kind and more.
    package static let maxMessageSize = 256 * 1024
}

/// Why a stream was reset. Unknown codes are kept and treated as `internalError`.
package struct ResetCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package var rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The exchange is not wanted any more: the client or the origin went away.
    package static let cancelled = ResetCode(rawValue: 0)
    /// The peer broke the rules of this stream.
    package static let protocolError = ResetCode(rawValue: 1)
    /// Something went wrong on this side, by its own fault.
    package static let internalError = ResetCode(rawValue: 2)
    /// Never processed, because the tunnel is draining or has its limit of streams; may be sent elsewhere.
    package static let refused = ResetCode(rawValue: 3)
    /// Never processed, for want of memory; may be sent elsewhere or later.
    package static let overloaded = ResetCode(rawValue: 4)
    /// The agent has not advertised this host and path, or the target is one it never forwards to.
    package static let notAdvertised = ResetCode(rawValue: 5)
    /// The backend's name does not resolve.
    package static let backendUnresolved = ResetCode(rawValue: 6)
    /// The backend cannot be connected to.
    package static let backendUnreachable = ResetCode(rawValue: 7)
    /// The backend did not answer in time.
    package static let backendTimeout = ResetCode(rawValue: 8)
    /// The backend closed the connection in the middle of the exchange.
    package static let backendClosed = ResetCode(rawValue: 9)
    /// The backend's answer is not HTTP.
    package static let backendInvalid = ResetCode(rawValue: 10)
    /// Nothing moved for longer than the idle timeout.
    package static let idleTimeout = ResetCode(rawValue: 11)
    /// No connection to the backend was made in time.
    package static let backendConnectTimeout = ResetCode(rawValue: 12)
    /// The backend's certificate is not trusted, or TLS with it failed otherwise.
    package static let backendTLSFailed = ResetCode(rawValue: 13)

    private static let names = [
        "cancelled", "protocol_error", "internal_error", "refused", "overloaded", "not_advertised",
        "backend_unresolved", "backend_unreachable", "backend_timeout", "backend_closed", "backend_invalid",
        "idle_timeout", "backend_connect_timeout", "backend_tls_failed",
    ]

    /// The snake_case name used in logs and documents.
    package var description: String {
        Int(rawValue) < Self.names.count ? Self.names[Int(rawValue)] : "unknown_\(rawValue)"
    }
}
