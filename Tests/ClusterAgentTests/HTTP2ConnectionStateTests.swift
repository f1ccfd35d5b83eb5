import NIOCore
import Testing

@testable import ClusterAgent

@Suite("What a connection of HTTP/2 may be used for")
struct HTTP2ConnectionStateTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func ready(_ streams: Int? = nil) -> HTTP2ConnectionState {
        var state = HTTP2ConnectionState(now: start)
        state.settings(maxConcurrentStreams: streams, maxFrameSize: nil)
        return state
    }

    @Test("Nothing before the peer's SETTINGS, and as many streams as they allow after them")
    func settings() {
        var state = HTTP2ConnectionState(now: start)
        #expect(!state.hasRoom)
        state.settings(maxConcurrentStreams: 2, maxFrameSize: 20_000)
        #expect(state.maxFrameSize == 20_000)
        state.reserve()
        #expect(state.hasRoom)
        state.reserve()
        #expect(!state.hasRoom)
        // What SETTINGS do not name stays as it is (RFC 9113 §6.5.3).
        state.settings(maxConcurrentStreams: nil, maxFrameSize: nil)
        #expect(!state.hasRoom)
        #expect(state.release(now: start) == .none)
        #expect(state.hasRoom)
        state.settings(maxConcurrentStreams: 0, maxFrameSize: nil)
        #expect(!state.hasRoom)
    }

    @Test("A peer that allows any number gets a hundred at a time")
    func ownLimit() {
        var state = ready()
        for _ in 0..<100 {
            #expect(state.hasRoom)
            state.reserve()
        }
        #expect(!state.hasRoom)
    }

    @Test("Numbers of streams are odd and grow, and end before they run out")
    func numbers() {
        var limits = HTTP2ConnectionState.Limits()
        limits.lastStreamID = 5
        var state = HTTP2ConnectionState(now: start, limits: limits)
        state.settings(maxConcurrentStreams: nil, maxFrameSize: nil)
        #expect((0..<3).map { _ in state.open(now: start).id } == [1, 3, 5])
        #expect(state.isDraining)
        #expect(!state.hasRoom)
    }

    @Test("A connection that drains ends with its last stream")
    func draining() {
        var idle = ready()
        #expect(idle.drain() == .close)
        var state = ready()
        state.reserve()
        state.reserve()
        #expect(state.drain() == .none)
        #expect(!state.hasRoom)
        #expect(state.release(now: start) == .none)
        #expect(state.release(now: start) == .close)
    }

    @Test("A stream on a connection that was silent for long asks for a sign of life, and silence is its end")
    func silence() {
        var state = ready()
        state.reserve()
        #expect(!state.open(now: start + .seconds(4)).ping)
        #expect(state.open(now: start + .seconds(5)).ping)
        // One at a time.
        #expect(!state.open(now: start + .seconds(6)).ping)
        #expect(state.check(now: start + .seconds(14)) == .none)
        #expect(state.check(now: start + .seconds(15)) == .dead)
        state.received(now: start + .seconds(14))
        #expect(state.check(now: start + .seconds(15)) == .none)
        // A stream that waits alone is nobody's silence: a call may last for hours.
        #expect(state.check(now: start + .seconds(110)) == .none)
    }

    @Test("An unused connection is closed, and an old one takes no more streams")
    func age() {
        var state = ready()
        #expect(state.check(now: start + .seconds(59)) == .none)
        #expect(state.check(now: start + .seconds(60)) == .close)
        state.reserve()
        #expect(state.check(now: start + .seconds(119)) == .none)
        #expect(state.check(now: start + .seconds(120)) == .retire)
        #expect(state.drain() == .none)
        #expect(state.check(now: start + .seconds(121)) == .none)
    }
}
