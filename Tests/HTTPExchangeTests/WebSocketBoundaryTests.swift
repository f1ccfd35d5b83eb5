import HTTPExchange
import NIOCore
import Testing

@Suite("Between the frames of a WebSocket that passes through")
struct WebSocketBoundaryTests {
    private static let frames: [[UInt8]] = [
        [0x81, 2, 1, 2], [0x82, 0], [0x81, 0x82, 9, 9, 9, 9, 1, 2],
        [0x82, 126, 0, 130] + [UInt8](repeating: 7, count: 130),
        [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0] + [UInt8](repeating: 7, count: 65_536),
        [0x82, 254, 0, 130, 1, 1, 1, 1] + [UInt8](repeating: 7, count: 130),
    ]

    @Test("only whole frames end at a boundary, however they are split", arguments: [1, 2, 3, 1000, 100_000])
    func boundaries(step: Int) {
        var boundary = WebSocketBoundary()
        #expect(boundary.isBetweenFrames)
        for frame in Self.frames {
            var rest = frame[...]
            while !rest.isEmpty {
                boundary.pass(ByteBuffer(bytes: rest.prefix(step)))
                rest = rest.dropFirst(step)
                #expect(boundary.isBetweenFrames == rest.isEmpty)
            }
        }
        boundary.pass(ByteBuffer(bytes: Self.frames.joined()))
        #expect(boundary.isBetweenFrames)
    }

    @Test("the close frame is one of RFC 6455 §5.5.1")
    func close() {
        #expect(WebSocketBoundary.closeFrame(1012) == ByteBuffer(bytes: [0x88, 2, 0x03, 0xF4]))
    }
}
