import KubernetesAPI
import KubernetesRuntime
import Metrics
import MetricsTestKit
import TestSupport
import Testing

@Suite("Reflector metrics")
struct ReflectorMetricsTests {
    /// Runs an informer against a server until `isDone`, and returns what was measured.
    private func measured(
        streaming: Bool, _ handler: @escaping ScriptedServer.Handler,
        until isDone: @escaping (ScriptedServer) -> Bool
    ) async throws -> TestMetrics {
        let factory = TestMetrics()
        try await withScriptedServer(handler) { server in
            try await withClient(port: server.port) { client in
                let informer = withMetricsFactory(factory) {
                    Informer(
                        client: client, Ingress.self,
                        settings: .init(
                            pageSize: 2, initialBackoff: .milliseconds(2), maximumBackoff: .milliseconds(20),
                            usesStreamingList: streaming),
                        logger: .silent)
                }
                for label in ["reflector_lists_total", "reflector_watches_total", "reflector_short_watches_total"] {
                    #expect(Self.count(factory, label) == 0, "every series is there from the start")
                }
                try await withRunning(informer.run) {
                    try await eventually("the end of the script") { isDone(server) }
                }
            }
        }
        return factory
    }

    private static let dimensions = [("name", "ingresses")]

    private static func count(_ factory: TestMetrics, _ label: String) -> Int64? {
        factory.counters(label: label, dimensions: dimensions).first?.totalValue
    }

    @Test("a list is one however many its pages; restarts of watches, short ones and skipped objects are counted")
    func paged() async throws {
        let watches = CallCount()
        let factory = try await measured(streaming: false) { request, exchange in
            guard request.isWatch else {
                return try await exchange.reply(
                    200,
                    request.query["continue"] == nil
                        ? Wire.list(5, [Wire.object("a", 1), Wire.object("b", 2)], continue: "t")
                        : Wire.list(5, [Wire.object("c", 3)]))
            }
            try await exchange.begin()
            switch watches.next() {
            case 1:
                let bad = #"{"metadata":{"name":"a","namespace":"ns","resourceVersion":"6"},"spec":{"rules":7}}"#
                try await exchange.chunk(Wire.event("MODIFIED", bad))
                try await exchange.end()
            case 2: try await exchange.end()
            default: try await exchange.hold()
            }
        } until: {
            $0.requests.filter(\.isWatch).count == 3
        }
        #expect(Self.count(factory, "reflector_lists_total") == 1)
        #expect(factory.recorders(label: "reflector_items_per_list", dimensions: Self.dimensions).first?.values == [3])
        #expect(
            factory.timers(label: "reflector_list_duration_seconds", dimensions: Self.dimensions).first?.values.count
                == 1)
        #expect(Self.count(factory, "reflector_watches_total") == 3)
        #expect(Self.count(factory, "reflector_short_watches_total") == 1)
        #expect(
            factory.timers(label: "reflector_watch_duration_seconds", dimensions: Self.dimensions).first?.values.count
                == 3)
        #expect(Self.count(factory, "reflector_undecodable_objects_total") == 1)
    }

    @Test("a streaming list is a list, and a watch")
    func streamed() async throws {
        let watches = CallCount()
        let factory = try await measured(streaming: true) { _, exchange in
            try await exchange.begin()
            if watches.next() > 1 { try await exchange.hold() }
            try await exchange.chunk(Wire.event("ADDED", Wire.object("a", 1)))
            try await exchange.chunk(Wire.bookmark(5, initialEventsEnd: true))
            try await exchange.end()
        } until: {
            $0.requests.count == 2
        }
        #expect(Self.count(factory, "reflector_lists_total") == 1)
        #expect(factory.recorders(label: "reflector_items_per_list", dimensions: Self.dimensions).first?.values == [1])
        #expect(Self.count(factory, "reflector_watches_total") == 2)
        #expect(Self.count(factory, "reflector_short_watches_total") == 0)
    }
}
