import NIOCore
import NIOHTTP1
import Testing
import TunnelProtocol

/// The bytes of a hexadecimal text; white space does not matter.
func bytes(hex: String) throws -> ByteBuffer {
    var buffer = ByteBuffer()
    let digits = hex.filter { !$0.isWhitespace }
    try #require(digits.count % 2 == 0, "an odd number of digits")
    var rest = digits[...]
    while !rest.isEmpty {
        buffer.writeInteger(try #require(UInt8(rest.prefix(2), radix: 16), "not hexadecimal: \(rest.prefix(2))"))
        rest = rest.dropFirst(2)
    }
    return buffer
}

func hex(_ buffer: ByteBuffer) -> String {
    buffer.readableBytesView.map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }.joined(separator: " ")
}

func encoded(_ frames: [Frame]) -> ByteBuffer {
    var buffer = ByteBuffer()
    for frame in frames { buffer.writeFrame(frame) }
    return buffer
}

/// What reading a message ends with.
func violation(in message: ByteBuffer) -> ProtocolViolation.Code? {
    do {
        _ = try frames(in: message)
        return nil
    } catch {
        return (error as? ProtocolViolation)?.code
    }
}

extension Multiplexer {
    /// Everything there is to send now, as frames.
    mutating func output(limit: Int = .max) throws -> [Frame] {
        var message = ByteBuffer()
        _ = write(into: &message, limit: limit)
        return try frames(in: message)
    }
}

func text(_ text: String) -> ByteBuffer { ByteBuffer(string: text) }
func filler(_ count: Int) -> ByteBuffer { ByteBuffer(repeating: 0x78, count: count) }
