import NIOCore
import Testing
import TunnelProtocol

@Suite("Limits of a tunnel, and its draining")
struct MultiplexerLimitTests {
    @Test("The gateway opens no more streams than allowed")
    func streamLimit() throws {
        var mux = Multiplexer(role: .gateway, maxStreams: 2)
        #expect(mux.open(Heads.get, endStream: true) == .opened(StreamID(1)))
        #expect(mux.open(Heads.get, endStream: true) == .opened(StreamID(2)))
        #expect(!mux.acceptsStreams)
        #expect(mux.open(Heads.get, endStream: true) == .streamLimit)
        _ = mux.receive(.headers(StreamID(1), .response(Heads.ok), endStream: true))
        #expect(mux.open(Heads.get, endStream: true) == .opened(StreamID(3)))
    }

    @Test("The agent refuses more streams than allowed, and nothing else suffers")
    func agentStreamLimit() throws {
        var mux = Multiplexer(role: .agent, maxStreams: 1)
        let head = Heads.get(window: 10)
        #expect(mux.receive(.headers(StreamID(1), .request(head), endStream: true)) != .none)
        #expect(
            mux.receive(.headers(StreamID(2), .request(head), endStream: true))
                == .refused(StreamID(2), .refused, detail: "as many streams as allowed are open"))
        guard case .reset(StreamID(2), .refused, _) = try mux.output().first else {
            Issue.record("not refused")
            return
        }
        // What was on its way for it is a harmless race.
        #expect(mux.receive(.data(StreamID(2), text("x"), endStream: true)) == .none)
        #expect(mux.isOpen(StreamID(1)))
    }

    @Test("Without memory for credit no stream is opened, and none is accepted with a body")
    func memory() throws {
        var limits = FlowLimits()
        limits.budget = 64 * 1024
        var gateway = Multiplexer(role: .gateway, maxStreams: 10, limits: limits)
        #expect(gateway.open(Heads.get, endStream: true) == .opened(StreamID(1)))
        for number in 2...4 as ClosedRange<UInt32> {
            #expect(gateway.open(Heads.get, endStream: true) == .opened(StreamID(number)))
        }
        #expect(gateway.open(Heads.get, endStream: true) == .memory)
        #expect(gateway.reservedBytes == 64 * 1024)

        var agent = Multiplexer(role: .agent, maxStreams: 10, limits: limits)
        let head = Heads.get(window: 10)
        #expect(agent.receive(.headers(StreamID(1), .request(head), endStream: false)) != .none)
        #expect(
            agent.receive(.headers(StreamID(2), .request(head), endStream: false))
                == .refused(StreamID(2), .overloaded, detail: "the tunnel's memory budget is used up"))
        guard case .reset(StreamID(2), .overloaded, _) = try agent.output().first else {
            Issue.record("not refused")
            return
        }
        #expect(agent.receive(.headers(StreamID(3), .request(head), endStream: true)) != .none)
        #expect(agent.streamCount == 2)
    }

    @Test("The numbers of streams end before they repeat")
    func numbers() {
        var agent = Multiplexer(role: .agent, maxStreams: 10)
        let last = StreamID(UInt32(Int32.max))
        #expect(
            agent.receive(.headers(last, .request(Heads.get), endStream: true))
                == .opened(last, Heads.get, endStream: true))
        guard case .close = agent.receive(.headers(StreamID(1 << 31), .request(Heads.get), endStream: true)) else {
            Issue.record("taken")
            return
        }
    }

    @Test("A draining gateway says so once, opens no more, and lets open streams end")
    func gatewayDrains() throws {
        var mux = Multiplexer(role: .gateway, maxStreams: 10)
        #expect(mux.open(Heads.get, endStream: true) == .opened(StreamID(1)))
        _ = try mux.output()
        mux.drain(detail: "shutting down")
        mux.drain(detail: "again")
        #expect(try mux.output() == [.goAway(lastStreamID: StreamID(1), detail: "shutting down")])
        #expect(mux.open(Heads.get, endStream: true) == .draining)
        #expect(!mux.acceptsStreams)
        #expect(mux.receive(.headers(StreamID(1), .response(Heads.ok), endStream: true)) != .none)
        #expect(mux.streamCount == 0)
    }

    @Test("A draining agent refuses what crossed its GOAWAY and lets open streams end")
    func agentDrains() throws {
        var mux = Multiplexer(role: .agent, maxStreams: 10)
        let head = Heads.get(window: 100)
        _ = mux.receive(.headers(StreamID(1), .request(head), endStream: true))
        mux.drain(detail: "bye")
        #expect(
            mux.receive(.headers(StreamID(2), .request(head), endStream: true))
                == .refused(StreamID(2), .refused, detail: "draining"))
        #expect(
            try mux.output() == [
                .goAway(lastStreamID: StreamID(1), detail: "bye"),
                .reset(StreamID(2), .refused, detail: "draining"),
            ])
        mux.respond(StreamID(1), Heads.ok, endStream: true)
        #expect(try mux.output() == [.headers(StreamID(1), .response(Heads.ok), endStream: true)])
        #expect(mux.streamCount == 0)
    }

    @Test("GOAWAY hands back the streams that were never processed")
    func goAwayAtGateway() throws {
        var mux = Multiplexer(role: .gateway, maxStreams: 10)
        for _ in 1...4 { _ = mux.open(Heads.post, endStream: false) }
        #expect(
            mux.receive(.goAway(lastStreamID: StreamID(2), detail: "bye"))
                == .draining(unprocessed: [StreamID(3), StreamID(4)], detail: "bye"))
        #expect(mux.streamCount == 2)
        #expect(mux.open(Heads.get, endStream: true) == .draining)
        // The agent's refusal of a stream that crossed its GOAWAY.
        #expect(mux.receive(.reset(StreamID(3), .refused, detail: "")) == .none)
        #expect(mux.receive(.headers(StreamID(1), .response(Heads.ok), endStream: true)) != .none)
    }

    @Test("GOAWAY from the gateway leaves the agent's streams alone")
    func goAwayAtAgent() throws {
        var mux = Multiplexer(role: .agent, maxStreams: 10)
        _ = mux.receive(.headers(StreamID(1), .request(Heads.get), endStream: true))
        #expect(
            mux.receive(.goAway(lastStreamID: StreamID(1), detail: "bye")) == .draining(unprocessed: [], detail: "bye"))
        #expect(mux.isOpen(StreamID(1)))
        mux.drain(detail: "also")
        #expect(try mux.output() == [])
    }
}
