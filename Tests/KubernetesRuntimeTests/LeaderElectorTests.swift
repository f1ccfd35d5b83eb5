import Foundation
import KubernetesAPI
import KubernetesRuntime
import Logging
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@Suite("Leader elector on a scripted server")
struct LeaderElectorTests {
    /// The renew deadline is no multiple of the retry period, so that `isAtRest` cannot take one for the other.
    private static let settings = LeaderElectionState.Settings(
        leaseDuration: .seconds(2), renewDeadline: .milliseconds(1250), retryPeriod: .milliseconds(100))

    /// A leader waits to renew, and for the end of its time; one who stands by waits to ask again.
    private static let sleepersAtRest = 3

    private static func isAtRest(_ clock: ManualClock) -> Bool {
        // Not in the middle of a request, which watches the time as well.
        let left = clock.deadlines.map { $0 - clock.now.offset }
        return left.count == sleepersAtRest && left.contains(settings.retryPeriod)
            && left.contains(settings.retryPeriod / 2)
    }

    /// One Lease, with the server's optimistic locking; a client that is cut off gets no answers.
    private final class LeaseServer: Sendable {
        struct State {
            var spec: Lease.Spec?
            var annotations: [String: String]?
            var version = 0
            var cutOff: Set<String> = []
            /// Clients whose writes are carried out and not answered.
            var mutes: Set<String> = []
            var holders: [String] = []
            /// The requests of each client.
            var requests: [String: Int] = [:]
        }

        private struct Patch: Decodable {
            struct Metadata: Decodable {
                var resourceVersion: String
                var annotations: [String: String]?
            }
            var metadata: Metadata
            var spec: Lease.Spec
        }

        let state = Mutex(State())

        func handle(_ request: ScriptedServer.Request, _ exchange: ScriptedServer.Exchange) async throws {
            let agent = request.headers.first(name: "user-agent") ?? ""
            let answer = try state.withLock { state -> (Int, String)? in
                state.requests[agent, default: 0] += 1
                if state.cutOff.contains(agent) { return nil }
                switch request.method {
                case "GET":
                    guard state.spec != nil else { return (404, Wire.status(404, "NotFound")) }
                case "POST":
                    guard state.spec == nil else { return (409, Wire.status(409, "AlreadyExists")) }
                    let lease = try KubernetesJSON.decoder.decode(Lease.self, from: Data(request.body.utf8))
                    (state.spec, state.annotations) = (lease.spec, lease.metadata.annotations)
                    state.version += 1
                default:
                    let patch = try KubernetesJSON.decoder.decode(Patch.self, from: Data(request.body.utf8))
                    guard patch.metadata.resourceVersion == "\(state.version)" else {
                        return (409, Wire.status(409, "Conflict"))
                    }
                    state.spec = patch.spec
                    state.annotations?.merge(patch.metadata.annotations ?? [:]) { _, new in new }
                    state.version += 1
                }
                let holder = state.spec?.holderIdentity ?? ""
                if state.holders.last != holder { state.holders.append(holder) }
                if request.method != "GET", state.mutes.contains(agent) { return nil }
                let metadata = ObjectMeta(
                    name: "l", namespace: "n", resourceVersion: "\(state.version)", annotations: state.annotations)
                let data = try KubernetesJSON.encode(Lease(metadata: metadata, spec: state.spec))
                return (200, String(decoding: data, as: UTF8.self))
            }
            guard let answer else { return try await exchange.hold() }
            try await exchange.reply(answer.0, answer.1)
        }

        func reconnect(_ agent: String) { state.withLock { _ = $0.cutOff.remove(agent) } }
        func cutOff(_ agent: String) { state.withLock { _ = $0.cutOff.insert(agent) } }
        func mute(_ agent: String) { state.withLock { _ = $0.mutes.insert(agent) } }
        func answerAgain(_ agent: String) { state.withLock { _ = $0.mutes.remove(agent) } }
        var holders: [String] { state.withLock { $0.holders } }
        var version: Int { state.withLock { $0.version } }
        var annotations: [String: String]? { state.withLock { $0.annotations } }
        func requests(of agent: String) -> Int { state.withLock { $0.requests[agent] ?? 0 } }
    }

    /// Who is in its body, and whether ever two were.
    private final class Floor: Sendable {
        struct State {
            var present: Set<String> = []
            var history: [String] = []
            var crowded = false
        }

        let state = Mutex(State())
        var present: Set<String> { state.withLock { $0.present } }
        var history: [String] { state.withLock { $0.history } }
        var crowded: Bool { state.withLock { $0.crowded } }

        func hold(_ name: String) async throws {
            state.withLock { state in
                if !state.present.isEmpty { state.crowded = true }
                state.present.insert(name)
                state.history.append(name)
            }
            defer { state.withLock { _ = $0.present.remove(name) } }
            try await Task.sleep(for: .seconds(60))
        }
    }

    /// Runs `body` with a lease, a clock that stands still, and two candidates of the names "a" and "b".
    private func elect(
        releaseTimeout: Duration? = nil,
        _ body: (LeaseServer, Floor, ManualClock, _ a: LeaderElector, _ b: LeaderElector) async throws -> Void
    ) async throws {
        let leases = LeaseServer()
        let clock = ManualClock()
        try await withScriptedServer {
            try await leases.handle($0, $1)
        } _: { server in
            func candidate(_ name: String, _ client: KubernetesClient) -> LeaderElector {
                LeaderElector(
                    client: client, lease: ObjectKey(namespace: "n", name: "l"), identity: name,
                    settings: Self.settings, releaseTimeout: releaseTimeout, logger: .silent, clock: clock,
                    random: { 0 })
            }
            let options = KubernetesClient.Options(requestTimeout: .seconds(60), retry: .never)
            try await withClient(port: server.port, userAgent: "a", options: options) { a in
                try await withClient(port: server.port, userAgent: "b", options: options) { b in
                    try await body(leases, Floor(), clock, candidate("a", a), candidate("b", b))
                }
            }
        }
    }

    @Test("of two candidates one leads; when it stops, it lets go and the other follows without waiting out the lease")
    func cleanHandOver() async throws {
        try await elect { leases, floor, clock, a, b in
            try await withRunning({ try await b.run { try await floor.hold("b") } }) {
                try await eventually("b leads") { floor.present == ["b"] }
                try await withRunning({ try await a.run { try await floor.hold("a") } }) {
                    try await eventually("a stands by") { Self.isAtRest(clock) }
                    // For longer than the lease: it is renewed, and a goes on asking in vain.
                    for _ in 0..<25 {
                        let (version, asked) = (leases.version, leases.requests(of: "a"))
                        clock.advance(by: Self.settings.retryPeriod)
                        try await eventually("b renews and a asks") {
                            leases.version > version && leases.requests(of: "a") > asked
                        }
                        try await eventually("both are at rest") { Self.isAtRest(clock) }
                    }
                    #expect(clock.now.offset > Self.settings.leaseDuration)
                    #expect(floor.present == ["b"])
                }
            }
            #expect(leases.holders == ["b", ""])
            // The clock stands still from here on.
            try await withRunning({ try await a.run { try await floor.hold("a") } }) {
                try await eventually("a leads") { floor.present == ["a"] }
            }
            #expect(leases.holders == ["b", "", "a", ""])
            #expect(!floor.crowded)
        }
    }

    @Test("a leader cut off from the server leaves its body before another enters")
    func cutOff() async throws {
        try await elect { leases, floor, clock, a, b in
            try await withRunning({ try await a.run { try await floor.hold("a") } }) {
                try await eventually("a leads") { floor.present == ["a"] }
                try await withRunning({ try await b.run { try await floor.hold("b") } }) {
                    try await eventually("b stands by") { Self.isAtRest(clock) }
                    leases.cutOff("a")
                    let asked = leases.requests(of: "b")
                    clock.advance(by: Self.settings.renewDeadline)
                    try await eventually("a has left, b has asked in vain") {
                        // Then b waits to ask again, and a for an answer, within a limit.
                        floor.present.isEmpty && leases.requests(of: "b") > asked
                            && clock.deadlines.map { $0 - clock.now.offset } == [
                                Self.settings.retryPeriod / 2, Self.settings.renewDeadline / 2,
                            ]
                    }
                    #expect(leases.holders == ["a"])
                    clock.advance(by: Self.settings.leaseDuration)
                    try await eventually("b leads") { floor.present == ["b"] }
                }
            }
            #expect(!floor.crowded)
            #expect(floor.history == ["a", "b"])
        }
    }

    @Test("a leader stopped while its renewal has no answer yet lets go of the lease all the same")
    func stoppedWhileRenewing() async throws {
        try await elect { leases, floor, clock, a, _ in
            try await withRunning({ try await a.run { try await floor.hold("a") } }) {
                try await eventually("a leads") { floor.present == ["a"] }
                // Renewing, and watching the time.
                try await eventually("a is at rest") { clock.sleepers == 2 }
                let version = leases.version
                leases.mute("a")
                clock.advance(by: Self.settings.retryPeriod)
                try await eventually("the renewal has come through") { leases.version == version + 1 }
                leases.answerAgain("a")
            }
            #expect(leases.holders == ["a", ""])
        }
    }

    @Test("a leader stopped while the server gives no answer lets go for as long as it may, and ends")
    func stoppedWithoutAnswer() async throws {
        let timeout = Duration.milliseconds(350)
        try await elect(releaseTimeout: timeout) { leases, floor, clock, a, _ in
            let leader = Task { try await a.run { try await floor.hold("a") } }
            try await eventually("a leads") { floor.present == ["a"] }
            leases.cutOff("a")
            leader.cancel()
            try await eventually("a tries to let go") { clock.deadlines.contains(clock.now.offset + timeout) }
            clock.advance(by: timeout)
            _ = await leader.result
            #expect(leases.holders == ["a"])
        }
    }

    @Test("a renewal without an answer is given up in time for another, and the leader stays one")
    func silentConnection() async throws {
        try await elect { leases, floor, clock, a, _ in
            try await withRunning({ try await a.run { try await floor.hold("a") } }) {
                try await eventually("a leads") { floor.present == ["a"] }
                try await eventually("a is at rest") { clock.sleepers == 2 }
                let (version, asked) = (leases.version, leases.requests(of: "a"))
                leases.cutOff("a")
                clock.advance(by: Self.settings.retryPeriod)
                try await eventually("a renews in vain, and watches the time") {
                    leases.requests(of: "a") == asked + 1 && clock.sleepers == 2
                }
                leases.reconnect("a")
                clock.advance(by: Self.settings.renewDeadline / 2)
                try await eventually("a waits for the next renewal") {
                    clock.deadlines.contains(clock.now.offset + Self.settings.retryPeriod)
                }
                clock.advance(by: Self.settings.retryPeriod)
                try await eventually("a has renewed") { leases.version > version }
                #expect(floor.history == ["a"] && floor.present == ["a"])
            }
        }
    }

    @Test("one who stands by and gets no answer asks again before the lease can have run out")
    func silentStandby() async throws {
        try await elect { leases, floor, clock, a, b in
            let leader = Task { try await b.run { try await floor.hold("b") } }
            defer { leader.cancel() }
            try await eventually("b leads") { floor.present == ["b"] }
            #expect(leases.annotations == ["leader-election.pipeops.io/renew-deadline": "1250ms b"])
            leases.cutOff("a")
            try await withRunning({ try await a.run { try await floor.hold("a") } }) {
                try await eventually("a asks in vain, and watches the time") {
                    leases.requests(of: "a") == 1 && clock.sleepers == 3
                }
                leases.reconnect("a")
                clock.advance(by: Self.settings.renewDeadline / 2)
                try await eventually("a waits to ask again") {
                    clock.deadlines.contains(clock.now.offset + Self.settings.retryPeriod / 2)
                }
                clock.advance(by: Self.settings.retryPeriod / 2)
                try await eventually("a has asked again") { leases.requests(of: "a") == 2 }
            }
        }
    }

    @Test("a candidate stopped while its first write has no answer yet lets go of the lease all the same")
    func stoppedWhileAcquiring() async throws {
        try await elect { leases, floor, _, a, _ in
            leases.mute("a")
            try await withRunning({ try await a.run { try await floor.hold("a") } }) {
                try await eventually("the lease is made") { leases.version == 1 }
                leases.answerAgain("a")
            }
            #expect(leases.holders == ["a", ""])
            #expect(floor.history.isEmpty)
        }
    }

    @Test("a leader that stops is followed after 0.6 retry periods at most, which is 1.2 s as configured by default")
    func promptHandOver() async throws {
        try await elect { leases, floor, clock, a, b in
            let leader = Task { try await b.run { try await floor.hold("b") } }
            defer { leader.cancel() }
            try await eventually("b leads") { floor.present == ["b"] }
            try await withRunning({ try await a.run { try await floor.hold("a") } }) {
                try await eventually("a stands by") { Self.isAtRest(clock) }
                leader.cancel()
                _ = await leader.result
                #expect(leases.holders == ["b", ""])
                clock.advance(by: Self.settings.retryPeriod * 0.6)
                try await eventually("a leads") { floor.present == ["a"] }
            }
            #expect(!floor.crowded)
        }
    }

    @Test("a body that ends by itself ends the election and frees the lease; one that fails does so with its error")
    func bodyEnds() async throws {
        struct Failure: Error {}
        try await elect { leases, _, _, elector, _ in
            try await elector.run {}
            #expect(leases.holders == ["a", ""])
            await #expect(throws: Failure.self) { try await elector.run { throw Failure() } }
            #expect(leases.holders == ["a", "", "a", ""])
        }
    }
}
