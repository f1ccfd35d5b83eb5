import Testing

@testable import TunnelProtocol

@Suite("Credit")
struct ReceiveWindowTests {
    private var limits: FlowLimits {
        var limits = FlowLimits()
        limits.largestWindow = 400
        return limits
    }

    @Test("Credit returns in halves, once bytes were written onward")
    func halves() {
        var budget = ReceiveBudget(total: 100)
        budget.reserve(100)
        var window = ReceiveWindow(granted: 100)
        #expect(window.received(60) == true)
        #expect(window.consumed(49, budget: &budget, limits: limits) == 0)
        #expect(window.consumed(1, budget: &budget, limits: limits) == 50)
        #expect(window.outstanding == 90)
        #expect(window.window == 100)
    }

    @Test("More than the credit is refused and changes nothing")
    func exceeded() {
        var window = ReceiveWindow(granted: 10)
        #expect(window.received(11) == false)
        #expect(window.received(10) == true)
        #expect(window.received(1) == false)
        #expect(window.received(0) == true)
        #expect(window.window == 10)
    }

    @Test("A window that limits its sender doubles, up to its largest and while the budget has room")
    func growth() {
        var budget = ReceiveBudget(total: 10_000)
        budget.reserve(100)
        var window = ReceiveWindow(granted: 100)
        var sizes: [Int] = []
        for _ in 0..<4 {
            let all = window.outstanding
            #expect(window.received(all) == true)
            _ = window.consumed(all, budget: &budget, limits: limits)
            sizes.append(window.window)
            #expect(budget.reserved == window.window)
        }
        #expect(sizes == [200, 400, 400, 400])
    }

    @Test("A window that does not limit its sender stays as it is")
    func noGrowth() {
        var budget = ReceiveBudget(total: 10_000)
        budget.reserve(100)
        var window = ReceiveWindow(granted: 100)
        for _ in 0..<10 {
            #expect(window.received(50) == true)
            #expect(window.consumed(50, budget: &budget, limits: limits) == 50)
        }
        #expect(window.window == 100)
    }

    @Test("Growth takes at most a quarter of what is free beyond the half that is kept for new streams")
    func growthIsBounded() {
        var budget = ReceiveBudget(total: 600)
        budget.reserve(100)
        var window = ReceiveWindow(granted: 100)
        #expect(window.received(100) == true)
        #expect(window.consumed(100, budget: &budget, limits: limits) == 150)
        #expect(budget.reserved == 150)
        budget.reserve(150)
        #expect(window.received(150) == true)
        #expect(window.consumed(150, budget: &budget, limits: limits) == 150)
        #expect(budget.reserved == 300)
    }

    @Test("Where the budget is tight, a window that turns over gives half of it back, down to the smallest")
    func shrinking() {
        let smallest = ReceiveBudget.smallestGrant
        var budget = ReceiveBudget(total: 8 * smallest)
        budget.reserve(8 * smallest)
        var window = ReceiveWindow(granted: 4 * smallest)
        #expect(window.received(4 * smallest) == true)
        #expect(window.consumed(4 * smallest, budget: &budget, limits: FlowLimits()) == 2 * smallest)
        #expect(window.window == 2 * smallest)
        #expect(budget.reserved == 6 * smallest)
    }

    @Test("A thousand stalled streams leave room for the next")
    func manyStalled() {
        let limits = FlowLimits()
        var budget = ReceiveBudget(total: 64 * 1024 * 1024)
        for _ in 0..<1024 {
            guard let grant = budget.openingGrant(limits: limits) else { return #expect(Bool(false), "refused") }
            budget.reserve(grant)
        }
        #expect(budget.openingGrant(limits: limits) != nil)
    }

    @Test("The end releases what the peer will not send; what is held stays until it is written onward")
    func end() {
        var budget = ReceiveBudget(total: 100)
        budget.reserve(100)
        var window = ReceiveWindow(granted: 100)
        #expect(window.received(30) == true)
        window.ended(budget: &budget)
        #expect(budget.reserved == 30)
        window.consumedAfterEnd(20, budget: &budget)
        #expect(budget.reserved == 10)
        window.closed(budget: &budget)
        #expect(budget.reserved == 0)
        window.closed(budget: &budget)
        #expect(budget.reserved == 0)
    }

    @Test("More reported as written than arrived counts as what arrived")
    func overReported() {
        var budget = ReceiveBudget(total: 100)
        budget.reserve(100)
        var window = ReceiveWindow(granted: 100)
        #expect(window.received(60) == true)
        #expect(window.consumed(1000, budget: &budget, limits: limits) == 60)
        #expect(window.outstanding == 100)
    }

    @Test("New streams get less as the budget fills, and none when nothing worth while is left")
    func openingGrants() {
        let limits = FlowLimits()
        var budget = ReceiveBudget(total: 64 * 1024 * 1024)
        #expect(budget.openingGrant(limits: limits) == 128 * 1024)
        budget.reserve(48 * 1024 * 1024)
        #expect(budget.openingGrant(limits: limits) == 32 * 1024)
        budget.reserve(15 * 1024 * 1024)
        #expect(budget.openingGrant(limits: limits) == 16 * 1024)
        budget.reserve(budget.free - 16 * 1024)
        #expect(budget.openingGrant(limits: limits) == 16 * 1024)
        budget.reserve(1)
        #expect(budget.openingGrant(limits: limits) == nil)
    }

    @Test(
        "Whatever happens, the reservations are the windows' sum, within the budget, and zero at the end",
        arguments: (0..<100).map { UInt64($0) })
    func property(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var limits = FlowLimits()
        limits.largestWindow = Int.random(in: 1000...20_000, using: &random)
        var budget = ReceiveBudget(total: 40_000)
        var windows: [(window: ReceiveWindow, ended: Bool, credit: Int)] = []
        for _ in 0..<300 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0:
                let grant = Int.random(in: 1...1000, using: &random)
                guard budget.free >= grant else { continue }
                budget.reserve(grant)
                windows.append((ReceiveWindow(granted: grant), false, grant))
            case 1:
                guard let index = windows.indices.randomElement(using: &random) else { continue }
                windows[index].window.closed(budget: &budget)
                windows.remove(at: index)
            case 2:
                guard let index = windows.indices.randomElement(using: &random), !windows[index].ended else { continue }
                windows[index].window.ended(budget: &budget)
                windows[index].ended = true
            case 3..<7:
                guard let index = windows.indices.randomElement(using: &random), !windows[index].ended else { continue }
                let bytes = Int.random(in: 0...windows[index].credit + 1, using: &random)
                let isAllowed = windows[index].window.received(bytes)
                #expect(isAllowed == (bytes <= windows[index].credit), "seed \(seed)")
                if isAllowed { windows[index].credit -= bytes }
            default:
                guard let index = windows.indices.randomElement(using: &random) else { continue }
                let bytes = Int.random(in: 0...500, using: &random)
                if windows[index].ended {
                    windows[index].window.consumedAfterEnd(bytes, budget: &budget)
                } else {
                    windows[index].credit += windows[index].window.consumed(bytes, budget: &budget, limits: limits)
                }
            }
            let sum = windows.reduce(0) { $0 + $1.window.window }
            #expect(budget.reserved == sum, "seed \(seed)")
            #expect(budget.reserved <= budget.total, "seed \(seed)")
            #expect(windows.allSatisfy { $0.ended || $0.window.outstanding == $0.credit }, "seed \(seed)")
            #expect(windows.allSatisfy { $0.window.window <= limits.largestWindow }, "seed \(seed)")
        }
        for index in windows.indices { windows[index].window.closed(budget: &budget) }
        #expect(budget.reserved == 0, "seed \(seed)")
    }

    @Test("Sending credit adds up to 2³¹−1 and never from nothing")
    func sendWindow() {
        var window = SendWindow(credit: 0)
        let none = window.add(0)
        #expect(!none)
        let all = window.add(UInt32(Int32.max))
        #expect(all)
        let more = window.add(1)
        #expect(!more)
        window.spend(1)
        let again = window.add(1)
        #expect(again)
        #expect(window.credit == SendWindow.largest)
    }
}
