import Foundation
import KubernetesAPI
import KubernetesRuntime
import Logging
import NIOHTTP1
import Synchronization
import Testing

@Suite("Leader elector on a scripted server")
struct LeaderElectorTests {
    private static let settings = LeaderElectionState.Settings(
        leaseDuration: .seconds(2), renewDeadline: .milliseconds(1200), retryPeriod: .milliseconds(100))

    /// One Lease, with the server's optimistic locking; a client that is cut off gets no answers.
    private final class LeaseServer: Sendable {
        struct State {
            var spec: Lease.Spec?
            var version = 0
            var cutOff: Set<String> = []
            var holders: [String] = []
        }

        private struct Patch: Decodable {
            struct Metadata: Decodable { var resourceVersion: String }
            var metadata: Metadata
            var spec: Lease.Spec
        }

        let state = Mutex(State())

        func handle(_ request: ScriptedServer.Request, _ exchange: ScriptedServer.Exchange) async throws {
            let agent = request.headers.first(name: "user-agent") ?? ""
            let answer = try state.withLock { state -> (Int, String)? in
                if state.cutOff.contains(agent) { return nil }
                switch request.method {
                case "GET":
                    guard state.spec != nil else { return (404, Wire.status(404, "NotFound")) }
                case "POST":
                    guard state.spec == nil else { return (409, Wire.status(409, "AlreadyExists")) }
                    state.spec = try KubernetesJSON.decoder.decode(Lease.self, from: Data(request.body.utf8)).spec
                    state.version += 1
                default:
                    let patch = try KubernetesJSON.decoder.decode(Patch.self, from: Data(request.body.utf8))
                    guard patch.metadata.resourceVersion == "\(state.version)" else {
                        return (409, Wire.status(409, "Conflict"))
                    }
                    state.spec = patch.spec
                    state.version += 1
                }
                let holder = state.spec?.holderIdentity ?? ""
                if state.holders.last != holder { state.holders.append(holder) }
                let metadata = ObjectMeta(name: "l", namespace: "n", resourceVersion: "\(state.version)")
                let data = try KubernetesJSON.encode(Lease(metadata: metadata, spec: state.spec))
                return (200, String(decoding: data, as: UTF8.self))
            }
            guard let answer else { return try await exchange.hold() }
            try await exchange.reply(answer.0, answer.1)
        }

        func cutOff(_ agent: String) { state.withLock { _ = $0.cutOff.insert(agent) } }
        var holders: [String] { state.withLock { $0.holders } }
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

    private func elect(
        _ body: (LeaseServer, Floor, _ candidate: (String) throws -> (KubernetesClient, LeaderElector)) async throws ->
            Void
    ) async throws {
        let leases = LeaseServer()
        try await withScriptedServer {
            try await leases.handle($0, $1)
        } _: { server in
            try await body(leases, Floor()) { name in
                let client = try KubernetesClient(
                    configuration: KubernetesConfiguration(
                        server: ServerAddress(isTLS: false, host: "127.0.0.1", port: server.port)),
                    logger: Logger(label: "test"), userAgent: name,
                    options: .init(requestTimeout: .seconds(20), retry: .never))
                let elector = LeaderElector(
                    client: client, lease: ObjectKey(namespace: "n", name: "l"), identity: name,
                    settings: Self.settings, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
                return (client, elector)
            }
        }
    }

    @Test("of two candidates one leads; when it stops, it lets go and the other follows without waiting out the lease")
    func cleanHandOver() async throws {
        try await elect { leases, floor, candidate in
            let (clientA, a) = try candidate("a")
            let (clientB, b) = try candidate("b")
            try await withRunning({ try await b.run { try await floor.hold("b") } }) {
                try await eventually("b leads") { floor.present == ["b"] }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try? await a.run { try await floor.hold("a") } }
                    // Standing by for longer than the lease: it is renewed.
                    try await Task.sleep(for: .milliseconds(2400))
                    #expect(floor.present == ["b"])
                    group.cancelAll()
                }
            }
            #expect(leases.holders == ["b", ""])
            let started = ContinuousClock.now
            try await withRunning({ try await a.run { try await floor.hold("a") } }) {
                try await eventually("a leads") { floor.present == ["a"] }
                #expect(ContinuousClock.now - started < .milliseconds(1800))
            }
            #expect(leases.holders == ["b", "", "a", ""])
            #expect(!floor.crowded)
            try await clientA.shutdown()
            try await clientB.shutdown()
        }
    }

    @Test("a leader cut off from the server leaves its body before another enters")
    func cutOff() async throws {
        try await elect { leases, floor, candidate in
            let (clientA, a) = try candidate("a")
            let (clientB, b) = try candidate("b")
            try await withRunning({ try await a.run { try await floor.hold("a") } }) {
                try await eventually("a leads") { floor.present == ["a"] }
                try await withRunning({ try await b.run { try await floor.hold("b") } }) {
                    try await Task.sleep(for: .milliseconds(100))
                    leases.cutOff("a")
                    try await eventually("a has left") { floor.present.isEmpty }
                    #expect(leases.holders == ["a"])
                    try await eventually("b leads") { floor.present == ["b"] }
                }
            }
            #expect(!floor.crowded)
            #expect(floor.history == ["a", "b"])
            try await clientA.shutdown()
            try await clientB.shutdown()
        }
    }

    @Test("a body that ends by itself ends the election and frees the lease; one that fails does so with its error")
    func bodyEnds() async throws {
        struct Failure: Error {}
        try await elect { leases, _, candidate in
            let (client, elector) = try candidate("a")
            try await elector.run {}
            #expect(leases.holders == ["a", ""])
            await #expect(throws: Failure.self) { try await elector.run { throw Failure() } }
            #expect(leases.holders == ["a", "", "a", ""])
            try await client.shutdown()
        }
    }
}
