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

    @Test("A gateway that announces its end opens streams until it drains, and tells each once")
    func announcedDrain() throws {
        var mux = Multiplexer(role: .gateway, maxStreams: 10)
        mux.announceDrain(detail: "shutting down")
        mux.announceDrain(detail: "again")
        #expect(try mux.output() == [.goAway(lastStreamID: StreamID(1 << 31 - 1), detail: "shutting down")])
        #expect(mux.acceptsStreams)
        #expect(mux.open(Heads.get, endStream: true) == .opened(StreamID(1)))
        mux.drain(detail: "now")
        mux.announceDrain(detail: "too late")
        let frames = try mux.output()
        #expect(frames.last == .goAway(lastStreamID: StreamID(1), detail: "now"))
        #expect(frames.count == 2)
        #expect(mux.open(Heads.get, endStream: true) == .draining)
    }

    @Test("An agent hears of the gateway's end once, and takes streams until the last GOAWAY")
    func announcedToAgent() throws {
        var mux = Multiplexer(role: .agent, maxStreams: 10)
        let last = StreamID(1 << 31 - 1)
        #expect(
            mux.receive(.goAway(lastStreamID: last, detail: "soon")) == .draining(unprocessed: [], detail: "soon"))
        #expect(mux.receive(.goAway(lastStreamID: last, detail: "soon")) == .none)
        #expect(
            mux.receive(.headers(StreamID(1), .request(Heads.get), endStream: true))
                == .opened(StreamID(1), Heads.get, endStream: true))
        #expect(mux.receive(.goAway(lastStreamID: StreamID(1), detail: "now")) == .none)
        #expect(
            mux.receive(.headers(StreamID(2), .request(Heads.get), endStream: true))
                == .refused(StreamID(2), .refused, detail: "draining"))
        #expect(mux.isOpen(StreamID(1)))
    }

    @Test("An agent that ends itself between the two says so")
    func agentEndsMeanwhile() throws {
        var mux = Multiplexer(role: .agent, maxStreams: 10)
        _ = mux.receive(.goAway(lastStreamID: StreamID(1 << 31 - 1), detail: "soon"))
        mux.drain(detail: "bye")
        #expect(try mux.output() == [.goAway(lastStreamID: StreamID(0), detail: "bye")])
    }

    @Test("A thousand streams that stand still queue no more than the budget, and all go on when they may")
    func queuesStayWithinTheBudget() throws {
        var limits = FlowLimits()
        limits.budget = 32 * 1024 * 1024
        var mux = Multiplexer(role: .agent, maxStreams: 2000, limits: limits)
        let chunk = filler(limits.sendQueueHigh)
        var stopped: Set<StreamID> = []
        let ids = (1...1000).map { StreamID(UInt32($0)) }
        for id in ids { _ = mux.receive(.headers(id, .request(Heads.get(window: 0)), endStream: true)) }
        for id in ids {
            var mayGoOn = mux.respond(id, Heads.ok, endStream: false)
            // A source sends until it is told to stop, and one read more that was under way.
            while mayGoOn { mayGoOn = mux.send(id, chunk, endStream: false) }
            stopped.insert(id)
            #expect(mux.queuedBytes <= limits.budget)
        }
        #expect(mux.queuedBytes > limits.budget / 4)
        #expect(mux.stalledStreams > 100)
        #expect(mux.stalls == mux.stalledStreams)
        // One that came now would wait for the readers that have stopped.
        guard
            case .refused(_, .overloaded, _) = mux.receive(
                .headers(StreamID(1001), .request(Heads.get), endStream: true))
        else { return #expect(Bool(false), "a new stream is accepted") }
        // The readers read again.
        for number in 1...1000 as ClosedRange<UInt32> { _ = mux.receive(.window(StreamID(number), increment: 1 << 20)) }
        var rounds = 0
        while mux.hasOutput || !stopped.isEmpty, rounds < 10_000 {
            rounds += 1
            var message = ByteBuffer()
            stopped.subtract(mux.write(into: &message, limit: 65536).released)
            stopped.subtract(mux.letIn())
        }
        #expect(stopped.isEmpty)
        #expect(mux.queuedBytes == 0)
        #expect(mux.stalledStreams == 0)
        #expect(
            mux.receive(.headers(StreamID(1002), .request(Heads.get), endStream: true))
                == .opened(StreamID(1002), Heads.get, endStream: true))
    }

    @Test("What is promised to the peer and what waits to be sent share one budget")
    func bothDirections() throws {
        var limits = FlowLimits()
        limits.budget = 8 * 1024 * 1024
        var gateway = Multiplexer(role: .gateway, maxStreams: 2000, limits: limits)
        let chunk = filler(limits.sendQueueHigh)
        var opened = 0
        // Uploads that the agent gives no more credit than the first, and whose answers it may send.
        while case .opened(let id) = gateway.open(Heads.post, endStream: false) {
            opened += 1
            while gateway.send(id, chunk, endStream: false) {}
            // What is held back still sends the read that was under way.
            #expect(gateway.reservedBytes + gateway.queuedBytes <= limits.budget + limits.budget / 8)
            guard opened < 2000 else { break }
        }
        #expect(opened > 30)
        #expect(gateway.reservedBytes + gateway.queuedBytes > limits.budget / 2)
        // The uploads gone, downloads may have it all.
        for number in 1...opened { gateway.reset(StreamID(UInt32(number)), .cancelled) }
        _ = try gateway.output(limit: .max)
        var downloads = 0
        while case .opened = gateway.open(Heads.get, endStream: true) { downloads += 1 }
        #expect(gateway.reservedBytes > limits.budget - 16 * 1024)
        #expect(gateway.reservedBytes <= limits.budget)
        // And uploads that come then still move.
        #expect(downloads > 100)
    }

    @Test(
        "Large fields of requests count against the budget for as long as their streams live, and are refused without room"
    )
    func requestHeads() throws {
        var limits = FlowLimits()
        limits.budget = 1024 * 1024
        var agent = Multiplexer(role: .agent, maxStreams: 100, limits: limits)
        var head = Heads.get
        head.fields.add(name: "X-Large", value: String(repeating: "x", count: 60_000))
        let size = head.fields.heldBytes
        var opened = 0
        for number in UInt32(1)...30 {
            let id = StreamID(number)
            if case .opened = agent.receive(.headers(id, .request(head), endStream: true)) { opened += 1 }
            #expect(agent.reservedBytes == opened * size)
        }
        #expect(opened == 1024 * 1024 / size)
        // Small ones cost nothing, and room comes back with a stream's end.
        #expect(agent.receive(.headers(StreamID(31), .request(Heads.get), endStream: true)) != .none)
        #expect(agent.reservedBytes == opened * size)
        _ = agent.receive(.reset(StreamID(1), .cancelled, detail: ""))
        #expect(agent.reservedBytes == (opened - 1) * size)
        _ = agent.receive(.headers(StreamID(33), .request(head), endStream: true))
        #expect(agent.reservedBytes == opened * size)
    }

    @Test("Large fields of answers count against the budget until they are written onward, and are cut without room")
    func heads() throws {
        var limits = FlowLimits()
        limits.budget = 1024 * 1024
        var gateway = Multiplexer(role: .gateway, maxStreams: 100, limits: limits)
        var head = Heads.ok
        head.fields.add(name: "X-Large", value: String(repeating: "x", count: 60_000))
        let size = head.fields.heldBytes
        #expect(size > 60_000)
        #expect(Heads.ok.fields.heldBytes == 0)
        #expect(gateway.open(Heads.get, endStream: true) == .opened(StreamID(1)))
        let reserved = gateway.reservedBytes
        #expect(gateway.receive(.headers(StreamID(1), .response(head), endStream: false)) != .none)
        #expect(gateway.reservedBytes == reserved + size)
        gateway.consumed(StreamID(1), size)
        #expect(gateway.reservedBytes == reserved)
        #expect(gateway.receive(.headers(StreamID(1), .trailers(head.fields), endStream: true)) != .none)
        #expect(gateway.reservedBytes == size)
        #expect(gateway.streamCount == 1)
        gateway.consumed(StreamID(1), size)
        #expect(gateway.reservedBytes == 0)
        #expect(gateway.streamCount == 0)

        for number in 2...41 as ClosedRange<UInt32> {
            #expect(gateway.open(Heads.get, endStream: true) == .opened(StreamID(number)))
        }
        var cut = 0
        for number in 2...41 as ClosedRange<UInt32> {
            let action = gateway.receive(.headers(StreamID(number), .response(head), endStream: true))
            if case .reset(_, .backendInvalid, _) = action { cut += 1 }
            #expect(gateway.reservedBytes <= limits.budget + limits.budget / 8)
        }
        #expect(cut > 10)
        #expect(gateway.streamCount == 40 - cut)
    }

    @Test("A tunnel promises less than the memory it may take: buffers are larger than their bytes")
    func headroom() {
        #expect(FlowLimits(memory: 64 * 1024 * 1024).budget == 48 * 1024 * 1024)
    }

    @Test("Where answers that wait fill the budget, no stream is accepted or opened")
    func queuesRefuse() throws {
        var limits = FlowLimits()
        limits.budget = 256 * 1024
        var agent = Multiplexer(role: .agent, maxStreams: 10, limits: limits)
        _ = agent.receive(.headers(StreamID(1), .request(Heads.get(window: 0)), endStream: true))
        agent.respond(StreamID(1), Heads.ok, endStream: false)
        #expect(agent.send(StreamID(1), filler(256 * 1024), endStream: false) == false)
        guard
            case .refused(_, .overloaded, _) = agent.receive(
                .headers(StreamID(2), .request(Heads.get), endStream: true))
        else {
            Issue.record("accepted")
            return
        }
        // The reset of the stalled stream frees it.
        agent.reset(StreamID(1), .cancelled)
        #expect(agent.queuedBytes < 1000)
        guard case .opened = agent.receive(.headers(StreamID(3), .request(Heads.get), endStream: true)) else {
            Issue.record("not accepted")
            return
        }
        var gateway = Multiplexer(role: .gateway, maxStreams: 10, limits: limits)
        #expect(gateway.open(Heads.post, endStream: false) == .opened(StreamID(1)))
        _ = gateway.send(StreamID(1), filler(320 * 1024), endStream: false)
        #expect(gateway.open(Heads.get, endStream: true) == .memory)
    }
}
