import KubernetesAPI
import KubernetesRuntime
import Synchronization
import TestSupport
import Testing

@Suite("A long outage of the API server")
struct OutageTests {
    @Test("a server away for a minute is asked a dozen times at most; nothing is lost, nothing told twice")
    func awayForAMinute() async throws {
        let port = try ReservedPort()
        let clock = ManualClock()
        let log = LogRecorder()
        let changes = Mutex<[String]>([])
        try await withClient(port: port.number) { client in
            let informer = Informer(
                client: client, Ingress.self, settings: .init(usesStreamingList: false), logger: log.logger("test"),
                clock: clock, random: { 0 })
            informer.addHandler { change in
                let text =
                    switch change {
                    case .added(let new): "added \(new.metadata.name ?? "")"
                    case .updated(_, let new): "updated \(new.metadata.name ?? "")"
                    case .deleted(let old): "deleted \(old.metadata.name ?? "")"
                    }
                changes.withLock { $0.append(text) }
            }
            try await withRunning(informer.run) {
                try await withScriptedServer(port: port.number) { request, exchange in
                    guard request.isWatch else {
                        return try await exchange.reply(200, Wire.list(5, [Wire.object("a", 1), Wire.object("b", 2)]))
                    }
                    try await exchange.begin()
                    try await exchange.hold()
                } _: { server in
                    try await informer.waitUntilSynced()
                    try await eventually("the watch") { server.requests.contains(where: \.isWatch) }
                }
                // A watch has a limit, too, so what sleeps is a wait only once that was told.
                var waits = 1
                while true {
                    try await eventually("it waits") {
                        log.lines("Reflector waits").count == waits && clock.sleepers == 1
                    }
                    guard clock.now.offset < .seconds(60) else { break }
                    waits += 1
                    clock.advance(by: (clock.deadlines.first ?? .zero) - clock.now.offset)
                }
                #expect((4...12).contains(waits))
                #expect(informer.store.count == 2)
                // What it missed meanwhile is no longer in the server's history.
                try await withScriptedServer(port: port.number) { request, exchange in
                    guard request.isWatch else {
                        return try await exchange.reply(
                            200, Wire.list(90, [Wire.object("a", 1), Wire.object("c", 80)]))
                    }
                    if request.query["resourceVersion"] == "5" {
                        return try await exchange.reply(410, Wire.status(410, "Expired"))
                    }
                    try await exchange.begin()
                    try await exchange.hold()
                } _: { server in
                    clock.advance(by: .seconds(30))
                    try await eventually("the new watch") { server.requests.filter(\.isWatch).count == 2 }
                    #expect(server.requests.count == 3)
                    #expect(log.lines("Reflector waits").count == waits, "no wait on top of the outage's")
                }
                #expect(changes.withLock { $0 } == ["added a", "added b", "deleted b", "added c"])
            }
        }
    }
}
