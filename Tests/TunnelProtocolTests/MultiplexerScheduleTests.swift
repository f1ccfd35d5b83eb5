import Testing

@testable import TunnelProtocol

extension Multiplexer {
    var budgetTotal: Int { budget.total }
}

@Suite("Two ends under a random schedule")
struct MultiplexerScheduleTests {
    private static let mostSteps = 20_000

    @Test("The schedules come across everything worth coming across")
    func coverage() {
        var seen: Set<TunnelModel.Occurrence> = []
        for seed in UInt64(0)..<40 {
            var model = TunnelModel(seed: seed)
            for _ in 0..<Self.mostSteps where !model.isDone { model.step() }
            seen.formUnion(model.seen)
        }
        #expect(seen == Set(TunnelModel.Occurrence.allCases))
    }

    @Test(
        "Every byte arrives once and in order, credit is kept to, and nothing is left behind",
        arguments: (0..<240).map { UInt64($0) })
    func schedule(seed: UInt64) {
        var model = TunnelModel(seed: seed)
        var steps = 0
        while !model.isDone, model.failures.isEmpty, steps < Self.mostSteps {
            model.step()
            steps += 1
        }
        #expect(model.failures == [], "seed \(seed) after \(steps) steps")
        #expect(
            steps < Self.mostSteps, "seed \(seed) makes no progress: \(model.gateway.snapshot); \(model.agent.snapshot)"
        )
        model.exchangeAll()
        #expect(model.gateway.snapshot == "0 streams, 0 reserved, 0 queued", "seed \(seed)")
        #expect(model.agent.snapshot == "0 streams, 0 reserved, 0 queued", "seed \(seed)")
        let complete = model.exchanges.values.filter { !$0.isReset }
        #expect(complete.allSatisfy { $0.request.hasEnded && $0.response.hasEnded }, "seed \(seed)")
    }
}
