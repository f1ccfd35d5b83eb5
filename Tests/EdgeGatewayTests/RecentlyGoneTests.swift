import Testing

@testable import EdgeGateway

@Suite("What is remembered of clusters that are gone")
struct RecentlyGoneTests {
    @Test("what was remembered last holds, until the cluster is back")
    func remember() {
        var gone = RecentlyGone<Int>(least: 10)
        #expect(gone["a"] == nil)
        gone.remember(1, of: "a")
        gone.remember(2, of: "a")
        gone.remember(3, of: "b")
        #expect(gone["a"] == 2)
        #expect(gone.take("a") == 2)
        #expect(gone["a"] == nil)
        #expect(gone.take("a") == nil)
        #expect(gone["b"] == 3)
    }

    @Test("however many go, the last ones are known and memory is bounded")
    func bounded() {
        var gone = RecentlyGone<Int>(least: 10)
        for number in 0..<10_000 {
            gone.remember(number, of: "\(number)")
            #expect(gone.count <= 20)
            for last in max(0, number - 9)...number { #expect(gone["\(last)"] == last) }
        }
        #expect(gone["5"] == nil)
    }

    @Test("one that goes again and again is one, and never comes back with an older value")
    func again() {
        var gone = RecentlyGone<Int>(least: 2)
        for number in 0..<100 {
            gone.remember(number, of: "a")
            gone.remember(number, of: "b\(number)")
            #expect(gone["a"] == number)
        }
        gone.take("a")
        #expect(gone["a"] == nil)
    }
}
