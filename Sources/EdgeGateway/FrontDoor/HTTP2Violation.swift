import Metrics
import NIOHTTP2
import Telemetry

/// What a client of HTTP/2 did that ended its connection, or one of its requests.
enum HTTP2Violation: String, CaseIterable, Hashable, Sendable {
    /// A request that HTTP/2 does not allow: its stream was reset.
    case malformedRequest = "malformed_request"
    /// A frame that HTTP/2 does not allow.
    case protocolError = "protocol_error"
    /// More bytes than the client had credit for, or more credit than there may be.
    case flowControl = "flow_control"
    /// More streams at a time than are allowed.
    case streamLimit = "stream_limit"
    /// Fields that are larger than can be answered with 431, or cannot be decompressed.
    case fieldBlock = "field_block"
    /// Streams opened and reset (CVE-2023-44487).
    case rapidReset = "rapid_reset"
    /// CONTINUATION without end.
    case continuationFlood = "continuation_flood"
    /// PING, SETTINGS and PRIORITY, more than anybody needs.
    case controlFlood = "control_flood"
    /// DATA without bytes.
    case emptyDataFlood = "empty_data_flood"
    /// WINDOW_UPDATE, more than what was sent is worth.
    case windowFlood = "window_flood"
    /// More malformed requests than a connection may have.
    case streamErrors = "stream_errors"
    /// Answers to frames, which the client does not take.
    case unreadAnswers = "unread_answers"

    /// What counts those of all connections.
    static func counters(factory: any MetricsFactory = MetricsSystem.factory) -> EnumeratedCounters<HTTP2Violation> {
        EnumeratedCounters("gateway_http2_violations_total", factory: factory)
    }

    /// - Parameters:
    ///   - error: what the codec says.
    ///   - code: what it has told the client; nil for a stream's.
    init(_ error: any Error, _ code: HTTP2ErrorCode?) {
        self =
            switch error {
            case is NIOHTTP2Errors.ExcessiveRSTFrames: .rapidReset
            case is NIOHTTP2Errors.ExcessiveContinuationFrames: .continuationFlood
            case is NIOHTTP2Errors.ExcessiveControlFrames: .controlFlood
            case is NIOHTTP2Errors.ExcessiveEmptyDataFrames: .emptyDataFlood
            case is NIOHTTP2Errors.ExcessiveStreamErrors, is NIOHTTP2Errors.ExcessiveNumberOfGlitches: .streamErrors
            case is NIOHTTP2Errors.ExcessivelyLargeHeaderBlock: .fieldBlock
            case is NIOHTTP2Errors.ExcessiveOutboundFrameBuffering: .unreadAnswers
            case is NIOHTTP2Errors.MaxStreamsViolation: .streamLimit
            case is NIOHTTP2Errors.FlowControlViolation, is NIOHTTP2Errors.InvalidFlowControlWindowSize: .flowControl
            default:
                switch code {
                case nil: .malformedRequest
                case .compressionError: .fieldBlock
                case .flowControlError: .flowControl
                default: .protocolError
                }
            }
    }
}
