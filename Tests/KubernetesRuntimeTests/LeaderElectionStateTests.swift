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
        seconds: Int? = 15, deadline: String? = nil
    ) -> Lease {
        Lease(
            metadata: ObjectMeta(
                name: "l", namespace: "n", resourceVersion: "\(version)",
                annotations: deadline.map { ["leader-election.pipeops.io/renew-deadline": $0] }),
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

    /// How long `lease` has to be seen unchanged, in milliseconds, by a candidate of these settings.
    private func patience(_ lease: Lease, _ settings: State.Settings = settings) -> Int {
        var state = State(identity: "me", settings: settings)
        #expect(state.found(lease, now: .zero, date: date(0)) == .wait)
        return (1...70_000).first { state.found(lease, now: .milliseconds($0), date: date(0)) != .wait } ?? 0
    }

    @Test("another's lease is taken over after it was seen unchanged for its duration")
    func takeOver() {
        var state = State(identity: "me", settings: Self.settings)
        let old = lease("other", 7, renewed: -1_000_000, transitions: 3)
        #expect(state.found(old, now: .seconds(100), date: date(0)) == .wait)
        #expect(state.holder == "other")
        #expect(state.found(old, now: .milliseconds(114_999), date: date(0)) == .wait)
        let expected = lease("me", 0, acquired: 50, renewed: 50, transitions: 4)
        #expect(
            state.found(old, now: .seconds(115), date: date(50))
                == .update(expected.spec ?? .init(), resourceVersion: "7"))
    }

    @Test("the lease of a leader that has told its deadline is taken over as much sooner as its renewal may be unseen")
    func takeOverWithDeadline() {
        #expect(patience(lease("other", 7, deadline: "10000ms other")) == 13_800)
        // A longer retry period of the standby leaves more unseen, but half of what lies between is kept.
        let slow = State.Settings(
            leaseDuration: .seconds(15), renewDeadline: .seconds(10), retryPeriod: .seconds(8))
        #expect(patience(lease("other", 7, deadline: "10000ms other"), slow) == 12_500)
    }

    @Test(
        "a leader with a longer deadline than this candidate's own is waited for, as while settings are being changed")
    func othersDeadline() {
        // This one would stop after 10 s.
        #expect(patience(lease("other", 7, deadline: "14000ms other")) == 14_500)
        #expect(patience(lease("other", 7, deadline: "14800ms other")) == 14_900)
        #expect(patience(lease("other", 7, deadline: "99000ms other")) == 15_000)
    }

    @Test(
        "a deadline that another holder has left behind, or that is none, does not count",
        arguments: ["10000ms gone", "10000ms", "ms other", "-5ms other", "10s other", "10000ms gone other"])
    func foreignDeadline(text: String) {
        #expect(patience(lease("other", 7, deadline: text)) == 15_000)
    }

    @Test("a lease without a duration is given ours")
    func noDuration() {
        #expect(patience(lease("other", 7, seconds: nil)) == 15_000)
    }

    @Test("a leader tells its deadline under its name")
    func annotations() {
        let settings = State.Settings(
            leaseDuration: .seconds(2), renewDeadline: .microseconds(1_250_001), retryPeriod: .milliseconds(100))
        #expect(
            State(identity: "me_1", settings: settings).annotations
                == ["leader-election.pipeops.io/renew-deadline": "1251ms me_1"])
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
        _ = state.found(lease("other", 7, deadline: "10000ms other"), now: .zero, date: date(0))
        #expect(state.standbyDelay(now: .zero, random: 1) == .milliseconds(1200))
        #expect(state.standbyDelay(now: .milliseconds(13_700), random: 0) == .milliseconds(100))
        #expect(state.standbyDelay(now: .seconds(16), random: 0) == .seconds(1))
    }
}
