import NIOCore
import Testing
import TunnelProtocol

@testable import ClusterAgent

@Suite("One slot of the pool, as transcripts")
struct TunnelSlotStateTests {
    /// A slot whose waits are half of what they may be at most.
    private struct Transcript {
        var state = TunnelSlotState(
            backoff: .init(first: .milliseconds(400), longest: .seconds(4), refused: .seconds(30)),
            times: .init(start: .milliseconds(300), drain: .seconds(1), lookAround: .seconds(60)))
        var occupancy = GatewayOccupancy()

        private func lines(_ actions: [TunnelSlotState.Action]) -> [String] {
            actions.map { action in
                switch action {
                case .resolve(let wait): "resolve in \(wait.nanoseconds / 1_000_000)"
                case .dial(let attempt, let address): "dial \(attempt) \(address ?? "-")"
                case .retire(let attempt): "retire \(attempt)"
                case .lookAround(let attempt, let wait): "look around \(attempt) in \(wait.nanoseconds / 1_000_000)"
                }
            }
        }

        func start(slot: Int) -> [String] { lines(state.start(slot: slot, random: 0.5)) }
        mutating func resolved(_ addresses: String...) -> [String] {
            lines(state.resolved(addresses, occupancy, random: 0))
        }
        mutating func lookedAround(_ attempt: Int, _ addresses: String...) -> [String] {
            lines(state.lookedAround(attempt, addresses, occupancy, random: 0.5))
        }
        mutating func failed(_ cause: Backoff.Cause = .failed) -> [String] {
            lines(state.failed(cause, random: 0.5))
        }
        mutating func established(_ attempt: Int, same: Bool = false) -> [String] {
            lines(state.established(attempt, isSameInstance: same, random: 0.5))
        }
        mutating func draining(_ attempt: Int, after lifetime: TimeAmount? = .seconds(5)) -> [String] {
            lines(state.draining(attempt, lifetime: lifetime, random: 0.5))
        }
        mutating func ended(_ attempt: Int, _ cause: Backoff.Cause = .lost(after: .seconds(5))) -> [String] {
            lines(state.ended(attempt, cause, random: 0.5))
        }

        /// Dials once and is welcomed.
        mutating func serve(_ attempt: Int) {
            _ = resolved("a", "b")
            _ = established(attempt)
        }
    }

    @Test("The first slot starts at once, the others one after another")
    func start() {
        let transcript = Transcript()
        #expect(transcript.start(slot: 0) == ["resolve in 0"])
        #expect(transcript.start(slot: 1) == ["resolve in 375"])
        #expect(transcript.start(slot: 2) == ["resolve in 675"])
    }

    @Test("A dial that fails waits longer each time and goes to another address; a lost tunnel is dialled again")
    func failures() {
        var transcript = Transcript()
        #expect(transcript.resolved("a", "b") == ["dial 1 a"])
        #expect(transcript.failed() == ["resolve in 200"])
        #expect(transcript.resolved("a", "b") == ["dial 2 b"])
        #expect(transcript.failed() == ["resolve in 400"])
        #expect(transcript.resolved("a", "b") == ["dial 3 a"], "all were tried: from the beginning")
        #expect(transcript.established(3) == [])
        #expect(transcript.ended(3, .lost(after: .seconds(5))) == ["resolve in 800"])
        #expect(transcript.resolved("a", "b") == ["dial 4 a"])
        #expect(transcript.established(4) == [])
        #expect(transcript.ended(4, .lost(after: .seconds(60))) == ["resolve in 200"], "a stable one starts anew")
    }

    @Test("Refused credentials wait long, and a wait that the gateway asks for is kept")
    func refusals() {
        var transcript = Transcript()
        #expect(transcript.resolved("a") == ["dial 1 a"])
        #expect(transcript.failed(.unauthorized) == ["resolve in 22500"])
        #expect(transcript.resolved("a") == ["dial 2 a"])
        #expect(transcript.failed(.retryAfter(.seconds(10))) == ["resolve in 11000"])
    }

    @Test("A drained tunnel is replaced before it ends, and its end changes nothing")
    func drain() {
        var transcript = Transcript()
        transcript.serve(1)
        #expect(transcript.draining(1) == ["resolve in 500"])
        #expect(transcript.draining(1) == [], "the second step of the drain")
        #expect(transcript.resolved("a", "b") == ["dial 2 a"])
        #expect(transcript.established(2) == [])
        #expect(!transcript.state.isCurrent(1))
        #expect(transcript.ended(1) == [])
        #expect(transcript.ended(2) != [])
    }

    @Test("A drained tunnel that ends before its replacement is up leaves one dial under way, not two")
    func drainedTooSoon() {
        var transcript = Transcript()
        transcript.serve(1)
        #expect(transcript.draining(1) == ["resolve in 500"])
        #expect(transcript.ended(1) == [])
        #expect(transcript.resolved("a", "b") == ["dial 2 a"])
        #expect(transcript.failed() == ["resolve in 200"])
        #expect(transcript.resolved("a", "b") == ["dial 3 b"])
        #expect(transcript.established(3) == [])
    }

    @Test("The replacement of a tunnel that was stable is dialled as if nothing had ever failed")
    func stableDrain() {
        var transcript = Transcript()
        for _ in 0..<4 { _ = transcript.failed() }
        transcript.serve(1)
        #expect(transcript.draining(1, after: .seconds(60)) == ["resolve in 500"])
        #expect(transcript.failed() == ["resolve in 200"])
    }

    @Test("A goodbye that overtakes the welcome is not lost")
    func earlyDrain() {
        var transcript = Transcript()
        #expect(transcript.resolved("a", "b") == ["dial 1 a"])
        #expect(transcript.draining(1, after: nil) == [])
        #expect(transcript.established(1) == ["resolve in 500"])
        #expect(transcript.resolved("a", "b") == ["dial 2 a"])
        #expect(transcript.established(2) == [])
    }

    @Test("A tunnel to a gateway that another slot has goes on while other addresses are tried, each once")
    func sameInstance() {
        var transcript = Transcript()
        #expect(transcript.resolved("a", "b", "c") == ["dial 1 a"])
        #expect(transcript.established(1, same: true) == ["resolve in 0"])
        #expect(transcript.resolved("a", "b", "c") == ["dial 2 b"])
        #expect(transcript.failed() == ["resolve in 0"], "there is a tunnel: no wait")
        #expect(transcript.resolved("a", "b", "c") == ["dial 3 c"])
        #expect(
            transcript.established(3, same: true) == ["retire 1", "look around 3 in 60000"], "none is left: it is kept")
        #expect(transcript.state.isCurrent(3))
        #expect(transcript.ended(1) == [])
    }

    @Test("A tunnel to a gateway of its own takes the place of one that shares")
    func distinct() {
        var transcript = Transcript()
        #expect(transcript.resolved("a", "b") == ["dial 1 a"])
        #expect(transcript.established(1, same: true) == ["resolve in 0"])
        #expect(transcript.resolved("a", "b") == ["dial 2 b"])
        #expect(transcript.established(2) == ["retire 1"])
    }

    @Test("A tunnel that shares its gateway is kept where nothing else can be reached, or there is no other address")
    func sharingIsBetterThanNothing() {
        var transcript = Transcript()
        #expect(transcript.resolved("a") == ["dial 1 a"])
        #expect(transcript.established(1, same: true) == ["look around 1 in 60000"])
        transcript = Transcript()
        #expect(transcript.resolved("a", "b") == ["dial 1 a"])
        #expect(transcript.established(1, same: true) == ["resolve in 0"])
        #expect(transcript.resolved("a", "b") == ["dial 2 b"])
        #expect(transcript.failed() == ["look around 1 in 60000"])
        #expect(transcript.state.isCurrent(1))
        transcript = Transcript()
        #expect(transcript.resolved("a", "b") == ["dial 1 a"])
        #expect(transcript.established(1, same: true) == ["resolve in 0"])
        #expect(transcript.resolved("a") == ["look around 1 in 30000"], "the other address is gone")
        #expect(transcript.state.isCurrent(1))
    }

    @Test("A tunnel that shares its gateway moves to one that comes up later and that nobody uses")
    func lookAround() {
        var transcript = Transcript()
        transcript.occupancy = GatewayOccupancy(
            addresses: ["a"], instances: ["A"], draining: ["d"], instanceByAddress: ["a": "A", "a6": "A"])
        #expect(transcript.resolved("a") == ["dial 1 a"])
        #expect(transcript.established(1, same: true) == ["look around 1 in 60000"])
        #expect(
            transcript.lookedAround(1, "a", "a6", "d") == ["look around 1 in 60000"],
            "in use, another address of the same, ending")
        #expect(transcript.lookedAround(1, "a", "b") == ["dial 2 b"])
        #expect(transcript.failed() == ["look around 1 in 60000"])
        #expect(transcript.lookedAround(1, "a", "b") == ["dial 3 b"])
        #expect(transcript.established(3) == ["retire 1"])
        #expect(transcript.lookedAround(1, "a", "c") == [], "too late")
    }

    @Test("A tunnel that shares its gateway and is drained, or lost, is dialled again once")
    func sharedAndGone() {
        var transcript = Transcript()
        #expect(transcript.resolved("a") == ["dial 1 a"])
        #expect(transcript.established(1, same: true) == ["look around 1 in 60000"])
        #expect(transcript.draining(1) == ["resolve in 500"])
        #expect(transcript.lookedAround(1, "a", "b") == [])
        #expect(transcript.resolved("a") == ["dial 2 a"])
        #expect(transcript.established(2, same: true) == ["look around 2 in 60000"])
        #expect(transcript.ended(2) == ["resolve in 200"])
        #expect(transcript.lookedAround(2, "a", "b") == [])
    }

    @Test("Behind a proxy, which resolves the name, there are no addresses")
    func proxy() {
        var transcript = Transcript()
        #expect(transcript.resolved() == ["dial 1 -"])
        #expect(transcript.established(1, same: true) == [])
        #expect(transcript.ended(1) == ["resolve in 200"])
        #expect(transcript.resolved() == ["dial 2 -"])
    }
}
