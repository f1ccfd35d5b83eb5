import NIOCore
import Testing
import TunnelProtocol

@testable import EdgeGateway

@Suite("What is kept of a request's body")
struct RequestReplayTests {
    @Test("all of it, in order, without the bytes that were sent being held up")
    func kept() {
        var replay = RequestReplay()
        #expect(replay.body == ByteBuffer())
        let first = ByteBuffer(string: "first ")
        replay.sent(first)
        replay.sent(ByteBuffer())
        replay.sent(ByteBuffer(string: "second"))
        #expect(replay.body == ByteBuffer(string: "first second"))
        #expect(first == ByteBuffer(string: "first "))
    }

    @Test("up to what may be sent before credit is granted, and nothing beyond that, ever")
    func limit() {
        var replay = RequestReplay()
        replay.sent(ByteBuffer(repeating: 1, count: FrameLimits.initialRequestCredit - 1))
        replay.sent(ByteBuffer(repeating: 2, count: 1))
        #expect(replay.body?.readableBytes == FrameLimits.initialRequestCredit)
        replay.sent(ByteBuffer())
        #expect(replay.body?.readableBytes == FrameLimits.initialRequestCredit)
        replay.sent(ByteBuffer(repeating: 3, count: 1))
        #expect(replay.body == nil)
        replay.sent(ByteBuffer(string: "x"))
        #expect(replay.body == nil)
    }

    @Test("one part that is too large is not kept either")
    func atOnce() {
        var replay = RequestReplay()
        replay.sent(ByteBuffer(repeating: 1, count: FrameLimits.initialRequestCredit + 1))
        #expect(replay.body == nil)
    }

    @Test("nothing, once it is not needed any more")
    func givenUp() {
        var replay = RequestReplay()
        replay.sent(ByteBuffer(string: "x"))
        replay.giveUp()
        #expect(replay.body == nil)
        replay.sent(ByteBuffer(string: "y"))
        #expect(replay.body == nil)
    }
}
