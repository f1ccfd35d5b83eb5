import NIOCore
import NIOHTTP1
import Testing
import TunnelProtocol

@Suite("One exchange on a tunnel")
struct MultiplexerExchangeTests {
    private let id = StreamID(1)

    @Test("The gateway opens a stream, sends a body and gets an answer with trailers")
    func gatewayTranscript() throws {
        var mux = Multiplexer(role: .gateway, maxStreams: 10)
        #expect(mux.open(Heads.post, endStream: false) == .opened(id))
        let mayGoOn = mux.send(id, text("hello"), endStream: false)
        #expect(mayGoOn)
        _ = mux.send(id, text(" world"), endStream: true)
        var head = Heads.post
        head.window = 128 * 1024
        #expect(
            try mux.output() == [
                .headers(id, .request(head), endStream: false), .data(id, text("hello"), endStream: false),
                .data(id, text(" world"), endStream: true),
            ])
        #expect(
            mux.receive(.headers(id, .response(Heads.earlyHints), endStream: false))
                == .responded(id, Heads.earlyHints, endStream: false))
        #expect(
            mux.receive(.headers(id, .response(Heads.ok), endStream: false))
                == .responded(id, Heads.ok, endStream: false))
        #expect(mux.receive(.data(id, text("x"), endStream: false)) == .data(id, text("x"), endStream: false))
        #expect(mux.isOpen(id))
        #expect(
            mux.receive(.headers(id, .trailers(["a": "b"]), endStream: true)) == .trailers(id, ["a": "b"]))
        mux.consumed(id, 1)
        #expect(!mux.isOpen(id))
        #expect(mux.snapshot == "0 streams, 0 reserved, 0 queued")
        #expect(try mux.output() == [])
    }

    @Test("The agent accepts a stream, takes a body with trailers and answers")
    func agentTranscript() throws {
        var mux = Multiplexer(role: .agent, maxStreams: 10)
        let head = Heads.get(window: 100)
        #expect(
            mux.receive(.headers(id, .request(head), endStream: false)) == .opened(id, head, endStream: false))
        #expect(mux.receive(.data(id, text("abc"), endStream: false)) == .data(id, text("abc"), endStream: false))
        #expect(mux.receive(.headers(id, .trailers(["t": "1"]), endStream: true)) == .trailers(id, ["t": "1"]))
        mux.consumed(id, 3)
        #expect(mux.reservedBytes == 0)
        mux.respond(id, Heads.earlyHints, endStream: false)
        mux.respond(id, Heads.ok, endStream: false)
        _ = mux.send(id, text("answer"), endStream: false)
        mux.send(id, trailers: ["grpc-status": "0"])
        #expect(
            try mux.output() == [
                .window(id, increment: 128 * 1024 - 65536),
                .headers(id, .response(Heads.earlyHints), endStream: false),
                .headers(id, .response(Heads.ok), endStream: false), .data(id, text("answer"), endStream: false),
                .headers(id, .trailers(["grpc-status": "0"]), endStream: true),
            ])
        #expect(mux.snapshot == "0 streams, 0 reserved, 0 queued")
    }

    @Test("Heads that end the stream need no DATA")
    func withoutBodies() throws {
        var gateway = Multiplexer(role: .gateway, maxStreams: 10)
        var agent = Multiplexer(role: .agent, maxStreams: 10)
        #expect(gateway.open(Heads.get, endStream: true) == .opened(id))
        for frame in try gateway.output() {
            guard case .opened(id, _, endStream: true) = agent.receive(frame) else {
                Issue.record("not opened")
                return
            }
        }
        #expect(agent.reservedBytes == 0)
        agent.respond(id, ResponseHead(status: 204, fields: [:]), endStream: true)
        for frame in try agent.output() {
            #expect(gateway.receive(frame) == .responded(id, ResponseHead(status: 204, fields: [:]), endStream: true))
        }
        #expect(gateway.snapshot == "0 streams, 0 reserved, 0 queued")
        #expect(agent.snapshot == "0 streams, 0 reserved, 0 queued")
    }

    @Test("After 101 both directions carry bytes until each ends")
    func upgraded() throws {
        var gateway = Multiplexer(role: .gateway, maxStreams: 10)
        var head = Heads.get
        head.upgrade = "websocket"
        #expect(gateway.open(head, endStream: false) == .opened(id))
        let switching = ResponseHead(status: 101, fields: ["Upgrade": "websocket"])
        #expect(
            gateway.receive(.headers(id, .response(switching), endStream: false))
                == .responded(id, switching, endStream: false))
        _ = gateway.send(id, text("up"), endStream: false)
        #expect(gateway.receive(.data(id, text("down"), endStream: true)) == .data(id, text("down"), endStream: true))
        #expect(gateway.isOpen(id))
        _ = gateway.send(id, ByteBuffer(), endStream: true)
        #expect(
            try gateway.output().suffix(2) == [
                .data(id, text("up"), endStream: false), .data(id, ByteBuffer(), endStream: true),
            ])
        // What arrived last is not written onward yet: its memory is still spoken for.
        #expect(gateway.isOpen(id))
        #expect(gateway.reservedBytes == 4)
        gateway.consumed(id, 4)
        #expect(!gateway.isOpen(id))
        #expect(gateway.reservedBytes == 0)
    }

    @Test("An answer may come before the request has ended; RESET then ends the rest")
    func earlyResponse() throws {
        var gateway = Multiplexer(role: .gateway, maxStreams: 10)
        #expect(gateway.open(Heads.post, endStream: false) == .opened(id))
        _ = try gateway.output()
        #expect(
            gateway.receive(.headers(id, .response(Heads.ok), endStream: true))
                == .responded(id, Heads.ok, endStream: true))
        #expect(gateway.isOpen(id))
        #expect(gateway.reservedBytes == 0)
        _ = gateway.send(id, text("never read"), endStream: false)
        gateway.reset(id, .cancelled, detail: "answered early")
        #expect(
            try gateway.output() == [
                .data(id, text("never read"), endStream: false), .reset(id, .cancelled, detail: "answered early"),
            ])
        #expect(gateway.snapshot == "0 streams, 0 reserved, 0 queued")
    }

    @Test("Frames that crossed a RESET are ignored, in both roles")
    func resetRaces() throws {
        var gateway = Multiplexer(role: .gateway, maxStreams: 10)
        #expect(gateway.open(Heads.post, endStream: false) == .opened(id))
        gateway.reset(id, .cancelled)
        let late: [Frame] = [
            .headers(id, .response(Heads.ok), endStream: false), .data(id, text("x"), endStream: false),
            .window(id, increment: 5), .headers(id, .trailers([:]), endStream: true),
            .reset(id, .cancelled, detail: ""),
        ]
        for frame in late { #expect(gateway.receive(frame) == .none) }
        let mayGoOn = gateway.send(id, filler(1_000_000), endStream: true)
        #expect(mayGoOn)
        gateway.send(id, trailers: ["a": "b"])
        gateway.consumed(id, 10)
        gateway.reset(id, .cancelled)
        #expect(gateway.snapshot.hasPrefix("0 streams, 0 reserved"))

        var agent = Multiplexer(role: .agent, maxStreams: 10)
        _ = agent.receive(.headers(id, .request(Heads.get(window: 10)), endStream: false))
        #expect(agent.receive(.reset(id, .cancelled, detail: "gone")) == .reset(id, .cancelled, detail: "gone"))
        agent.respond(id, Heads.ok, endStream: false)
        #expect(agent.receive(.data(id, text("x"), endStream: true)) == .none)
        #expect(agent.streamCount == 0)
        #expect(agent.reservedBytes == 0)
    }

    @Test("A body waits for credit and goes on when it comes")
    func credit() throws {
        var agent = Multiplexer(role: .agent, maxStreams: 10)
        _ = agent.receive(.headers(id, .request(Heads.get(window: 4)), endStream: true))
        agent.respond(id, Heads.ok, endStream: false)
        _ = agent.send(id, text("abcdefgh"), endStream: true)
        #expect(try agent.output().last == .data(id, text("abcd"), endStream: false))
        #expect(!agent.hasOutput)
        #expect(agent.queuedBytes == 4)
        #expect(agent.receive(.window(id, increment: 3)) == .none)
        #expect(try agent.output() == [.data(id, text("efg"), endStream: false)])
        #expect(agent.receive(.window(id, increment: 100)) == .none)
        #expect(try agent.output() == [.data(id, text("h"), endStream: true)])
        #expect(!agent.isOpen(id))
    }

    @Test("The end and trailers need no credit")
    func endWithoutCredit() throws {
        var agent = Multiplexer(role: .agent, maxStreams: 10)
        for (number, trailers) in [(UInt32(1), false), (2, true)] {
            let id = StreamID(number)
            _ = agent.receive(.headers(id, .request(Heads.get(window: 1)), endStream: true))
            agent.respond(id, Heads.ok, endStream: false)
            _ = agent.send(id, text("a"), endStream: false)
            _ = try agent.output()
            if trailers {
                agent.send(id, trailers: ["t": "1"])
            } else {
                _ = agent.send(id, ByteBuffer(), endStream: true)
            }
            let last: Frame =
                trailers
                ? .headers(id, .trailers(["t": "1"]), endStream: true) : .data(id, ByteBuffer(), endStream: true)
            #expect(try agent.output() == [last])
        }
        #expect(agent.streamCount == 0)
    }

    @Test("Credit returns as bytes are written onward")
    func consumption() throws {
        var limits = FlowLimits()
        limits.openingWindow = 64 * 1024
        limits.largestWindow = 64 * 1024
        var agent = Multiplexer(role: .agent, maxStreams: 10, limits: limits)
        _ = agent.receive(.headers(id, .request(Heads.get(window: 10)), endStream: false))
        #expect(try agent.output() == [])
        #expect(agent.receive(.data(id, filler(40_000), endStream: false)) != .none)
        agent.consumed(id, 30_000)
        #expect(try agent.output() == [])
        agent.consumed(id, 10_000)
        #expect(try agent.output() == [.window(id, increment: 40_000)])
        #expect(agent.reservedBytes == 65536)
    }

    @Test("A source is told to stop above the high mark and to go on below the low one")
    func holdBack() throws {
        var limits = FlowLimits()
        limits.sendQueueHigh = 100
        limits.sendQueueLow = 50
        limits.turn = 30
        var gateway = Multiplexer(role: .gateway, maxStreams: 10, limits: limits)
        #expect(gateway.open(Heads.post, endStream: false) == .opened(id))
        _ = try gateway.output()
        #expect(gateway.send(id, filler(100), endStream: false) == true)
        #expect(gateway.send(id, filler(1), endStream: false) == false)
        #expect(gateway.send(id, ByteBuffer(), endStream: false) == false)
        var message = ByteBuffer()
        var written = gateway.write(into: &message, limit: 1)
        #expect(written.released == [])
        #expect(gateway.queuedBytes == 71)
        message.clear()
        written = gateway.write(into: &message, limit: 1)
        #expect(gateway.queuedBytes == 41)
        #expect(written.released == [id])
        #expect(gateway.send(id, filler(1), endStream: true) == true)
        message.clear()
        written = gateway.write(into: &message, limit: .max)
        #expect(gateway.queuedBytes == 0)
        #expect(written.finished == [])
        #expect(gateway.receive(.headers(id, .response(Heads.ok), endStream: true)) != .none)
        #expect(gateway.streamCount == 0)
    }
}
