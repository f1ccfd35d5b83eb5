import NIOCore
import Testing

@testable import EdgeGateway

@Suite("How many handshakes are taken on")
struct AcceptRateTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test("a quarter of a second's worth at once, the next after a fraction of a second")
    func bucket() {
        var rate = AcceptRate(rate: 8)
        #expect(rate.take(now: Self.start) == .accepted)
        #expect(rate.take(now: Self.start) == .accepted)
        #expect(rate.take(now: Self.start) == .comeAgain(after: 1))
        #expect(rate.take(now: Self.start + .milliseconds(100)) == .comeAgain(after: 1))
        #expect(rate.take(now: Self.start + .milliseconds(125)) == .accepted)
        #expect(rate.take(now: Self.start + .milliseconds(125)) == .comeAgain(after: 1))
    }

    @Test("a rate of one handshake per second lets that one in")
    func one() {
        var rate = AcceptRate(rate: 1)
        #expect(rate.take(now: Self.start) == .accepted)
        #expect(rate.take(now: Self.start + .milliseconds(900)) == .comeAgain(after: 1))
        #expect(rate.take(now: Self.start + .seconds(1)) == .accepted)
    }

    @Test("in no second, wherever it begins, are more taken on than the rate and a quarter")
    func anySecond() {
        var rate = AcceptRate(rate: 200)
        // A quiet time, then one handshake each millisecond.
        let accepted = (0..<3000).filter { rate.take(now: Self.start + .milliseconds(Int64($0))) == .accepted }
        for begin in 0..<2000 {
            #expect(accepted.count { (begin..<begin + 1000).contains($0) } <= 250)
        }
        #expect(accepted.count { $0 < 1000 } >= 249)
    }

    @Test("who is refused is told a later time the more were refused before, and at most a minute")
    func positions() {
        var rate = AcceptRate(rate: 10)
        for _ in 0..<2 { #expect(rate.take(now: Self.start) == .accepted) }
        let waits = (0..<1000).map { _ in
            if case .comeAgain(let wait) = rate.take(now: Self.start) { wait } else { 0 }
        }
        #expect(waits == waits.sorted())
        #expect(waits.first == 1)
        for second in 1...20 { #expect(waits.filter { $0 == second }.count == 10) }
        #expect(waits.last == 60)
        // Once the queue has had its time there is none.
        #expect(rate.take(now: Self.start + .seconds(60)) == .accepted)
        #expect(rate.take(now: Self.start + .seconds(60)) == .accepted)
        #expect(rate.take(now: Self.start + .seconds(60)) == .comeAgain(after: 1))
    }

    @Test("2,000 agents that come at once are taken on as a flat line, none later than the queue is long")
    func herd() {
        var rate = AcceptRate(rate: 200)
        var random = SystemRandomNumberGenerator()
        // Milliseconds at which each agent dials; it spreads what it is told over a further fifth.
        var dials = Dictionary(grouping: (0..<2000).map { _ in Int.random(in: 0..<100, using: &random) }, by: \.self)
            .mapValues(\.count)
        var accepted = [Int](repeating: 0, count: 60)
        var refused = [Int](repeating: 0, count: 60)
        for millisecond in 0..<60_000 {
            for _ in 0..<(dials[millisecond] ?? 0) {
                switch rate.take(now: Self.start + .milliseconds(Int64(millisecond))) {
                case .accepted: accepted[millisecond / 1000] += 1
                case .comeAgain(let seconds):
                    refused[millisecond / 1000] += 1
                    let wait = seconds * 1000 + Int.random(in: 0..<seconds * 200, using: &random)
                    dials[millisecond + wait, default: 0] += 1
                }
            }
        }
        #expect(accepted.reduce(0, +) == 2000)
        #expect(accepted.dropFirst(20).allSatisfy { $0 == 0 }, "\(accepted)")
        // Nobody is overrun: neither those who get in nor, after the first second, those who do not come in crowds.
        #expect(accepted.allSatisfy { $0 <= 250 }, "\(accepted)")
        #expect(refused.dropFirst().allSatisfy { $0 <= 200 }, "\(refused)")
        #expect(accepted[2..<9].allSatisfy { $0 >= 80 }, "\(accepted)")
    }
}
