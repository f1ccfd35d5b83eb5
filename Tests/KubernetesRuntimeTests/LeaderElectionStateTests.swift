import Foundation
import KubernetesAPI
import Testing

@testable import KubernetesRuntime

@Suite("Leader election decisions")
struct LeaderElectionStateTests {
    private typealias State = LeaderElectionState

    private static let settings = State.Settings(
        leaseDuration: .seconds(15), renewDeadline: .seconds(10), retryPeriod: .seconds(2))

    private func date(_ second: Int) -> Date { Date(timeIntervalSince1970: Double(second)) }
    private func micro(_ second: Int) -> MicroTime { MicroTime(date(second)) }

    private func lease(
        _ holder: String?, _ version: Int, acquired: Int = 0, renewed: Int = 0, transitions: Int = 0,
        seconds: Int = 15
    ) -> Lease {
        Lease(
            metadata: ObjectMeta(name: "l", namespace: "n", resourceVersion: "\(version)"),
            spec: .init(
                holderIdentity: holder, leaseDurationSeconds: seconds, acquireTime: micro(acquired),
                renewTime: micro(renewed), leaseTransitions: transitions))
    }

    @Test("where there is no lease it is created, and then renewed without being read again")
    func create() {
        var state = State(identity: "me", settings: Self.settings)
        #expect(state.mustRead)
        let created = lease("me", 1)
        #expect(state.found(nil, now: .zero, date: date(0)) == .create(created.spec ?? .init()))
        state.written(created, began: .zero, now: .milliseconds(5))
        #expect(state.leadsUntil == .seconds(10))
        #expect(!state.mustRead)
        let renewal = lease("me", 2, renewed: 2)
        #expect(state.attempt(date: date(2)) == .update(renewal.spec ?? .init(), resourceVersion: "1"))
        state.written(renewal, began: .seconds(2), now: .seconds(3))
        // Counted from when the request was begun, not from its answer.
        #expect(state.leadsUntil == .seconds(12))
    }

    @Test("a renewal that is answered only after the leader's time was over does not bring it back")
    func answeredTooLate() {
        var state = State(identity: "me", settings: Self.settings)
        _ = state.found(nil, now: .zero, date: date(0))
        state.written(lease("me", 1), began: .zero, now: .zero)
        _ = state.attempt(date: date(2))
        state.written(lease("me", 2), began: .seconds(2), now: .seconds(11))
        #expect(state.leadsUntil == nil)
        #expect(state.mustRead)
    }

    @Test("another's lease is taken over after it was seen unchanged for its duration, less the time between two looks")
    func takeOver() {
        var state = State(identity: "me", settings: Self.settings)
        let old = lease("other", 7, renewed: -1_000_000, transitions: 3)
        #expect(state.found(old, now: .seconds(100), date: date(0)) == .wait)
        #expect(state.holder == "other")
        #expect(state.found(old, now: .milliseconds(113_799), date: date(0)) == .wait)
        let expected = lease("me", 0, acquired: 50, renewed: 50, transitions: 4)
        #expect(
            state.found(old, now: .milliseconds(113_800), date: date(50))
                == .update(expected.spec ?? .init(), resourceVersion: "7"))
    }

    @Test("each renewal by its holder starts the time anew")
    func renewedByOther() {
        var state = State(identity: "me", settings: Self.settings)
        for second in stride(from: 0, to: 100, by: 10) {
            let seen = lease("other", second, renewed: second)
            #expect(state.found(seen, now: .seconds(second), date: date(second)) == .wait)
        }
    }

    @Test("the duration that counts is the one the holder has promised, not our own")
    func othersDuration() {
        var state = State(identity: "me", settings: Self.settings)
        let long = lease("other", 1, seconds: 60)
        #expect(state.found(long, now: .zero, date: date(0)) == .wait)
        #expect(state.found(long, now: .seconds(58), date: date(0)) == .wait)
        #expect(state.found(long, now: .seconds(60), date: date(0)) != .wait)
    }

    @Test("however close the deadlines are, nobody takes over before a leader has to stop")
    func closeDeadlines() {
        let close = LeaderElectionState.Settings(
            leaseDuration: .seconds(15), renewDeadline: .milliseconds(14_800), retryPeriod: .seconds(2))
        var state = State(identity: "me", settings: close)
        let old = lease("other", 7)
        #expect(state.found(old, now: .zero, date: date(0)) == .wait)
        #expect(state.found(old, now: .milliseconds(14_850), date: date(0)) == .wait)
        #expect(state.found(old, now: .milliseconds(14_900), date: date(0)) != .wait)
    }

    @Test("a released lease is free at once, and our own from an earlier life is ours")
    func free() {
        var state = State(identity: "me", settings: Self.settings)
        let released = lease("", 4, transitions: 2, seconds: 1)
        let taken = lease("me", 0, acquired: 5, renewed: 5, transitions: 3)
        #expect(
            state.found(released, now: .zero, date: date(5)) == .update(taken.spec ?? .init(), resourceVersion: "4"))
        var again = State(identity: "me", settings: Self.settings)
        let mine = lease("me", 8, acquired: 1, renewed: 2, transitions: 2)
        let renewed = lease("me", 0, acquired: 1, renewed: 9, transitions: 2)
        #expect(again.found(mine, now: .zero, date: date(9)) == .update(renewed.spec ?? .init(), resourceVersion: "8"))
    }

    @Test("a leader whose write is refused looks again, and steps down when it sees another's name")
    func refused() {
        var state = State(identity: "me", settings: Self.settings)
        state.written(lease("me", 1), began: .zero, now: .zero)
        state.refused()
        #expect(state.mustRead)
        #expect(state.leadsUntil == .seconds(10))
        #expect(state.found(lease("other", 2), now: .seconds(2), date: date(2)) == .wait)
        #expect(state.leadsUntil == nil)
        #expect(state.release(date: date(2)) == .nothing)
    }

    @Test("only the holder has something to release, and it names nobody")
    func release() {
        var state = State(identity: "me", settings: Self.settings)
        #expect(state.release(date: date(0)) == .nothing)
        state.written(lease("me", 3, transitions: 5), began: .zero, now: .zero)
        let released = lease("", 0, acquired: 1, renewed: 1, transitions: 5, seconds: 1).spec ?? .init()
        #expect(state.release(date: date(1)) == .write(released, resourceVersion: "3"))
        state.stepDown()
        #expect(state.release(date: date(1)) == .nothing)
    }

    @Test("a write without an answer may have made the lease ours: it is read, and let go only if it is")
    func releaseAfterUnansweredWrite() {
        var state = State(identity: "me", settings: Self.settings)
        _ = state.found(nil, now: .zero, date: date(0))
        #expect(state.mayHoldLease)
        #expect(state.release(date: date(1)) == .read)
        #expect(state.release(nil, date: date(1)) == .nothing)
        #expect(state.release(lease("other", 4), date: date(1)) == .nothing)
        let released = lease("", 0, acquired: 1, renewed: 1, transitions: 2, seconds: 1).spec ?? .init()
        #expect(state.release(lease("me", 4, transitions: 2), date: date(1)) == .write(released, resourceVersion: "4"))
        state.refused()
        #expect(!state.mayHoldLease)
        #expect(state.release(date: date(1)) == .nothing)
    }

    @Test("who stands by asks every second, and at the very moment another's lease may be taken over")
    func standby() {
        var state = State(identity: "me", settings: Self.settings)
        #expect(state.standbyDelay(now: .zero, random: 0) == .seconds(1))
        _ = state.found(lease("other", 7), now: .zero, date: date(0))
        #expect(state.standbyDelay(now: .zero, random: 1) == .milliseconds(1200))
        #expect(state.standbyDelay(now: .milliseconds(13_700), random: 0) == .milliseconds(100))
        #expect(state.standbyDelay(now: .seconds(16), random: 0) == .seconds(1))
    }
}
