import NIOCore
import Testing

@testable import EdgeGateway

@Suite("The order in which a gateway ends")
struct GatewayDrainTests {
    private let begin = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func schedule(_ grace: TimeAmount) -> [Int64] {
        let schedule = DrainSchedule(begin: begin, grace: grace)
        return [schedule.lameDuck, schedule.front, schedule.streams].map { ($0 - begin).nanoseconds / 1_000_000 }
    }

    @Test("everything lies within the grace time, the tunnels' goodbyes included, whatever it is")
    func times() {
        #expect(schedule(.seconds(30)) == [5000, 28_000, 29_000])
        #expect(schedule(.seconds(4)) == [1000, 3000, 3500])
        #expect(schedule(.zero) == [0, 0, 0])
        #expect(schedule(.seconds(-1)) == [0, 0, 0])
        #expect(schedule(.hours(1)) == [5000, 3_598_000, 3_599_000])
    }

    @Test("it begins once, is told as the reason for not being ready, and the tunnels wait for the front door")
    func order() async throws {
        let drain = GatewayDrain(grace: .seconds(3600))
        #expect(drain.reasons == [])
        let schedule = drain.begin()
        #expect(drain.begin() == schedule)
        #expect(drain.reasons.count == 1)
        async let waited: Void = drain.waitForFrontDoor(schedule)
        drain.frontDoorIsDone()
        await waited
    }

    @Test("a front door that is never done holds the tunnels only as long as it may")
    func bounded() async {
        let drain = GatewayDrain(grace: .zero)
        await drain.waitForFrontDoor(drain.begin())
    }
}

@Suite("A gateway that takes over is shut until it knows the routes")
struct WarmUpTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private func at(_ milliseconds: Int64) -> NIODeadline { start + .milliseconds(milliseconds) }

    @Test("it is over once every cluster that came has sent its routes and nothing new came for a second")
    func settled() {
        var state = WarmUpState(now: start, longest: .seconds(20))
        #expect(!state.isOver(at: at(5000)))
        state.connected("a", at: at(5000))
        #expect(!state.isOver(at: at(7000)))
        state.synced("a", at: at(7000))
        #expect(!state.isOver(at: at(7999)))
        state.connected("b", at: at(7999))
        #expect(!state.isOver(at: at(12_000)))
        state.synced("b", at: at(12_000))
        #expect(!state.isOver(at: at(12_999)))
        #expect(state.isOver(at: at(13_000)))
        // A second tunnel of a cluster whose routes are here is no news.
        state.connected("b", at: at(13_000))
        #expect(state.isOver(at: at(13_000)))
    }

    @Test("it is over in any case when its time is, and at once where it has none")
    func longest() {
        var state = WarmUpState(now: start, longest: .seconds(20))
        state.connected("a", at: at(1))
        #expect(!state.isOver(at: at(19_999)))
        #expect(state.isOver(at: at(20_000)))
        #expect(WarmUpState(now: start, longest: .zero).isOver(at: start))
    }
}
