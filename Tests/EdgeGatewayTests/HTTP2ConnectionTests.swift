import NIOCore
import Testing

@testable import EdgeGateway

@Suite("The life of a client's connection of HTTP/2")
struct HTTP2ConnectionTests {
    private static func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(1000 + seconds) }

    private static func state(isEnding: Bool = false) -> HTTP2ClientState {
        var state = HTTP2ClientState(isEnding: isEnding, now: at(0), times: .init())
        state.prefaceCame()
        return state
    }

    @Test("one without a stream ends when it has been idle, and no sooner")
    func idle() {
        var state = Self.state()
        #expect(state.deadline == Self.at(75))
        #expect(state.check(now: Self.at(74)) == .none)
        #expect(state.opened(1, now: Self.at(74)) == .none)
        #expect(state.deadline == .distantFuture)
        #expect(state.check(now: Self.at(1000)) == .none)
        #expect(state.ended(now: Self.at(1000)) == .none)
        state.isTaking(now: Self.at(1010))
        #expect(state.check(now: Self.at(1084)) == .none)
        #expect(state.check(now: Self.at(1085)) == .goAwayAndClose(last: 1))
        #expect(state.isClosed)
        #expect(state.check(now: Self.at(2000)) == .none)
    }

    @Test("one whose client does not speak HTTP/2 in time is closed without a word")
    func preface() {
        var state = HTTP2ClientState(isEnding: false, now: Self.at(0), times: .init())
        #expect(state.deadline == Self.at(15))
        #expect(state.check(now: Self.at(14)) == .none)
        #expect(state.check(now: Self.at(15)) == .close)
    }

    @Test(
        "an end is announced, its last stream named once what was on its way is here, and the connection closed behind it"
    )
    func drain() {
        var state = Self.state()
        _ = state.opened(1, now: Self.at(1))
        #expect(state.drain(now: Self.at(1)) == .announce)
        #expect(state.drain(now: Self.at(1)) == .none)
        // On its way when the client heard of it.
        #expect(state.opened(3, now: Self.at(2)) == .none)
        #expect(state.ended(now: Self.at(2)) == .none)
        #expect(state.answered() == .goAway(last: 3))
        #expect(state.answered() == .none)
        #expect(state.ended(now: Self.at(3)) == .close)
        #expect(state.closeNow() == nil)
    }

    @Test("a client that does not answer is waited for five seconds; one without a request is told all at once")
    func silence() {
        var state = Self.state()
        _ = state.opened(1, now: Self.at(1))
        _ = state.drain(now: Self.at(1))
        #expect(state.deadline == Self.at(6))
        #expect(state.check(now: Self.at(5)) == .none)
        #expect(state.check(now: Self.at(6)) == .goAway(last: 1))
        var idle = Self.state()
        _ = idle.drain(now: Self.at(1))
        #expect(idle.answered() == .goAwayAndClose(last: 0))
        var impatient = Self.state()
        _ = impatient.drain(now: Self.at(1))
        impatient.closeIfIdle()
        #expect(impatient.deadline == Self.at(1))
        #expect(impatient.check(now: Self.at(2)) == .goAwayAndClose(last: 0))
    }

    @Test("a connection to a gateway that is ending already has one request, and what is on its way with it")
    func endingAlready() {
        var state = Self.state(isEnding: true)
        #expect(state.opened(1, now: Self.at(1)) == .announce)
        #expect(state.opened(3, now: Self.at(1)) == .none)
    }

    @Test("where something ends it at once the client is told the last stream, once")
    func violation() {
        var state = Self.state()
        _ = state.opened(5, now: Self.at(1))
        #expect(state.closeNow() == 5)
        #expect(state.closeNow() == nil)
        #expect(state.ended(now: Self.at(1)) == .none)
    }

    @Test("credit returns by halves; the window grows while all is taken, and never beyond a mebibyte")
    func credit() {
        var credit = HTTP2StreamCredit()
        credit.update(40_000)
        #expect(credit.increment(waiting: 0, allowance: 1 << 20) == 0)
        credit.update(32_000)
        #expect(credit.increment(waiting: 0, allowance: 1 << 20) == 2 * 65_535 - 32_000)
        #expect(credit.growth == 65_535)
        var full = HTTP2StreamCredit()
        for _ in 0..<20 {
            full.update(0)
            _ = full.increment(waiting: 0, allowance: .max)
        }
        #expect(full.window == 1 << 20)
    }

    @Test("what waits is not credited, nor does its window grow; nor does one for which there is no memory")
    func waiting() {
        var credit = HTTP2StreamCredit()
        credit.update(0)
        credit.waited()
        #expect(credit.increment(waiting: 40_000, allowance: 1 << 20) == 0)
        #expect(credit.increment(waiting: 20_000, allowance: 1 << 20) == 45_535)
        #expect(credit.growth == 0)
        credit.update(0)
        #expect(credit.increment(waiting: 0, allowance: 1 << 20) == 65_535)
        #expect(credit.growth == 0)
        credit.update(0)
        #expect(credit.increment(waiting: 0, allowance: 0) == 65_535)
        #expect(credit.growth == 0)
    }

    @Test(
        "a client may send a thousand updates of windows at once, four for each frame it is sent, and a hundred a second"
    )
    func windowFlood() {
        var flood = HTTP2WindowFlood()
        func allowed(at second: Int64) -> Int {
            var count = 0
            while flood.updated(now: Self.at(second)) { count += 1 }
            return count
        }
        #expect(allowed(at: 0) == 1000)
        flood.sent()
        #expect(allowed(at: 0) == 4)
        #expect(allowed(at: 2) == 200)
        #expect(allowed(at: 100) == 1000)
    }

    @Test("a client with prior knowledge is known by its whole preface, any other by the first byte that differs")
    func priorKnowledge() {
        let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        for length in preface.indices {
            var part = ByteBuffer(bytes: preface.prefix(length))
            #expect(FrontProtocol.byPreface(&part) == nil)
            part.writeString("x")
            #expect(FrontProtocol.byPreface(&part) == .http11)
        }
        var whole = ByteBuffer(bytes: preface + [1, 2])
        #expect(FrontProtocol.byPreface(&whole) == .http2)
        #expect(whole.readableBytes == preface.count + 2)
    }
}
