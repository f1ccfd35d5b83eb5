/// What a peer did that this protocol forbids. The tunnel is closed, and both sides log the code.
package struct ProtocolViolation: Error, Hashable, Sendable, CustomStringConvertible {
    /// The snake_case names travel in the `error` control message that precedes the close.
    package enum Code: String, Hashable, Sendable, CaseIterable {
        /// A frame or message longer than allowed.
        case tooLarge = "too_large"
        /// A frame that ends before its fields do, or a message that ends inside a frame.
        case truncated
        /// A field with a value outside its range.
        case malformedFrame = "malformed_frame"
        /// A text message that is not a control message.
        case malformedControl = "malformed_control"
        /// A frame that its sender may not send, or not in this state of the stream.
        case unexpectedFrame = "unexpected_frame"
        /// A stream number used twice, or never opened.
        case badStreamID = "bad_stream_id"
        /// More DATA than the credit granted.
        case creditExceeded = "credit_exceeded"
        /// Credit of zero, or more than 2³¹−1 in sum.
        case badCredit = "bad_credit"
        /// A control message out of order, or one that the sender may not send.
        case unexpectedControl = "unexpected_control"
        /// A claim to be another cluster than the token says.
        case wrongCluster = "wrong_cluster"
        /// The WebSocket framing (RFC 6455) was broken.
        case webSocket = "websocket"
        /// A text message, or the reason of a close frame, that is not UTF-8.
        case invalidText = "invalid_text"
        /// Control messages arrive faster than they can be handled.
        case controlFlood = "control_flood"
        /// Frames that do nothing, far more than any honest peer sends.
        case flood
        /// No hello or welcome in time.
        case handshakeTimeout = "handshake_timeout"
    }

    package var code: Code
    /// Facts for the log, without payload bytes.
    package var detail: String

    package init(_ code: Code, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    package var description: String { "\(code.rawValue): \(detail)" }
}
