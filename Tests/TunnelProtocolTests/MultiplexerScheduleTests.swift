import Testing

@Suite("Two ends under a random schedule")
struct MultiplexerScheduleTests {
    @Test("The schedules come across everything worth coming across")
    func coverage() {
        var seen: Set<TunnelModel.Occurrence> = []
        for seed in UInt64(0)..<40 {
            var model = TunnelModel(Choices(seed: seed))
            _ = model.run()
            seen.formUnion(model.seen)
        }
        #expect(seen == Set(TunnelModel.Occurrence.allCases))
    }

    @Test(
        "Every byte arrives once and in order, credit is kept to, and nothing is left behind",
        arguments: (0..<240).map { UInt64($0) })
    func schedule(seed: UInt64) {
        var model = TunnelModel(Choices(seed: seed))
        #expect(model.run() == [], "seed \(seed)")
    }

    @Test("Given bytes make the choices, and the run ends when they are used up")
    func given() {
        for byte in UInt8(0)...255 {
            var model = TunnelModel(Choices([UInt8](repeating: byte, count: 200)))
            #expect(model.run() == [], "byte \(byte)")
        }
    }
}
