import NIOCore
import NIOHTTP1
import Testing
import TunnelProtocol

@Suite("What ends a tunnel")
struct MultiplexerViolationTests {
    private let id = StreamID(1)

    private func code(_ action: Multiplexer.Action) -> ProtocolViolation.Code? {
        if case .close(let violation) = action { violation.code } else { nil }
    }

    private func gateway(receivedHead: Bool = false) -> Multiplexer {
        var mux = Multiplexer(role: .gateway, maxStreams: 10)
        _ = mux.open(Heads.post, endStream: false)
        if receivedHead { _ = mux.receive(.headers(id, .response(Heads.ok), endStream: false)) }
        return mux
    }

    private func agent(bodyEnded: Bool = false) -> Multiplexer {
        var mux = Multiplexer(role: .agent, maxStreams: 10)
        _ = mux.receive(.headers(id, .request(Heads.get(window: 100)), endStream: bodyEnded))
        return mux
    }

    @Test("An agent must not open streams, a gateway must not answer")
    func roles() {
        var gateway = gateway()
        #expect(code(gateway.receive(.headers(StreamID(2), .request(Heads.get), endStream: true))) == .unexpectedFrame)
        var agent = agent()
        #expect(code(agent.receive(.headers(id, .response(Heads.ok), endStream: true))) == .unexpectedFrame)
    }

    @Test("Stream numbers only go up, and zero is none", arguments: [UInt32(0), 1])
    func reusedNumber(_ number: UInt32) {
        var agent = agent()
        #expect(
            code(agent.receive(.headers(StreamID(number), .request(Heads.get), endStream: true))) == .badStreamID)
    }

    @Test("Frames of a stream that was never opened", arguments: [UInt32(0), 2])
    func neverOpened(_ number: UInt32) {
        let id = StreamID(number)
        let frames: [Frame] = [
            .data(id, text("x"), endStream: false), .window(id, increment: 1), .reset(id, .cancelled, detail: ""),
            .headers(id, .trailers([:]), endStream: true),
        ]
        for frame in frames {
            var gateway = gateway()
            #expect(code(gateway.receive(frame)) == .badStreamID)
            var agent = agent()
            #expect(code(agent.receive(frame)) == .badStreamID)
        }
        var gateway = gateway()
        #expect(code(gateway.receive(.headers(id, .response(Heads.ok), endStream: true))) == .badStreamID)
    }

    @Test("A second final head, or an end with an informational one")
    func heads() {
        var second = gateway(receivedHead: true)
        #expect(code(second.receive(.headers(id, .response(Heads.ok), endStream: false))) == .unexpectedFrame)
        var late = gateway(receivedHead: true)
        #expect(code(late.receive(.headers(id, .response(Heads.earlyHints), endStream: false))) == .unexpectedFrame)
        var ended = gateway()
        #expect(code(ended.receive(.headers(id, .response(Heads.earlyHints), endStream: true))) == .unexpectedFrame)
    }

    @Test("DATA or trailers before the head or after the end")
    func order() {
        var early = gateway()
        #expect(code(early.receive(.data(id, text("x"), endStream: false))) == .unexpectedFrame)
        var earlyTrailers = gateway()
        #expect(code(earlyTrailers.receive(.headers(id, .trailers([:]), endStream: true))) == .unexpectedFrame)
        var after = agent(bodyEnded: true)
        #expect(code(after.receive(.data(id, text("x"), endStream: false))) == .unexpectedFrame)
        var trailersAfter = agent(bodyEnded: true)
        #expect(code(trailersAfter.receive(.headers(id, .trailers([:]), endStream: true))) == .unexpectedFrame)
        var unfinished = agent()
        #expect(code(unfinished.receive(.headers(id, .trailers([:]), endStream: false))) == .unexpectedFrame)
    }

    @Test("DATA beyond the credit, by one byte")
    func creditExceeded() throws {
        var limits = FlowLimits()
        limits.openingWindow = 64 * 1024
        var exact = Multiplexer(role: .agent, maxStreams: 10, limits: limits)
        _ = exact.receive(.headers(id, .request(Heads.get), endStream: false))
        #expect(exact.receive(.data(id, filler(65536), endStream: false)) != .none)
        #expect(exact.receive(.data(id, ByteBuffer(), endStream: false)) == .data(id, ByteBuffer(), endStream: false))
        #expect(code(exact.receive(.data(id, text("x"), endStream: false))) == .creditExceeded)
    }

    @Test("Credit of nothing, or beyond 2³¹−1")
    func badCredit() {
        var zero = gateway()
        #expect(code(zero.receive(.window(id, increment: 0))) == .badCredit)
        var huge = gateway()
        #expect(code(huge.receive(.window(id, increment: UInt32(Int32.max)))) == .badCredit)
        var sum = gateway()
        #expect(sum.receive(.window(id, increment: UInt32(Int32.max) - 65536)) == .none)
        #expect(code(sum.receive(.window(id, increment: 1))) == .badCredit)
        var opening = Multiplexer(role: .agent, maxStreams: 10)
        #expect(
            code(opening.receive(.headers(id, .request(Heads.get(window: 1 << 31)), endStream: true))) == .badCredit)
    }

    @Test("Every violation of a frame is one of the documented codes and says which stream")
    func detail() {
        var gateway = gateway()
        guard case .close(let violation) = gateway.receive(.data(StreamID(77), text("x"), endStream: false)) else {
            Issue.record("taken")
            return
        }
        #expect(violation.detail.contains("77"))
        #expect(violation.description == "bad_stream_id: \(violation.detail)")
    }

    @Test("Reset codes keep their numbers and names")
    func resetCodes() {
        let names = (0...14).map { ResetCode(rawValue: $0).description }
        #expect(
            names == [
                "cancelled", "protocol_error", "internal_error", "refused", "overloaded", "not_advertised",
                "backend_unresolved", "backend_unreachable", "backend_timeout", "backend_closed", "backend_invalid",
                "idle_timeout", "backend_connect_timeout", "backend_tls_failed", "unknown_14",
            ])
        #expect(ResetCode(rawValue: .max).description == "unknown_4294967295")
    }
}
