import NIOCore
import Testing
import TunnelProtocol

@Suite("A gateway's RESETs are never a flood to its agent")
struct ResetPaceTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    /// Opens streams and gives them up until none can be opened.
    private func giveUp(_ gateway: inout Multiplexer, most: Int, at now: NIODeadline) -> Int {
        var count = 0
        while count < most, case .opened(let id) = gateway.open(Heads.get, endStream: true) {
            gateway.reset(id, .cancelled, at: now)
            count += 1
        }
        return count
    }

    @Test(
        "however fast requests are given up, and although the connection delivers in jerks of 5 seconds",
        arguments: [1, 10, 100, 1024, 5000])
    func twoEnds(maxStreams: Int) throws {
        var gateway = Multiplexer(role: .gateway, maxStreams: maxStreams)
        var agent = Multiplexer(role: .agent, maxStreams: maxStreams)
        var givenUp = 0
        for step in 0..<3000 {
            let now = start + .milliseconds(Int64(20 * step))
            gateway.resetAbandoned(at: now)
            givenUp += giveUp(&gateway, most: 1000, at: now)
            guard step % 250 == 0 else { continue }
            for frame in try gateway.output() {
                guard case .close(let violation) = agent.receive(frame, at: now) else { continue }
                Issue.record("\(violation) after \(givenUp)")
                return
            }
        }
        #expect(givenUp > 2000)
        #expect(agent.streamCount <= maxStreams)
    }

    @Test("a RESET that waits keeps the place of its stream, and leaves in its turn")
    func waiting() throws {
        var gateway = Multiplexer(role: .gateway, maxStreams: 10)
        // 500 at once, and then as many as may be open.
        #expect(giveUp(&gateway, most: 10_000, at: start) == 510)
        #expect(gateway.streamCount == 10)
        #expect(gateway.hasAbandoned)
        _ = try gateway.output()
        gateway.resetAbandoned(at: start)
        #expect(try gateway.output() == [])
        // 50 a second.
        gateway.resetAbandoned(at: start + .milliseconds(45))
        #expect(
            try gateway.output() == [
                .reset(StreamID(501), .cancelled, detail: ""), .reset(StreamID(502), .cancelled, detail: ""),
            ])
        #expect(gateway.streamCount == 8)
        gateway.resetAbandoned(at: start + .seconds(1))
        #expect(try gateway.output().count == 8)
        #expect(!gateway.hasAbandoned)
        #expect(gateway.snapshot == Multiplexer(role: .gateway, maxStreams: 10).snapshot)
    }

    @Test("a stream that has its answer by then is reset at once, and one that the agent resets is forgotten")
    func answered() throws {
        var gateway = Multiplexer(role: .gateway, maxStreams: 3)
        #expect(giveUp(&gateway, most: 10_000, at: start) == 503)
        _ = try gateway.output()
        #expect(gateway.receive(.headers(StreamID(501), .response(Heads.earlyHints), endStream: false)) != .none)
        #expect(try gateway.output() == [])
        #expect(gateway.receive(.headers(StreamID(501), .response(Heads.ok), endStream: false)) == .none)
        #expect(
            try gateway.output() == [.reset(StreamID(501), .cancelled, detail: "nobody waits for the answer")])
        // What crossed it.
        #expect(gateway.receive(.data(StreamID(501), text("x"), endStream: true)) == .none)
        #expect(
            gateway.receive(.reset(StreamID(502), .backendClosed, detail: ""))
                == .reset(StreamID(502), .backendClosed, detail: ""))
        gateway.resetAbandoned(at: start + .seconds(1))
        #expect(try gateway.output() == [.reset(StreamID(503), .cancelled, detail: "")])
        #expect(gateway.streamCount == 0)
    }

    @Test("what an abandoned request had to send is dropped, and credit for it means nothing")
    func upload() throws {
        var gateway = Multiplexer(role: .gateway, maxStreams: 1)
        _ = giveUp(&gateway, most: 500, at: start)
        _ = try gateway.output()
        guard case .opened(let id) = gateway.open(Heads.post, endStream: false) else {
            Issue.record("not opened")
            return
        }
        _ = try gateway.output()
        for _ in 0..<10 { _ = gateway.send(id, filler(20_000), endStream: false) }
        gateway.reset(id, .cancelled, at: start)
        #expect(gateway.queuedBytes == 0)
        #expect(gateway.receive(.window(id, increment: 1 << 20)) == .none)
        #expect(try gateway.output() == [])
        let mayGoOn = gateway.send(id, text("late"), endStream: false)
        #expect(mayGoOn)
        gateway.resetAbandoned(at: start + .seconds(1))
        #expect(gateway.streamCount == 0)
    }

    @Test("RESETs of answered streams do not wait")
    func progressed() throws {
        var gateway = Multiplexer(role: .gateway, maxStreams: 10)
        for _ in 0..<5000 {
            guard case .opened(let id) = gateway.open(Heads.get, endStream: true) else {
                Issue.record("not opened")
                return
            }
            _ = gateway.receive(.headers(id, .response(Heads.ok), endStream: false), at: start)
            gateway.reset(id, .cancelled, at: start)
            _ = try gateway.output()
        }
        #expect(!gateway.hasAbandoned)
    }
}
