import Testing

@testable import EdgeGateway

@Suite("Which tunnel carries a request")
struct TunnelChoiceTests {
    /// Streams; with `near`, `full` (of 100) and `ends` where that is so.
    private func chosen(_ tunnels: [String]) -> (index: Int?, sawFull: Bool) {
        var choice = TunnelChoice()
        for (index, text) in tunnels.enumerated() {
            let words = text.split(separator: " ")
            let full = words.contains("full")
            choice.consider(
                index,
                .init(
                    openStreams: full ? 100 : Int(words.first ?? "") ?? 0, maxStreams: 100,
                    takesStreams: !words.contains("ends"), isNear: words.contains("near")))
        }
        return (choice.chosen, choice.sawFull)
    }

    @Test(
        "the least busy one, a near one unless it is more than twice as busy and eight streams",
        arguments: [
            ([], nil), (["5"], 0), (["5", "3", "4"], 1), (["3", "3"], 0),
            (["0", "8 near"], 1), (["0", "9 near"], 0), (["10", "28 near"], 1), (["10", "29 near"], 0),
            (["0", "7 near", "6 near"], 2), (["5 near", "5"], 0), (["5", "5 near"], 1),
            (["full near", "90"], 1), (["0 ends near", "90"], 1), (["0 ends", "full"], nil), (["0 ends"], nil),
        ] as [([String], Int?)])
    func table(tunnels: [String], index: Int?) {
        #expect(chosen(tunnels).index == index)
    }

    @Test("where all that take streams are full, that is known")
    func full() {
        #expect(chosen(["full", "full near"]).sawFull)
        #expect(!chosen(["0 ends"]).sawFull)
        #expect(!chosen([]).sawFull)
    }
}
