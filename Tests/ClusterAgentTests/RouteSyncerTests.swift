import ClusterAgent
import KubernetesAPI
import Logging
import Routing
import Synchronization
import TestSupport
import Testing
import TunnelProtocol

@Suite("A session with the gateway")
struct RouteSyncerTests {
    /// A syncer over a published ledger, a session that collects what is sent, and what was affected.
    final class Bench: Sendable {
        let ledger = LiveRouteLedger(forwarding: ForwardingGuard(policy: TargetPolicy()))
        let sent = Mutex<[ControlMessage]>([])
        let affected = Mutex<[Set<ObjectKey>]>([])
        private let byRegistry = Mutex<[String: [ControlMessage]]>([:])

        func record(_ message: ControlMessage, of registry: String) {
            byRegistry.withLock { $0[registry, default: []].append(message) }
        }

        func sent(to registry: String) -> [ControlMessage] { byRegistry.withLock { $0[registry] ?? [] } }

        func syncer(
            downAfter: Duration = .seconds(60), clock: any Clock<Duration> = ContinuousClock()
        ) -> RouteSyncer {
            _ = ledger.setPublication(.published)
            ledger.setComplete()
            return RouteSyncer(
                clusterUUID: "abc-123", ledger: ledger, isPrivate: { true },
                onAffected: { keys in self.affected.withLock { $0.append(keys) } }, downAfter: downAfter,
                clock: clock, logger: .silent)
        }

        func submit(_ name: String) throws {
            let route = try Sample.route("\(name).example.com")
            _ = ledger.replace(ingress: Sample.key(name), createdAt: Sample.date(0), with: [route])
        }

        var transcript: [String] { sent.withLock { $0.map(RouteSyncMachineTests.Transcript.line) } }

        func session(
            _ syncer: RouteSyncer, registry: String = "", heartbeatInterval: Duration = .seconds(60)
        ) async throws {
            try await syncer.runSession(registry: registry, heartbeatInterval: heartbeatInterval) { message in
                self.sent.withLock { $0.append(message) }
            }
        }

        /// Answers what was sent last, as a gateway that takes everything.
        func acknowledgeLast(_ syncer: RouteSyncer) {
            let last = sent.withLock { messages in
                messages.reversed().lazy.compactMap { message -> Int64? in
                    if case .ingressRoutes(let routes) = message { routes.revision } else { nil }
                }.first
            }
            if let last { syncer.received(.init(revision: last, accepted: 0)) }
        }
    }

    @Test("Begins with the whole set and a heartbeat, and passes changes on as they come")
    func life() async throws {
        let bench = Bench()
        let syncer = bench.syncer()
        try bench.submit("a")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await syncer.run() }
            group.addTask { try await bench.session(syncer) }
            try await eventually("the set and a heartbeat are sent") { bench.transcript.count == 2 }
            #expect(bench.transcript[0].hasSuffix("page 0 last: a.example.com/=my-app"))
            #expect(bench.transcript[1].hasPrefix("heartbeat private 1"))
            bench.acknowledgeLast(syncer)
            #expect(bench.affected.withLock { $0 } == [[Sample.key("a")]])
            #expect(bench.ledger.read { $0.tunnel } == .up)
            try bench.submit("b")
            try await eventually("the change is sent") { bench.transcript.count == 3 }
            #expect(bench.transcript[2].hasPrefix("add @"))
            syncer.resyncRequested(reason: "test")
            bench.acknowledgeLast(syncer)
            try await eventually("the whole set is sent again") { bench.transcript.count == 4 }
            #expect(bench.transcript[3].hasPrefix("sync @"))
            group.cancelAll()
            while let result = await group.nextResult() { _ = result }
        }
    }

    @Test("However often the gateway asks for the whole set, it is sent once a second")
    func manyResyncs() async throws {
        let bench = Bench()
        let clock = ManualClock()
        let syncer = bench.syncer(clock: clock)
        try bench.submit("a")
        let syncs = { @Sendable in bench.transcript.count { $0.hasPrefix("sync @") } }
        try await withRunning {
            try await bench.session(syncer)
        } _: {
            try await eventually("the set is sent") { syncs() == 1 }
            for _ in 0..<1000 { syncer.resyncRequested(reason: "more") }
            try await eventually("it is sent again") { syncs() == 2 }
            // For the heartbeat, and for the next set.
            try await eventually("the rest waits") { clock.sleepers == 2 }
            for _ in 0..<1000 { syncer.resyncRequested(reason: "more") }
            clock.advance(by: .milliseconds(999))
            #expect(syncs() == 2)
            clock.advance(by: .milliseconds(1))
            try await eventually("what waited is one set") { syncs() == 3 }
            try await eventually("the next waits") { clock.sleepers == 2 }
            #expect(syncs() == 3)
        }
    }

    @Test("Heartbeats go on at the interval the gateway asked for")
    func heartbeats() async throws {
        let bench = Bench()
        let syncer = bench.syncer()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await bench.session(syncer, heartbeatInterval: .milliseconds(10)) }
            try await eventually("heartbeats are sent") {
                bench.transcript.count { $0.hasPrefix("heartbeat") } >= 3
            }
            group.cancelAll()
            while let result = await group.nextResult() { _ = result }
        }
    }

    @Test("A tunnel that cannot be written to ends the session with its error")
    func sendFails() async throws {
        struct Broken: Error {}
        let syncer = Bench().syncer()
        await #expect(throws: Broken.self) {
            try await syncer.runSession(heartbeatInterval: .seconds(60)) { _ in throw Broken() }
        }
    }

    @Test("Without a session for a while every Ingress is affected; a quick reconnection affects none")
    func down() async throws {
        let bench = Bench()
        let syncer = bench.syncer(downAfter: .milliseconds(50))
        try bench.submit("a")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await syncer.run() }
            try await eventually("the first session is missed") { bench.ledger.read { $0.tunnel } == .down }
            #expect(bench.affected.withLock { $0 } == [[Sample.key("a")]])
            let session = Task { try await bench.session(syncer) }
            try await eventually("the set is sent") { bench.transcript.count == 2 }
            bench.acknowledgeLast(syncer)
            #expect(bench.ledger.read { $0.tunnel } == .up)
            session.cancel()
            _ = await session.result
            try await eventually("the loss is noticed") { bench.ledger.read { $0.tunnel } == .down }
            group.cancelAll()
            while let result = await group.nextResult() { _ = result }
        }
    }

    @Test("Each registry has a session of its own, which gets every change; one that is gone is not waited for")
    func registries() async throws {
        let bench = Bench()
        let syncer = bench.syncer(downAfter: .milliseconds(50))
        func transcript(_ registry: String) -> [String] {
            bench.sent(to: registry).map(RouteSyncMachineTests.Transcript.line).filter { !$0.hasPrefix("heartbeat") }
        }
        let session = { @Sendable (registry: String) in
            Task {
                try await syncer.runSession(registry: registry, heartbeatInterval: .seconds(60)) { message in
                    bench.record(message, of: registry)
                }
            }
        }
        func acknowledge(_ registry: String) {
            for case .ingressRoutes(let routes) in bench.sent(to: registry) {
                syncer.received(.init(revision: routes.revision, accepted: 0), from: registry)
            }
        }
        func isServed(_ name: String) throws -> Bool {
            let route = try Sample.route("\(name).example.com")
            return bench.ledger.read { ledger in
                ledger.standing(of: Sample.key(name), createdAt: Sample.date(0), routes: [route]).revision != nil
            }
        }
        try bench.submit("a")
        try await withRunning {
            try await syncer.run()
        } _: {
            let old = session("old")
            try await eventually("the old registry gets the set") { transcript("old").count == 1 }
            acknowledge("old")
            #expect(try isServed("a"))
            let new = session("new")
            try await eventually("the new one, too") { transcript("new").count == 1 }
            #expect(transcript("new")[0].hasPrefix("sync @"))
            #expect(transcript("old").count == 1, "the old session goes on")
            acknowledge("new")

            try bench.submit("b")
            try await eventually("both get the change") {
                ["old", "new"].allSatisfy { transcript($0).last?.hasPrefix("add @") == true }
            }
            acknowledge("new")
            #expect(try !isServed("b"), "the old registry has not answered")
            acknowledge("old")
            #expect(try isServed("b"))

            try bench.submit("c")
            try await eventually("the new one has it") { transcript("new").count == 3 }
            acknowledge("new")
            old.cancel()
            _ = await old.result
            try await eventually("after a while the old one is not waited for") { try isServed("c") }
            #expect(bench.ledger.read { $0.tunnel } == .up)
            new.cancel()
            _ = await new.result
            try await eventually("without any it is down") { bench.ledger.read { $0.tunnel } == .down }
        }
    }

    @Test("A newer session takes over: the older one ends, and the newer one gets the whole set")
    func takeover() async throws {
        let bench = Bench()
        let syncer = bench.syncer()
        let older = Task { try await bench.session(syncer) }
        try await eventually("the older session has begun") { bench.transcript.count == 2 }
        let newer = Task { try await bench.session(syncer) }
        try await older.value
        try await eventually("the newer session has begun") { bench.transcript.count == 4 }
        #expect(bench.transcript[2].hasPrefix("sync @"))
        newer.cancel()
        _ = await newer.result
        #expect(bench.ledger.read { $0.tunnel } == .starting)
    }
}
