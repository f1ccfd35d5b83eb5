package import NIOCore
package import TunnelProtocol

/// What the WebSocket layer (RFC 6455) delivers: whole messages and control frames.
package enum WebSocketMessage: Hashable, Sendable {
    case text(String)
    case binary(ByteBuffer)
    case ping(ByteBuffer)
    case pong(ByteBuffer)
    case close(code: UInt16?, reason: String)
}

/// The WebSocket opcodes (RFC 6455 §11.8).
package enum WebSocketOpcode {
    package static let continuation: UInt8 = 0x0
    package static let text: UInt8 = 0x1
    package static let binary: UInt8 = 0x2
    package static let close: UInt8 = 0x8
    package static let ping: UInt8 = 0x9
    package static let pong: UInt8 = 0xA
}

/// Which end of the connection this is: the client masks what it sends, the server does not (RFC 6455 §5.1).
package enum WebSocketRole: Hashable, Sendable {
    case client
    case server
}

/// The longest messages that are taken, in bytes of joined payload.
package struct WebSocketLimits: Hashable, Sendable {
    package var text: Int
    package var binary: Int

    package init(text: Int, binary: Int) {
        self.text = text
        self.binary = binary
    }

    /// Those of a tunnel: a control message, and frames.
    package static let tunnel = WebSocketLimits(
        text: ControlMessage.maximumSize, binary: FrameLimits.maxMessageSize)
}

/// Status codes of the closing handshake (RFC 6455 §7.4).
package enum WebSocketClose {
    package static let normal: UInt16 = 1000
    package static let goingAway: UInt16 = 1001
    package static let protocolError: UInt16 = 1002
    package static let invalidPayload: UInt16 = 1007
    package static let policyViolation: UInt16 = 1008
    package static let internalError: UInt16 = 1011

    /// Codes that may stand in a close frame (RFC 6455 §7.4.2, and the registry of §11.7).
    package static func isAllowed(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }

    /// The code that says what was wrong with what the peer sent.
    package static func code(for violation: ProtocolViolation) -> UInt16 {
        violation.code == .invalidText ? invalidPayload : protocolError
    }

    /// The payload of a close frame. A control frame holds 125 bytes (RFC 6455 §5.5), two of which are the code; the
    /// reason is cut to what is left, and what is not ASCII becomes `?`, so that no character is cut in two.
    package static func payload(_ code: UInt16, reason: String) -> ByteBuffer {
        var payload = ByteBuffer(integer: code)
        let text = reason.unicodeScalars.lazy.map { $0.isASCII ? UInt8(ascii: $0) : UInt8(ascii: "?") }
        payload.writeBytes(text.prefix(123))
        return payload
    }
}
