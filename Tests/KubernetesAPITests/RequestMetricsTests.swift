import KubernetesAPI
import Metrics
import MetricsTestKit
import TestSupport
import Testing

@Suite("Request metrics")
struct RequestMetricsTests {
    @Test("requests are counted by method and code, those without an answer too")
    func counts() async throws {
        let factory = TestMetrics()
        let calls = CallCount()
        let port = try await withMetricsFactory(factory) {
            try await withScriptedServer { _, exchange in
                try await exchange.reply(calls.next() == 1 ? 503 : 200, #"{"metadata":{}}"#)
            } _: { server in
                let port = server.port
                let options = KubernetesClient.Options(
                    retry: RetryPolicy(attempts: 2, initialDelay: .milliseconds(1)))
                try await withClient(port: port, options: options) { client in
                    let present = factory.counters.filter { $0.label == "rest_client_requests_total" }
                    #expect(Set(present.flatMap(\.dimensions).filter { $0.0 == "method" }.map(\.1)).count == 4)
                    #expect(present.allSatisfy { $0.totalValue == 0 })
                    _ = try await client.get(Namespace.self, ObjectKey(name: "a"))
                    await server.stop()
                    await #expect(throws: KubernetesError.self) {
                        try await client.get(Namespace.self, ObjectKey(name: "a"))
                    }
                }
                return port
            }
        }
        func count(_ code: String) -> Int64 {
            factory.counterTotal(
                label: "rest_client_requests_total",
                dimensions: [("code", code), ("method", "GET"), ("host", "127.0.0.1:\(port)")])
        }
        #expect(count("503") == 1)
        #expect(count("200") == 1)
        #expect(count("<error>") == 2)
        #expect(factory.timers(label: "rest_client_request_duration_seconds").first?.values.count == 4)
    }
}
