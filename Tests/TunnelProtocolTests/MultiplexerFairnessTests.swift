import NIOCore
import NIOHTTP1
import Testing
import TunnelProtocol

@Suite("The order in which streams are written")
struct MultiplexerFairnessTests {
    private func gateway(streams: Int, limits: FlowLimits = FlowLimits()) throws -> Multiplexer {
        var mux = Multiplexer(role: .gateway, maxStreams: 1000, limits: limits)
        for number in 1...streams {
            #expect(mux.open(Heads.post, endStream: false) == .opened(StreamID(UInt32(number))))
        }
        _ = try mux.output()
        return mux
    }

    private func turns(_ frames: [Frame]) -> [String] {
        frames.map { frame in
            switch frame {
            case .data(let id, let bytes, _): "\(id):\(bytes.readableBytes)"
            case .headers(let id, _, _): "\(id):head"
            case .window(let id, _): "\(id):window"
            case .reset(let id, _, _): "\(id):reset"
            case .goAway: "goaway"
            }
        }
    }

    @Test("Ready streams take turns of at most 16 KiB")
    func roundRobin() throws {
        var mux = try gateway(streams: 3)
        _ = mux.send(StreamID(1), filler(40_000), endStream: false)
        _ = mux.send(StreamID(2), filler(10), endStream: false)
        _ = mux.send(StreamID(3), filler(20_000), endStream: false)
        #expect(
            turns(try mux.output()) == ["1:16384", "2:10", "3:16384", "1:16384", "3:3616", "1:7232"])
    }

    @Test("A stream that was just served waits for the others")
    func latecomers() throws {
        var mux = try gateway(streams: 2)
        _ = mux.send(StreamID(1), filler(60_000), endStream: false)
        #expect(turns(try mux.output(limit: 1)) == ["1:16384"])
        _ = mux.send(StreamID(2), filler(5), endStream: false)
        #expect(turns(try mux.output(limit: 1)) == ["1:16384"])
        #expect(turns(try mux.output(limit: 1)) == ["2:5"])
        #expect(turns(try mux.output(limit: 1)) == ["1:16384"])
    }

    @Test("Heads, credit and resets go before any DATA that waits")
    func urgentFirst() throws {
        var mux = try gateway(streams: 2)
        _ = mux.send(StreamID(1), filler(20_000), endStream: false)
        #expect(mux.open(Heads.get, endStream: true) == .opened(StreamID(3)))
        mux.reset(StreamID(2), .cancelled)
        mux.drain(detail: "")
        #expect(turns(try mux.output()) == ["3:head", "2:reset", "goaway", "1:16384", "1:3616"])
    }

    @Test("A small body leaves with its head, and waits its turn once anybody else waits")
    func small() throws {
        var mux = try gateway(streams: 3)
        _ = mux.send(StreamID(1), filler(100), endStream: true)
        _ = mux.send(StreamID(2), filler(20_000), endStream: false)
        _ = mux.send(StreamID(3), filler(100), endStream: true)
        mux.reset(StreamID(2), .cancelled)
        #expect(turns(try mux.output()) == ["1:100", "2:reset", "3:100"])
        // Together they are no more than one turn.
        var many = try gateway(streams: 3)
        for id in 1...3 as ClosedRange<UInt32> { _ = many.send(StreamID(id), filler(7000), endStream: false) }
        #expect(turns(try many.output()).filter { $0.hasSuffix(":7000") } == ["1:7000", "2:7000", "3:7000"])
    }

    @Test("A message does not exceed its limit by more than a turn, and waits between turns")
    func limit() throws {
        var mux = try gateway(streams: 8)
        for number in 1...8 { _ = mux.send(StreamID(UInt32(number)), filler(60_000), endStream: true) }
        var total = 0
        while mux.hasOutput {
            var message = ByteBuffer()
            _ = mux.write(into: &message, limit: 64 * 1024)
            #expect(message.readableBytes < 64 * 1024 + 16 * 1024 + 9)
            for case .data(_, let bytes, _) in try frames(in: message) { total += bytes.readableBytes }
        }
        #expect(total == 8 * 60_000)
    }

    @Test("Many heads at once are spread over messages that the peer accepts")
    func manyHeads() throws {
        var gateway = Multiplexer(role: .gateway, maxStreams: 1000)
        var agent = Multiplexer(role: .agent, maxStreams: 1000)
        var head = Heads.post
        head.fields = ["X-Large": String(repeating: "x", count: 3000)]
        for number in 1...200 {
            let id = StreamID(UInt32(number))
            #expect(gateway.open(head, endStream: false) == .opened(id))
            _ = gateway.send(id, text("body"), endStream: true)
        }
        var opened: [StreamID] = []
        while gateway.hasOutput {
            var message = ByteBuffer()
            _ = gateway.write(into: &message, limit: 64 * 1024)
            #expect(message.readableBytes <= FrameLimits.maxMessageSize)
            for frame in try frames(in: message) {
                switch agent.receive(frame) {
                case .opened(let id, _, _): opened.append(id)
                case .data(let id, _, endStream: true): #expect(opened.contains(id))
                case let action: Issue.record("\(action)")
                }
            }
        }
        #expect(opened == (1...200).map { StreamID(UInt32($0)) })
    }

    @Test("The place of a stream that is gone is passed over")
    func goneStreams() throws {
        var mux = try gateway(streams: 2)
        _ = mux.send(StreamID(1), filler(20_000), endStream: false)
        _ = mux.send(StreamID(2), filler(20), endStream: false)
        #expect(mux.receive(.reset(StreamID(1), .cancelled, detail: "")) != .none)
        #expect(turns(try mux.output()) == ["2:20"])
        #expect(!mux.hasOutput)
    }

    @Test("Chunks are joined into turns without loss")
    func chunks() throws {
        var limits = FlowLimits()
        limits.turn = 7
        var mux = try gateway(streams: 1, limits: limits)
        for part in ["abcdefgh", "ij", "", "klmnopqrs"] { _ = mux.send(StreamID(1), text(part), endStream: false) }
        _ = mux.send(StreamID(1), ByteBuffer(), endStream: true)
        #expect(
            try mux.output() == [
                .data(StreamID(1), text("abcdefg"), endStream: false),
                .data(StreamID(1), text("hijklmn"), endStream: false),
                .data(StreamID(1), text("opqrs"), endStream: true),
            ])
    }
}
