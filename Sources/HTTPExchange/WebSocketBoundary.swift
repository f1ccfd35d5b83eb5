package import NIOCore

/// Follows the WebSocket frames (RFC 6455 §5.2) in one direction of a connection that only passes through, so that a
/// frame of one's own can be put between two of them.
package struct WebSocketBoundary: Hashable, Sendable {
    /// Bytes of the frame under way that are still to come, once its header is known.
    private var remaining = 0
    /// The header of the frame under way as far as it has arrived; at most 14 bytes.
    private var header: [UInt8] = []

    package init() {}

    /// Whether the next byte begins a frame.
    package var isBetweenFrames: Bool { remaining == 0 && header.isEmpty }

    /// Bytes passed.
    package mutating func pass(_ bytes: ByteBuffer) {
        var left = bytes
        while left.readableBytes > 0 {
            if remaining > 0 {
                let count = min(remaining, left.readableBytes)
                left.moveReaderIndex(forwardBy: count)
                remaining -= count
            } else if let byte: UInt8 = left.readInteger() {
                header.append(byte)
                if let length = payloadLength {
                    remaining = length
                    header.removeAll(keepingCapacity: true)
                }
            }
        }
    }

    /// Known once the header is whole: the length of the payload.
    private var payloadLength: Int? {
        guard header.count >= 2 else { return nil }
        let short = Int(header[1] & 0x7F)
        let lengthBytes = short == 127 ? 8 : short == 126 ? 2 : 0
        guard header.count == 2 + lengthBytes + (header[1] & 0x80 != 0 ? 4 : 0) else { return nil }
        guard lengthBytes > 0 else { return short }
        return Int(clamping: header[2..<2 + lengthBytes].reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }

    /// An unmasked close frame with this code (RFC 6455 §5.5.1), as a server sends it.
    package static func closeFrame(_ code: UInt16) -> ByteBuffer {
        ByteBuffer(bytes: [0x88, 2, UInt8(code >> 8), UInt8(code & 0xFF)])
    }
}
