import Testing

@testable import ClusterAgent

@Suite("The pool's tunnels and which of them publish, as transcripts")
struct TunnelPoolStateTests {
    private struct Transcript {
        var state = TunnelPoolState()

        /// `0.1` is the first tunnel of slot 0.
        private func id(_ name: String) -> TunnelID {
            let parts = name.split(separator: ".").compactMap { Int($0) }
            return TunnelID(slot: parts[0], attempt: parts[1])
        }

        private func lines(_ roles: [TunnelID: TunnelRole]) -> [String] {
            roles.map { "\($0.slot).\($0.attempt) \($1)" }.sorted()
        }

        mutating func dial(_ name: String, _ address: String? = nil) { state.dialling(id(name), address) }
        mutating func up(_ name: String, _ instance: String, registry: String = "") -> [String] {
            lines(state.established(id(name), instance: instance, registry: registry))
        }
        mutating func dialAndUp(_ name: String, _ instance: String, registry: String = "") -> [String] {
            dial(name)
            return up(name, instance, registry: registry)
        }
        mutating func drain(_ name: String) -> [String] { lines(state.draining(id(name))) }
        mutating func end(_ name: String) -> [String] { lines(state.ended(id(name))) }
        func isSameInstance(_ name: String) -> Bool { state.isSameInstance(id(name)) }
    }

    @Test("The oldest tunnel publishes and the others stand by; when it ends the next one takes over")
    func succession() {
        var transcript = Transcript()
        transcript.dial("0.1")
        transcript.dial("1.1")
        #expect(transcript.up("1.1", "a") == ["1.1 publisher"], "whoever is welcomed first")
        #expect(transcript.up("0.1", "b") == ["0.1 standby"])
        #expect(transcript.dialAndUp("2.1", "b") == ["2.1 standby"])
        #expect(transcript.end("2.1") == [])
        #expect(transcript.end("1.1") == ["0.1 publisher"])
        #expect(transcript.end("0.1") == [])
        #expect(transcript.dialAndUp("1.2", "a") == ["1.2 publisher"])
    }

    @Test("A publisher that drains hands over to one that does not")
    func drain() {
        var transcript = Transcript()
        _ = transcript.dialAndUp("0.1", "a")
        _ = transcript.dialAndUp("1.1", "b")
        #expect(transcript.drain("0.1") == ["0.1 standby", "1.1 publisher"])
        #expect(transcript.end("0.1") == [])
    }

    @Test("Where all drain the publisher stays until a replacement is up, which takes over at once")
    func allDrain() {
        var transcript = Transcript()
        _ = transcript.dialAndUp("0.1", "old")
        _ = transcript.dialAndUp("1.1", "old")
        #expect(transcript.drain("1.1") == [])
        #expect(transcript.drain("0.1") == [])
        #expect(transcript.dialAndUp("1.2", "new") == ["0.1 standby", "1.2 publisher"])
        #expect(transcript.dialAndUp("0.2", "new") == ["0.2 standby"])
        #expect(transcript.end("0.1") == [])
    }

    @Test("A publisher that ends while the rest drains hands over to one of them")
    func lastOfTheDraining() {
        var transcript = Transcript()
        _ = transcript.dialAndUp("0.1", "old")
        _ = transcript.dialAndUp("1.1", "old")
        _ = transcript.drain("1.1")
        _ = transcript.drain("0.1")
        #expect(transcript.end("0.1") == ["1.1 publisher"])
    }

    @Test("Each registry has a publisher of its own, also one whose gateway drains")
    func registries() {
        var transcript = Transcript()
        #expect(transcript.dialAndUp("0.1", "old", registry: "old") == ["0.1 publisher"])
        #expect(transcript.dialAndUp("1.1", "old", registry: "old") == ["1.1 standby"])
        _ = transcript.drain("0.1")
        _ = transcript.drain("1.1")
        #expect(transcript.dialAndUp("0.2", "new", registry: "new") == ["0.2 publisher"])
        #expect(transcript.dialAndUp("1.2", "new", registry: "new") == ["1.2 standby"])
        #expect(transcript.end("1.1") == ["0.1 publisher"])
        #expect(transcript.end("0.1") == [])
        #expect(transcript.end("0.2") == ["1.2 publisher"])
    }

    @Test("What ends before its welcome has no role, and a stranger changes nothing")
    func strangers() {
        var transcript = Transcript()
        transcript.dial("0.1", "a")
        #expect(transcript.drain("0.1") == [])
        transcript.state.failed(TunnelID(slot: 0, attempt: 1))
        #expect(transcript.up("0.1", "a") == [])
        #expect(transcript.end("0.1") == [])
    }

    @Test("A gateway is shared where another slot's tunnel leads to it, unless that one drains")
    func sharing() {
        var transcript = Transcript()
        _ = transcript.dialAndUp("0.1", "a")
        #expect(!transcript.isSameInstance("0.1"))
        _ = transcript.dialAndUp("0.2", "a")
        #expect(!transcript.isSameInstance("0.2"), "a slot's own older tunnel does not count")
        _ = transcript.end("0.2")
        _ = transcript.dialAndUp("1.1", "a")
        #expect(transcript.isSameInstance("1.1"))
        _ = transcript.drain("0.1")
        #expect(!transcript.isSameInstance("1.1"))
    }

    @Test("A free address comes first, then one whose gateway is free, then any; ending and unreachable ones come last")
    func choice() {
        var state = TunnelPoolState()
        func best(_ addresses: String..., random: Double = 0) -> String? {
            state.occupancy(for: 1).best(of: addresses, random: random)
        }
        #expect(best() == nil)
        state.dialling(TunnelID(slot: 0, attempt: 1), "a:1")
        #expect(best("a:1", "b:1") == "b:1", "one that is being dialled counts")
        #expect(best("a:1") == "a:1")
        // c:1 led to the same gateway as a:1 once.
        state.dialling(TunnelID(slot: 1, attempt: 1), "c:1")
        _ = state.established(TunnelID(slot: 0, attempt: 1), instance: "a", registry: "")
        _ = state.established(TunnelID(slot: 1, attempt: 1), instance: "a", registry: "")
        _ = state.ended(TunnelID(slot: 1, attempt: 1))
        #expect(best("a:1", "c:1", "b:1") == "b:1")
        #expect(best("a:1", "c:1") == "c:1")
        state.dialling(TunnelID(slot: 1, attempt: 2), "b:1")
        state.failed(TunnelID(slot: 1, attempt: 2))
        #expect(best("a:1", "b:1") == "a:1", "b:1 cannot be reached")
        _ = state.draining(TunnelID(slot: 0, attempt: 1))
        #expect(best("a:1", "b:1") == "b:1", "a:1 is ending")
        #expect(best("x:1", "y:1", "z:1", random: 0.99) == "z:1")
        #expect(best("x:1", "y:1", "z:1", random: 0.4) == "y:1")
    }
}
