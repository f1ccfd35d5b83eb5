import NIOCore

@testable import TunnelTransport

extension WebSocketOpcode {
    /// Set in an opcode that a test sends: a fragment that more of the message follow.
    static let unfinished: UInt8 = 0x40
}

extension WebSocketWriter {
    /// A frame, whatever it holds.
    mutating func raw(_ opcode: UInt8, _ payload: ByteBuffer) -> ByteBuffer {
        var frame = startMessage(capacity: payload.readableBytes, allocator: ByteBufferAllocator())
        frame.writeImmutableBuffer(payload)
        finish(&frame, opcode: opcode & ~WebSocketOpcode.unfinished)
        if opcode & WebSocketOpcode.unfinished != 0 {
            // FIN is the first bit.
            frame.setInteger(opcode & ~WebSocketOpcode.unfinished, at: frame.readerIndex)
        }
        return frame
    }
}
