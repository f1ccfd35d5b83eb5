import NIOCore
import Testing
import TunnelProtocol

@Suite("Losing a tunnel and coming back")
struct ReconnectTests {
    @Test("Waits double from half a second to thirty, with full jitter")
    func exponential() {
        var backoff = Backoff()
        let ceilings = (0..<10).map { _ in backoff.delay(after: .failed, random: 1).nanoseconds / 1_000_000 }
        #expect(ceilings == [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000, 30000])
        #expect(backoff.delay(after: .failed, random: 0) == .zero)
        #expect(backoff.delay(after: .failed, random: 0.5) == .seconds(15))
    }

    @Test("A tunnel that was stable starts the sequence anew, one that was not does not")
    func stability() {
        var backoff = Backoff()
        for _ in 0..<5 { _ = backoff.delay(after: .failed, random: 1) }
        #expect(backoff.delay(after: .lost(after: .seconds(59)), random: 1) == .seconds(16))
        #expect(backoff.delay(after: .lost(after: .seconds(60)), random: 1) == .milliseconds(500))
        #expect(backoff.delay(after: .lost(after: .seconds(1)), random: 1) == .seconds(1))
    }

    @Test("A refusal that only a person can mend is retried slowly")
    func unauthorized() {
        var backoff = Backoff()
        for _ in 0..<3 {
            #expect(backoff.delay(after: .unauthorized, random: 0) == .seconds(15))
            #expect(backoff.delay(after: .unauthorized, random: 1) == .seconds(30))
        }
    }

    @Test("The gateway's wish is obeyed, spread over a fifth, within reason")
    func retryAfter() {
        var backoff = Backoff()
        #expect(backoff.delay(after: .retryAfter(.seconds(10)), random: 0) == .seconds(10))
        #expect(backoff.delay(after: .retryAfter(.seconds(10)), random: 1) == .seconds(12))
        for nonsense in [TimeAmount.zero, .seconds(-5), .nanoseconds(.min)] {
            #expect(backoff.delay(after: .retryAfter(nonsense), random: 0) == .milliseconds(500))
        }
        #expect(backoff.delay(after: .retryAfter(.nanoseconds(.max)), random: 1) == .minutes(72))
        #expect(backoff.delay(after: .failed, random: 1) == .milliseconds(500))
    }

    @Test("Never gives up, never waits longer than its bounds", arguments: (0..<20).map { UInt64($0) })
    func bounds(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var backoff = Backoff()
        for _ in 0..<2000 {
            let cause: Backoff.Cause =
                Bool.random(using: &random)
                ? .failed : .lost(after: .seconds(Int64.random(in: 0...100, using: &random)))
            let delay = backoff.delay(after: cause, random: .random(in: 0..<1, using: &random))
            #expect(delay >= .zero && delay <= .seconds(30), "seed \(seed)")
        }
    }

    @Test("A silent peer is pinged every interval and dead after the timeout")
    func liveness() {
        let start = NIODeadline.uptimeNanoseconds(0)
        var liveness = Liveness(now: start)
        let actions = (1...31).map { liveness.tick(at: start + .seconds($0)) }
        let pings = actions.indices.filter { actions[$0] == .ping }.map { $0 + 1 }
        #expect(pings == [10, 20])
        #expect(actions[27] == .none)
        #expect(actions[28] == .dead)
        #expect(actions[29] == .dead)
        #expect(actions[30] == .dead)
    }

    @Test("A silent peer is dead within 30 s, wherever between two ticks it fell silent", arguments: 0..<10)
    func deadInTime(tenth: Int64) {
        let start = NIODeadline.uptimeNanoseconds(0)
        var liveness = Liveness(now: start)
        let silent = start + .seconds(5) + .milliseconds(tenth * 100)
        liveness.received(at: silent)
        // Ticks are a little more than a second apart.
        let died = (1...60).map { start + .milliseconds(1005 * $0) }.first { liveness.tick(at: $0) == .dead }
        #expect(died.map { $0 - silent <= .seconds(30) && $0 - silent > .seconds(28) } == true)
    }

    @Test("Time in which this side itself stood still is not held against a silent peer")
    func ownStandstill() {
        let start = NIODeadline.uptimeNanoseconds(0)
        var liveness = Liveness(now: start)
        let before = (1...10).map { liveness.tick(at: start + .seconds($0)) }
        #expect(!before.contains(.dead))
        // A minute without a tick: what the peer sent may lie in the socket.
        let after = (70...100).map { liveness.tick(at: start + .seconds($0)) }
        #expect(after.firstIndex(of: .dead) == 17)
    }

    @Test("Any byte from the peer is life, and pings go on all the same")
    func life() {
        let start = NIODeadline.uptimeNanoseconds(0)
        var liveness = Liveness(now: start)
        var pings = 0
        for second in 1...300 {
            let now = start + .seconds(Int64(second))
            if second.isMultiple(of: 28) { liveness.received(at: now) }
            switch liveness.tick(at: now) {
            case .ping: pings += 1
            case .dead: Issue.record("dead after \(second) s")
            case .none: break
            }
        }
        #expect(pings == 30)
    }
}
