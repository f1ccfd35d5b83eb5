import NIOCore
import NIOHTTP1
import TunnelProtocol

/// All frames of a message.
func frames(in message: ByteBuffer) throws -> [Frame] {
    var reader = FrameReader(message)
    var frames: [Frame] = []
    while let frame = try reader.next() { frames.append(frame) }
    return frames
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

extension Multiplexer {
    var snapshot: String { "\(streamCount) streams, \(reservedBytes) reserved, \(queuedBytes) queued" }
}
