import NIOCore
import Testing
import TunnelProtocol

@Suite("Canaries find a data path that hangs")
struct CanaryTests {
    private func at(_ seconds: Double) -> NIODeadline { .uptimeNanoseconds(UInt64((100 + seconds) * 1e9)) }

    /// Ticks once per second and writes down what is done about it; `each` may tell what happened before the tick.
    private func transcript(
        _ canary: inout Canary, _ seconds: ClosedRange<Int>, _ each: (Int, inout Canary) -> Void = { _, _ in }
    ) -> [String] {
        var lines: [String] = []
        for second in seconds {
            each(second, &canary)
            switch canary.tick(at: at(Double(second))) {
            case .none: break
            case .open: lines.append("\(second) open")
            case .failed: lines.append("\(second) failed")
            }
        }
        return lines
    }

    @Test("By default one is sent every 5 s, the first at once, while each is answered")
    func answered() {
        var canary = Canary(now: at(0))
        let lines = transcript(&canary, 0...16) { _, canary in canary.answered(at: at(0)) }
        #expect(lines == ["0 open", "5 open", "10 open", "15 open"])
    }

    @Test("One that is not answered within 5 s fails the tunnel, once")
    func unanswered() {
        var canary = Canary(now: at(0))
        #expect(transcript(&canary, 0...40) == ["0 open", "5 failed"])
    }

    @Test(
        "Whenever the data path hangs, the tunnel has failed within 15 s, by default", arguments: [0, 1, 2, 3, 4, 5, 6])
    func withinFifteenSeconds(hangsAt: Int) {
        var canary = Canary(now: at(0))
        let lines = transcript(&canary, 0...40) { second, canary in
            guard second <= hangsAt else { return }
            canary.answered(at: at(Double(second)))
            canary.moved(at: at(Double(second)))
        }
        let failed = lines.last.flatMap { $0.hasSuffix("failed") ? Int($0.split(separator: " ")[0]) : nil }
        #expect(failed.map { $0 - hangsAt <= 12 } == true, "\(lines)")
    }

    @Test("While heads and DATA come, an answer that stands behind them has 30 s")
    func busy() {
        var canary = Canary(now: at(0))
        let lines = transcript(&canary, 0...60) { second, canary in canary.moved(at: at(Double(second))) }
        #expect(lines == ["0 open", "30 failed"])
        var late = Canary(now: at(0))
        let rescued = transcript(&late, 0...40) { second, canary in
            canary.moved(at: at(Double(second)))
            if second == 29 { canary.answered(at: at(29)) }
        }
        #expect(rescued == ["0 open", "29 open"])
    }

    @Test("What came before the canary, or stopped coming, does not save it")
    func stopped() {
        var canary = Canary(now: at(0))
        let lines = transcript(&canary, 0...20) { second, canary in
            if second <= 3 { canary.moved(at: at(Double(second))) }
        }
        #expect(lines == ["0 open", "8 failed"])
    }

    @Test("One that cannot be opened is tried again, and is no failure while other frames come")
    func refused() {
        var canary = Canary(now: at(0))
        var lines: [String] = []
        for second in 0...40 {
            if second <= 20 { canary.moved(at: at(Double(second))) }
            switch canary.tick(at: at(Double(second))) {
            case .none: break
            case .open:
                lines.append("\(second) open")
                canary.refused()
            case .failed: lines.append("\(second) failed")
            }
        }
        #expect(lines == ["0 open", "5 open", "10 open", "15 open", "20 open", "25 open", "30 open", "35 failed"])
    }

    @Test("Time in which this side itself stood still is not held against the peer")
    func standstill() {
        var canary = Canary(now: at(0))
        #expect(canary.tick(at: at(1)) == .open)
        // A minute without a tick: the answer may lie in the socket.
        #expect(canary.tick(at: at(61)) == .none)
        #expect(canary.tick(at: at(62)) == .none)
        canary.answered(at: at(62))
        #expect(transcript(&canary, 63...80) == ["64 open", "69 failed"])
    }

    @Test("An agent misses canaries only where some came, and after three intervals without any frame")
    func watch() {
        func missed(_ watch: inout CanaryWatch, _ seconds: ClosedRange<Int>) -> Int? {
            seconds.first { watch.isMissed(at: at(Double($0))) }
        }
        var watch = CanaryWatch(interval: .seconds(5))
        watch.moved(at: at(0))
        #expect(missed(&watch, 0...100) == nil)
        watch.received(at: at(100))
        #expect(missed(&watch, 101...200) == 115)
        watch.received(at: at(200))
        #expect(missed(&watch, 201...212) == nil)
        watch.moved(at: at(212))
        #expect(missed(&watch, 213...300) == 227)
        // The agent itself stood still.
        watch.received(at: at(300))
        #expect(missed(&watch, 301...301) == nil)
        #expect(missed(&watch, 400...400) == nil)
        #expect(missed(&watch, 401...500) == 413)
    }

    @Test(
        "A canary is opened although the tunnel is full, and answered although the agent is; no request goes in its place"
    )
    func beyondTheLimits() throws {
        var limits = FlowLimits()
        limits.budget = 16 * 1024
        var gateway = Multiplexer(role: .gateway, maxStreams: 1, limits: limits)
        var agent = Multiplexer(role: .agent, maxStreams: 1, limits: limits)
        #expect(gateway.open(Heads.get, endStream: true) == .opened(StreamID(1)))
        #expect(gateway.open(Heads.get, endStream: true) == .streamLimit)
        #expect(gateway.openCanary() == .opened(StreamID(2)))
        var actions: [Multiplexer.Action] = []
        for frame in try gateway.output() { actions.append(agent.receive(frame)) }
        guard case .opened(StreamID(2), let head, true) = actions.last else {
            Issue.record("not opened: \(actions)")
            return
        }
        #expect(head.isCanary)
        #expect(head.target == "*")
        guard case .refused = agent.receive(.headers(StreamID(3), .request(Heads.get), endStream: true)) else {
            Issue.record("a request took the canary's place")
            return
        }
        agent.respond(StreamID(2), ResponseHead(status: 200, fields: [:]), endStream: false)
        _ = agent.send(StreamID(2), text("ok"), endStream: true)
        actions = []
        for frame in try agent.output() { actions.append(gateway.receive(frame)) }
        #expect(actions.last == .data(StreamID(2), text("ok"), endStream: true))
        gateway.consumed(StreamID(2), 2)
        #expect(!gateway.isOpen(StreamID(2)))
    }

    @Test("The welcome tells how often canaries come, and nothing where none do")
    func welcome() {
        for interval in [5000, nil] {
            var session = GatewaySession(
                identity: .init(
                    clusterUUID: "c", instanceID: "gw", tunnelID: "t", gatewayDomain: "g.io",
                    heartbeatIntervalMilliseconds: 1000, canaryIntervalMilliseconds: interval))
            let hello = ControlMessage.Hello(
                versions: [1], clusterUUID: "c", agentID: "a", agentVersion: "1", maxStreams: 1)
            guard case .establish(let message, _) = session.received(.message(.hello(hello))),
                case .welcome(let welcome) = message
            else {
                Issue.record("no welcome")
                return
            }
            #expect(welcome.canaryIntervalMilliseconds == interval)
            #expect(message.encoded().contains("canary_interval_ms") == (interval != nil))
        }
    }

    @Test("A request of a client can never look like a canary")
    func notAClients() {
        #expect(!RequestHead(method: "CANARY", authority: "app.test", target: "*", fields: [:]).isCanary)
        #expect(RequestHead.canary.isCanary)
        #expect(HeaderBlock.request(.canary).isSendable)
    }

    @Test("The round trip is smoothed, and a pong that answers no ping counts for nothing")
    func roundTrip() {
        var trip = RoundTrip()
        trip.pong(0, at: at(0))
        trip.pong(nil, at: at(0))
        #expect(trip.smoothed == nil)
        let first = trip.ping(at: at(1))
        trip.pong(first &+ 1, at: at(1.01))
        #expect(trip.smoothed == nil)
        trip.pong(first, at: at(1.08))
        #expect(trip.smoothed == .milliseconds(80))
        trip.pong(first, at: at(9))
        #expect(trip.smoothed == .milliseconds(80))
        trip.pong(trip.ping(at: at(10)), at: at(10.16))
        #expect(trip.smoothed == .milliseconds(90))
    }
}
