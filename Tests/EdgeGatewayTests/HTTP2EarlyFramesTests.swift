import NIOCore
import Testing

@testable import EdgeGateway

@Suite("What a client of HTTP/2 sends before it knows the gateway's settings")
struct HTTP2EarlyFramesTests {
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    private static let settings = frame(4)
    private static let acknowledgement = frame(4, flags: 1)
    private static let small = frame(1, flags: 4, stream: 1, [UInt8](repeating: 1, count: 100))
    /// A head in two frames.
    private static let large =
        frame(1, stream: 1, [UInt8](repeating: 2, count: 9000))
        + frame(9, flags: 4, stream: 1, [UInt8](repeating: 3, count: 100))
    private static let data = frame(0, stream: 1, [4, 5, 6])

    private static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt8 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        [0, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF), type, flags, 0, 0, 0, stream] + payload
    }

    /// What is passed on of bytes that come in parts of this size.
    private func passed(_ bytes: [UInt8], by size: Int) -> (bytes: [UInt8], isDone: Bool) {
        var frames = HTTP2EarlyFrames()
        var passed: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            let part = ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)])
            passed += frames.isDone ? Array(part.readableBytesView) : Array(frames.received(part).readableBytesView)
        }
        return (passed, frames.isDone)
    }

    @Test(
        "passes as it comes where heads are small, and nothing is looked at behind the acknowledgement",
        arguments: [1, 7, 100_000])
    func ordinary(by size: Int) {
        let bytes = Self.preface + Self.settings + Self.small + Self.data
        #expect(passed(bytes, by: size).bytes == bytes)
        #expect(!passed(bytes, by: size).isDone)
        let more = bytes + Self.acknowledgement + Self.large + Self.data
        #expect(passed(more, by: size).bytes == more)
        #expect(passed(more, by: size).isDone)
    }

    @Test("a large head waits for the acknowledgement, which comes first then", arguments: [1, 7, 1000, 100_000])
    func large(by size: Int) {
        let before = Self.preface + Self.settings + Self.small
        let held = Self.large + Self.data
        #expect(passed(before + held, by: size).bytes == before)
        let bytes = before + held + Self.acknowledgement + Self.small
        let ordered = before + Self.acknowledgement + held + Self.small
        #expect(passed(bytes, by: size).bytes == ordered)
        #expect(passed(bytes, by: size).isDone)
    }

    @Test(
        "more than anybody sends before, or a frame that nobody may send, is left to the codec",
        arguments: [1000, 1_000_000])
    func excessive(by size: Int) {
        let start = Self.preface + Self.settings + Self.large
        let much = start + Array(repeating: Self.frame(9, stream: 1), count: 40_000).joined()
        #expect(passed(much, by: size).bytes == much)
        let long = start + [0, 0x40, 1, 0, 0, 0, 0, 0, 1]
        #expect(passed(long, by: size).bytes == long)
    }

    @Test("what is no preface, and bytes of every kind, pass or wait, whole and in order")
    func anything() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let bytes = (0..<300).map { _ in UInt8.random(in: 0...255, using: &random) }
            let passed = passed(bytes, by: 13).bytes
            #expect(bytes.starts(with: passed))
        }
    }
}
