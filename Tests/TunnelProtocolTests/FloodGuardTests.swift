import NIOCore
import Testing
import TunnelProtocol

@Suite("Frames that do nothing are let pass up to a point")
struct FloodGuardTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    /// How many of the frames are taken before the tunnel is closed for a flood; `nil` if all are.
    private func taken(
        _ mux: inout Multiplexer, _ count: Int, every interval: TimeAmount = .zero, from start: NIODeadline? = nil,
        _ frame: (Int) -> Frame
    ) -> Int? {
        var now = start ?? self.start
        for number in 0..<count {
            if case .close(let violation) = mux.receive(frame(number), at: now) {
                if violation.code != .flood { Issue.record("\(violation)") }
                return number
            }
            now = now + interval
        }
        return nil
    }

    private func agent(openStreams: UInt32 = 1, maxStreams: Int = 100) -> Multiplexer {
        var mux = Multiplexer(role: .agent, maxStreams: maxStreams)
        for id in 1...openStreams {
            _ = mux.receive(.headers(StreamID(id), .request(Heads.get(window: 0)), endStream: false), at: start)
        }
        return mux
    }

    private func gateway() -> Multiplexer {
        var mux = Multiplexer(role: .gateway, maxStreams: 100)
        _ = mux.open(Heads.post, endStream: false)
        _ = mux.receive(.headers(StreamID(1), .response(Heads.ok), endStream: false), at: start)
        return mux
    }

    @Test("Empty DATA that ends nothing: 200 at once, 10 a second", arguments: [Multiplexer.Role.agent, .gateway])
    func emptyData(role: Multiplexer.Role) {
        let frame = Frame.data(StreamID(1), ByteBuffer(), endStream: false)
        var flooded = role == .agent ? agent() : gateway()
        #expect(taken(&flooded, 1000) { _ in frame } == 200)
        var slow = role == .agent ? agent() : gateway()
        #expect(taken(&slow, 5000, every: .milliseconds(100)) { _ in frame } == nil)
    }

    @Test("WINDOWs: about 1000 at once, 100 a second, open stream or not", arguments: [UInt32(1), 2])
    func windows(id: UInt32) {
        var mux = agent(openStreams: 2)
        mux.reset(StreamID(2), .cancelled)
        let stopped = taken(&mux, 10_000) { _ in .window(StreamID(id), increment: 1) }
        #expect(stopped.map { (1000...1010).contains($0) } == true)
    }

    @Test("A peer that returns credit for every single DATA frame is honest, however many there are")
    func earnedWindows() throws {
        var mux = agent()
        mux.respond(StreamID(1), Heads.ok, endStream: false)
        #expect(mux.receive(.window(StreamID(1), increment: 10), at: start) == .none)
        for _ in 0..<20_000 {
            _ = mux.send(StreamID(1), text("x"), endStream: false)
            _ = try mux.output()
            guard mux.receive(.window(StreamID(1), increment: 1), at: start) == .none else {
                Issue.record("taken for a flood")
                return
            }
        }
    }

    @Test("Rapid reset: requests that are reset before they are answered, far more than streams may be open")
    func rapidReset() {
        var mux = Multiplexer(role: .agent, maxStreams: 100)
        let stopped = taken(&mux, 100_000) { number in
            let id = StreamID(UInt32(number / 2 + 1))
            return number % 2 == 0
                ? .headers(id, .request(Heads.get(window: 0)), endStream: true) : .reset(id, .cancelled, detail: "")
        }
        #expect(stopped == 2001)
    }

    @Test("Clients that all go away within a second are no storm, nor are answered streams that are cancelled")
    func honestResets() {
        var impatient = Multiplexer(role: .agent, maxStreams: 1000)
        var id: UInt32 = 0
        for second in 0..<60 {
            for step in 0..<2 {
                let now = start + .milliseconds(Int64(second * 1000 + step * 500))
                let first = id + 1
                for _ in 0..<1000 {
                    id += 1
                    _ = impatient.receive(.headers(StreamID(id), .request(Heads.get), endStream: true), at: now)
                }
                for gone in first...id {
                    guard case .reset = impatient.receive(.reset(StreamID(gone), .cancelled, detail: ""), at: now)
                    else {
                        Issue.record("reset \(gone) was taken for a storm")
                        return
                    }
                }
            }
        }
        var answered = Multiplexer(role: .agent, maxStreams: 10)
        for id in 1...50_000 as ClosedRange<UInt32> {
            _ = answered.receive(.headers(StreamID(id), .request(Heads.get), endStream: true), at: start)
            answered.respond(StreamID(id), Heads.ok, endStream: false)
            guard case .reset = answered.receive(.reset(StreamID(id), .cancelled, detail: ""), at: start) else {
                Issue.record("reset \(id) was taken for a storm")
                return
            }
        }
    }

    @Test("An agent may reset every stream once, and not the same one for ever")
    func resetsByAgent() {
        var mux = Multiplexer(role: .gateway, maxStreams: 10)
        for _ in 0..<50_000 {
            guard case .opened(let id) = mux.open(Heads.get, endStream: true),
                case .reset = mux.receive(.reset(id, .backendUnreachable, detail: ""), at: start)
            else {
                Issue.record("taken for a storm")
                return
            }
            _ = try? mux.output()
        }
        #expect(taken(&mux, 100_000) { _ in .reset(StreamID(1), .cancelled, detail: "") } != nil)
    }

    @Test("A gateway that opens stream after stream beyond the agent's limit is cut off")
    func refusedRequests() {
        var mux = agent(maxStreams: 1)
        let stopped = taken(&mux, 100_000) { number in
            .headers(StreamID(UInt32(number) + 2), .request(Heads.get), endStream: true)
        }
        #expect(stopped == 1000)
    }

    @Test("What crossed a reset on the wire is let pass; frames for dead streams without end are not")
    func stray() throws {
        var mux = gateway()
        mux.reset(StreamID(1), .cancelled)
        #expect(taken(&mux, 10_000) { _ in .data(StreamID(1), text("x"), endStream: false) } == nil)
        #expect(taken(&mux, 10_000) { _ in .data(StreamID(1), text("x"), endStream: false) } == 512)
    }

    @Test("Informational heads without end")
    func informational() {
        var mux = Multiplexer(role: .gateway, maxStreams: 100)
        _ = mux.open(Heads.post, endStream: false)
        let stopped = taken(&mux, 10_000) { _ in
            .headers(StreamID(1), .response(Heads.earlyHints), endStream: false)
        }
        #expect(stopped == 1016)
    }

    @Test("GOAWAY again and again")
    func goAway() {
        var mux = agent()
        #expect(taken(&mux, 100_000) { _ in .goAway(lastStreamID: StreamID(9), detail: "") } != nil)
    }

    @Test(
        "What is no frame of a stream counts, too",
        arguments: [FloodGuard.Kind.emptyMessage, .emptyFragment, .ping, .unknownFrame, .uselessControl])
    func beside(kind: FloodGuard.Kind) {
        var mux = agent()
        var taken = 0
        while taken < 10_000, mux.receivedUseless(kind, at: start) == nil { taken += 1 }
        #expect(taken == (kind == .unknownFrame ? 1000 : 200))
        #expect(mux.receivedUseless(kind, at: start)?.code == .flood)
        #expect(mux.receivedUseless(kind, at: start + .seconds(1)) == nil)
    }

    @Test("Control messages are let pass as fast as any honest peer sends them, and no faster")
    func control() {
        var mux = gateway()
        var taken = 0
        while taken < 100_000, mux.receivedUseless(.control, at: start) == nil { taken += 1 }
        #expect(taken == 10_000)
        let later = start + .seconds(1)
        while taken < 100_000, mux.receivedUseless(.control, at: later) == nil { taken += 1 }
        #expect(taken == 11_000)
    }

    @Test("What a peer makes this side log comes ten at once, then one every ten seconds, and says what was left out")
    func lines() {
        var limit = LineLimit()
        let passed = (0..<100).map { _ in limit.pass(at: start) }
        #expect(passed.prefix(10).allSatisfy { $0 == 0 })
        #expect(passed.dropFirst(10).allSatisfy { $0 == nil })
        let later = (0..<5).map { _ in limit.pass(at: start + .seconds(10)) }
        #expect(later == [90, nil, nil, nil, nil])
        let last = limit.pass(at: start + .seconds(20))
        #expect(last == 4)
    }

    @Test("A reader tells how many frames it passed over")
    func passedOver() throws {
        var reader = FrameReader(ByteBuffer(bytes: [0, 0, 1, 77, 0, 0, 0, 0, 0, 1, 0, 0, 0, 78, 0, 0, 0, 0, 0]))
        #expect(try reader.next() == nil)
        #expect(reader.passedOver == 2)
    }
}
