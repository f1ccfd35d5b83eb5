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

/// All frames of a message.
func frames(in message: ByteBuffer) throws -> [Frame] {
    var reader = FrameReader(message)
    var frames: [Frame] = []
    while let frame = try reader.next() { frames.append(frame) }
    return frames
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

/// A repeatable sequence (SplitMix64), so that a failure can be seen again by its seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

extension Multiplexer {
    /// Everything there is to send now, as frames.
    mutating func output(limit: Int = .max) throws -> [Frame] {
        var message = ByteBuffer()
        _ = write(into: &message, limit: limit)
        return try frames(in: message)
    }

    var snapshot: String { "\(streamCount) streams, \(reservedBytes) reserved, \(queuedBytes) queued" }
}

/// Short heads for transcripts.
enum Heads {
    static let get = RequestHead(method: "GET", authority: "a.com", target: "/", fields: [:])
    static let post = RequestHead(method: "POST", authority: "a.com", target: "/", fields: [:])
    static func get(window: UInt32) -> RequestHead {
        var head = get
        head.window = window
        return head
    }
    static let ok = ResponseHead(status: 200, fields: ["Server": "x"])
    static let earlyHints = ResponseHead(status: 103, fields: [:])
}

func text(_ text: String) -> ByteBuffer { ByteBuffer(string: text) }
func filler(_ count: Int) -> ByteBuffer { ByteBuffer(repeating: 0x78, count: count) }
