import KubernetesAPI
import KubernetesRuntime
import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@Suite("Informer on a scripted server")
struct InformerTests {
    /// Everything an informer has told its handler.
    private final class Heard: Sendable {
        private let state = Mutex<[String]>([])

        var lines: [String] { state.withLock { $0 } }

        func note(_ change: ObjectChange<Ingress>) {
            let line =
                switch change {
                case .added(let new): "added \(new.metadata.name ?? "") \(new.metadata.resourceVersion ?? "")"
                case .updated(let old, let new):
                    "updated \(new.metadata.name ?? "") \(old.metadata.resourceVersion ?? "")→\(new.metadata.resourceVersion ?? "")"
                case .deleted(let last): "deleted \(last.metadata.name ?? "") \(last.metadata.resourceVersion ?? "")"
                }
            state.withLock { $0.append(line) }
        }
    }

    private static func settings(streaming: Bool = false) -> ReflectorStateMachine<Ingress>.Settings {
        .init(
            pageSize: 2, initialBackoff: .milliseconds(2), maximumBackoff: .milliseconds(20),
            shortestHealthyWatch: .seconds(1), usesStreamingList: streaming)
    }

    private func run(
        streaming: Bool = false, _ handler: @escaping ScriptedServer.Handler,
        _ body: (Informer<Ingress>, Heard, ScriptedServer) async throws -> Void
    ) async throws {
        try await withScriptedServer(handler) { server in
            try await withClient(port: server.port) { client in
                let informer = Informer(
                    client: client, Ingress.self, settings: Self.settings(streaming: streaming),
                    logger: Logger(label: "test"))
                let heard = Heard()
                informer.addHandler { heard.note($0) }
                try await withRunning(informer.run) { try await body(informer, heard, server) }
            }
        }
    }

    @Test("410 in the middle of a watch: lists again and tells the deletion that was missed")
    func expiredInTheMiddle() async throws {
        let lists = CallCount()
        try await run { request, exchange in
            if request.isWatch {
                try await exchange.begin()
                if request.query["resourceVersion"] == "5" {
                    try await exchange.chunk(Wire.event("MODIFIED", Wire.object("a", 6)))
                    try await exchange.chunk(Wire.event("ERROR", Wire.status(410, "Expired")))
                    try await exchange.end()
                } else {
                    try await exchange.hold()
                }
            } else if lists.next() == 1 {
                try await exchange.reply(200, Wire.list(5, [Wire.object("a", 3), Wire.object("b", 4)]))
            } else {
                try await exchange.reply(200, Wire.list(20, [Wire.object("a", 6), Wire.object("c", 15)]))
            }
        } _: { informer, heard, server in
            try await eventually("the second watch") { server.requests.filter(\.isWatch).count == 2 }
            #expect(heard.lines == ["added a 3", "added b 4", "updated a 3→6", "deleted b 4", "added c 15"])
            #expect(server.requests.filter(\.isWatch).map { $0.query["resourceVersion"] } == ["5", "20"])
            #expect(informer.store.get(key("b")) == nil)
        }
    }

    @Test("a stream cut in the middle of a line is resumed at the last version, nothing lost or doubled")
    func cutStream() async throws {
        try await run { request, exchange in
            guard request.isWatch else {
                try await exchange.reply(200, Wire.list(5, []))
                return
            }
            try await exchange.begin()
            switch request.query["resourceVersion"] {
            case "5":
                try await exchange.chunk(Wire.event("ADDED", Wire.object("a", 6)))
                try await exchange.chunk(String(Wire.event("ADDED", Wire.object("b", 7)).dropLast(10)))
                try await exchange.cut()
            case "6":
                try await exchange.chunk(Wire.event("ADDED", Wire.object("b", 7)))
                try await exchange.hold()
            default: try await exchange.cut()
            }
        } _: { _, heard, server in
            try await eventually("both") { heard.lines.count == 2 }
            #expect(heard.lines == ["added a 6", "added b 7"])
            #expect(server.requests.map { $0.query["resourceVersion"] } == [nil, "5", "6"])
        }
    }

    @Test("bookmarks alone move the version from which an idle watch is resumed")
    func bookmarksOnly() async throws {
        try await run { request, exchange in
            guard request.isWatch else {
                try await exchange.reply(200, Wire.list(5, [Wire.object("a", 1)]))
                return
            }
            let version = Int(request.query["resourceVersion"] ?? "") ?? 0
            try await exchange.begin()
            if version >= 8 { try await exchange.hold() }
            try await exchange.chunk(Wire.bookmark(version + 1))
            try await exchange.end()
        } _: { _, heard, server in
            try await eventually("four watches") { server.requests.count == 5 }
            #expect(server.requests.dropFirst().map { $0.query["resourceVersion"] } == ["5", "6", "7", "8"])
            #expect(server.requests.dropFirst().allSatisfy { $0.query["allowWatchBookmarks"] == "true" })
            #expect(heard.lines == ["added a 1"])
        }
    }

    @Test("an expired continue token makes it list again in one piece")
    func expiredContinue() async throws {
        try await run { request, exchange in
            if request.isWatch {
                try await exchange.begin()
                try await exchange.hold()
            } else if request.query["continue"] != nil {
                try await exchange.reply(410, Wire.status(410, "Expired"))
            } else if request.query["limit"] != nil {
                try await exchange.reply(200, Wire.list(5, [Wire.object("old", 1)], continue: "t"))
            } else {
                try await exchange.reply(200, Wire.list(9, ["a", "b", "c"].map { Wire.object($0, 8) }))
            }
        } _: { informer, heard, _ in
            try await informer.waitUntilSynced()
            #expect(heard.lines == ["added a 8", "added b 8", "added c 8"])
        }
    }

    @Test("429 is waited out as the server asks, without a busy loop")
    func throttled() async throws {
        let count = CallCount()
        let times = Mutex<[ContinuousClock.Instant]>([])
        try await run { request, exchange in
            times.withLock { $0.append(.now) }
            if request.isWatch {
                try await exchange.begin()
                try await exchange.hold()
            } else if count.next() == 1 {
                try await exchange.reply(429, Wire.status(429, "TooManyRequests"), headers: [("Retry-After", "1")])
            } else {
                try await exchange.reply(200, Wire.list(5, [Wire.object("a", 1)]))
            }
        } _: { informer, _, server in
            try await informer.waitUntilSynced()
            let seen = times.withLock { $0 }
            #expect(seen[1] - seen[0] >= .seconds(1))
            try await eventually("the watch") { server.requests.count == 3 }
        }
    }

    @Test("a server that is away and comes back: the cache serves what it knows, then catches up, with few requests")
    func awayAndBack() async throws {
        let firstLife: ScriptedServer.Handler = { request, exchange in
            if request.isWatch {
                try await exchange.begin()
                try await exchange.hold()
            } else {
                try await exchange.reply(200, Wire.list(5, [Wire.object("a", 1)]))
            }
        }
        let reserved = try ReservedPort()
        let port = reserved.number
        try await withClient(port: port) { client in
            let log = LogRecorder()
            let informer = Informer(
                client: client, Ingress.self, settings: Self.settings(), logger: log.logger("test"))
            let heard = Heard()
            informer.addHandler { heard.note($0) }
            try await withRunning(informer.run) {
                try await withScriptedServer(port: port, firstLife) { server in
                    try await informer.waitUntilSynced()
                    try await eventually("the watch") { server.requests.contains(where: \.isWatch) }
                }
                // The server is gone, its connections with it.
                try await eventually("it has looked for the server in vain") {
                    log.lines("Reflector waits").count >= 3
                }
                #expect(informer.store.get(key("a")) == ingress("a", 1))
                try await withScriptedServer(port: port) { request, exchange in
                    guard request.isWatch else { return try await exchange.reply(500, "") }
                    try await exchange.begin()
                    try await exchange.chunk(Wire.event("MODIFIED", Wire.object("a", 6)))
                    try await exchange.hold()
                } _: { server in
                    try await eventually("the change") { heard.lines.count == 2 }
                    #expect(heard.lines == ["added a 1", "updated a 1→6"])
                    #expect(server.requests.map { $0.query["resourceVersion"] } == ["5"])
                }
            }
        }
    }

    @Test(
        "waiting is told with its cause: as a warning until the first list is complete, in passing after it",
        arguments: [true, false])
    func waitingIsTold(streaming: Bool) async throws {
        let log = LogRecorder()
        let requests = CallCount()
        try await withScriptedServer { request, exchange in
            switch requests.next() {
            case 1: try await exchange.reply(503, Wire.status(503, "ServiceUnavailable"))
            case 2 where streaming:
                try await exchange.begin()
                try await exchange.chunk(Wire.bookmark(5, initialEventsEnd: true))
                try await exchange.chunk(Wire.event("ERROR", Wire.status(500, "InternalError")))
                try await exchange.end()
            case 2: try await exchange.reply(200, Wire.list(5, []))
            case 3 where !streaming: try await exchange.reply(500, Wire.status(500, "InternalError"))
            default:
                try await exchange.begin()
                try await exchange.hold()
            }
        } _: { server in
            try await withClient(port: server.port) { client in
                let informer = Informer(
                    client: client, Ingress.self, settings: Self.settings(streaming: streaming),
                    logger: log.logger("test"))
                try await withRunning(informer.run) {
                    try await eventually("both waits") { log.lines("Reflector waits").count == 2 }
                }
            }
        }
        let lines = log.lines("Reflector waits")
        #expect(lines.map(\.level) == [.warning, .info])
        #expect(lines[0].fields["error"]?.contains("503") == true, "\(lines[0])")
        #expect(lines[1].fields["error"]?.contains("InternalError") == true, "\(lines[1])")
        #expect(lines.map { $0.fields["resource"] } == ["ingresses", "ingresses"])
    }

    @Test("an object that cannot be decoded is skipped, keeps its last good state, and the watch goes on")
    func undecodable() async throws {
        try await run { request, exchange in
            guard request.isWatch else {
                try await exchange.reply(200, Wire.list(5, [Wire.object("a", 1), Wire.object("b", 2)]))
                return
            }
            try await exchange.begin()
            let bad = #"{"metadata":{"name":"a","namespace":"ns","resourceVersion":"6"},"spec":{"rules":7}}"#
            try await exchange.chunk(Wire.event("MODIFIED", bad))
            try await exchange.chunk(Wire.event("MODIFIED", Wire.object("b", 7)))
            try await exchange.hold()
        } _: { informer, heard, server in
            try await eventually("the next change") { heard.lines.count == 3 }
            #expect(heard.lines == ["added a 1", "added b 2", "updated b 2→7"])
            #expect(informer.store.get(key("a")) == ingress("a", 1))
            #expect(server.requests.count == 2)
        }
    }

    @Test("a streaming list is used where the server has it: no list request at all")
    func streaming() async throws {
        try await run(streaming: true) { request, exchange in
            try await exchange.begin()
            try await exchange.chunk(Wire.event("ADDED", Wire.object("a", 1)))
            try await exchange.chunk(Wire.bookmark(5, initialEventsEnd: true))
            try await exchange.chunk(Wire.event("ADDED", Wire.object("b", 6)))
            try await exchange.hold()
        } _: { _, heard, server in
            try await eventually("both") { heard.lines.count == 2 }
            #expect(heard.lines == ["added a 1", "added b 6"])
            #expect(server.requests.count == 1)
            #expect(server.requests[0].query["sendInitialEvents"] == "true")
            #expect(server.requests[0].query["resourceVersionMatch"] == "NotOlderThan")
        }
    }

    @Test("a watch that the server does not end in time is ended on this side, and resumed where it was")
    func forgottenWatch() async throws {
        try await withScriptedServer { request, exchange in
            guard request.isWatch else { return try await exchange.reply(200, Wire.list(5, [Wire.object("a", 1)])) }
            try await exchange.begin()
            if request.query["resourceVersion"] == "5" {
                try await exchange.chunk(Wire.event("MODIFIED", Wire.object("a", 6)))
                // The far side of a proxy has died: what happened since is told to nobody.
                try await exchange.hold()
            }
            try await exchange.chunk(Wire.event("MODIFIED", Wire.object("a", 7)))
            try await exchange.hold()
        } _: { server in
            try await withClient(port: server.port) { client in
                let clock = ManualClock()
                let informer = Informer(
                    client: client, Ingress.self, settings: Self.settings(), logger: .silent, clock: clock,
                    random: { 0 })
                let heard = Heard()
                informer.addHandler { heard.note($0) }
                try await withRunning(informer.run) {
                    try await eventually("the first change") { heard.lines.count == 2 && clock.sleepers == 1 }
                    #expect(server.requests.last?.query["timeoutSeconds"] == "300")
                    clock.advance(by: .seconds(329))
                    #expect(clock.sleepers == 1)
                    clock.advance(by: .seconds(1))
                    try await eventually("what was missed") { heard.lines.count == 3 }
                    #expect(heard.lines == ["added a 1", "updated a 1→6", "updated a 6→7"])
                    #expect(server.requests.map { $0.query["resourceVersion"] } == [nil, "5", "6"])
                }
            }
        }
    }

    @Test("a server that is slow to begin a streaming list, or to go on with it, is not taken for one without")
    func slowStreaming() async throws {
        let (steps, proceed) = AsyncStream<Void>.makeStream()
        try await withScriptedServer { request, exchange in
            var steps = steps.makeAsyncIterator()
            await steps.next()
            try await exchange.begin()
            await steps.next()
            try await exchange.chunk(Wire.event("ADDED", Wire.object("a", 1)))
            await steps.next()
            try await exchange.chunk(Wire.bookmark(5, initialEventsEnd: true))
            try await exchange.hold()
        } _: { server in
            try await withClient(port: server.port) { client in
                let clock = ManualClock()
                let informer = Informer(
                    client: client, Ingress.self, settings: Self.settings(streaming: true), logger: .silent,
                    clock: clock, random: { 0 })
                let heard = Heard()
                informer.addHandler { heard.note($0) }
                try await withRunning(informer.run) {
                    try await eventually("the request") { server.requests.count == 1 && clock.sleepers == 1 }
                    // However long the head takes, as far as the client allows.
                    for _ in 1...2 {
                        clock.advance(by: .seconds(10))
                        try await eventually("it goes on waiting") { clock.sleepers == 1 }
                    }
                    proceed.yield()
                    proceed.yield()
                    proceed.yield()
                    try await eventually("the list") { informer.hasSynced }
                    #expect(heard.lines == ["added a 1"])
                    #expect(server.requests.count == 1)
                }
                proceed.finish()
            }
        }
    }

    @Test(
        "a server that refuses the streaming list, or ignores the request for one, is listed instead",
        arguments: [true, false])
    func noStreaming(refuses: Bool) async throws {
        try await withScriptedServer { request, exchange in
            if request.query["sendInitialEvents"] == "true" {
                if refuses { return try await exchange.reply(422, Wire.status(422, "Invalid")) }
                try await exchange.begin()
                try await exchange.chunk(Wire.event("ADDED", Wire.object("a", 1)))
                try await exchange.hold()
            } else if request.isWatch {
                try await exchange.begin()
                try await exchange.hold()
            } else {
                try await exchange.reply(200, Wire.list(5, [Wire.object("a", 1)]))
            }
        } _: { server in
            try await withClient(port: server.port) { client in
                let reflector = Reflector(
                    client: client, settings: Self.settings(streaming: true), initialEventsTimeout: .milliseconds(100),
                    logger: Logger(label: "test"))
                let replaced = Mutex(false)
                let run = { @Sendable in
                    try await reflector.run { update in
                        if case .replace(let objects, _) = update { replaced.withLock { $0 = objects.count == 1 } }
                    }
                }
                try await withRunning(run) {
                    try await eventually("the list") { replaced.withLock { $0 } }
                }
            }
        }
    }

    @Test("an informer ends promptly on graceful shutdown, and those who wait for its sync on cancellation")
    func shutdown() async throws {
        try await run { _, exchange in
            try await exchange.hold()
        } _: { informer, _, _ in
            await #expect(throws: (any Error).self) {
                try await within(.milliseconds(50)) { try await informer.waitUntilSynced() }
            }
            #expect(!informer.hasSynced)
        }
        try await withScriptedServer { request, exchange in
            guard request.isWatch else { return try await exchange.reply(200, Wire.list(5, [])) }
            try await exchange.begin()
            try await exchange.hold()
        } _: { server in
            try await withClient(port: server.port) { client in
                let informer = Informer(
                    client: client, Ingress.self, settings: Self.settings(), logger: Logger(label: "test"))
                let group = ServiceGroup(services: [informer], logger: Logger(label: "test"))
                try await within(.seconds(5)) {
                    try await withThrowingTaskGroup(of: Void.self) { tasks in
                        tasks.addTask { try await group.run() }
                        try await informer.waitUntilSynced()
                        await group.triggerGracefulShutdown()
                        try await tasks.next()
                    }
                }
            }
        }
    }

    @Test("a watch event reaches the handler within a few milliseconds of being sent")
    func latency() async throws {
        let sent = Mutex<[ContinuousClock.Instant]>([])
        let heard = Mutex<[ContinuousClock.Instant]>([])
        let (ticks, tick) = AsyncStream<Void>.makeStream()
        try await withScriptedServer { request, exchange in
            guard request.isWatch else { return try await exchange.reply(200, Wire.list(5, [])) }
            try await exchange.begin()
            var version = 5
            for await _ in ticks {
                version += 1
                sent.withLock { $0.append(.now) }
                try await exchange.chunk(Wire.event("MODIFIED", Wire.object("a", version)))
            }
        } _: { server in
            try await withClient(port: server.port) { client in
                let informer = Informer(
                    client: client, Ingress.self, settings: Self.settings(), logger: Logger(label: "test"))
                informer.addHandler { _ in heard.withLock { $0.append(.now) } }
                try await withRunning(informer.run) {
                    try await informer.waitUntilSynced()
                    for round in 1...50 {
                        tick.yield()
                        try await eventually("event \(round)") { heard.withLock { $0.count } == round }
                    }
                }
                tick.finish()
            }
        }
        let delays = zip(sent.withLock { $0 }, heard.withLock { $0 }).map { $1 - $0 }.sorted()
        // A debounce or a poll anywhere would show in all but the quickest; the slow ones tell of a busy machine.
        let quick = delays[delays.count / 4]
        #expect(quick < .milliseconds(500), "a quarter took less than \(quick)")
    }
}
