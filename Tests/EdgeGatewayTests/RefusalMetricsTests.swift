import HTTPExchange
import Telemetry
import Testing

@testable import EdgeGateway

@Suite("Refused requests, counted")
struct RefusalMetricsTests {
    @Test("every reason is there from the start, and what is no refusal is not counted")
    func series() {
        let registry = PrometheusRegistry()
        let metrics = RefusalMetrics(factory: registry)
        #expect(RefusalMetrics.refusals.contains(.rateLimited))
        for failure in RefusalMetrics.refusals {
            #expect(registry.exposition().contains("gateway_refused_requests_total{reason=\"\(failure.code)\"} 0"))
        }
        metrics.count(.rateLimited)
        metrics.count(.rateLimited)
        metrics.count(.badRequest("it says nothing"))
        metrics.count(.backendTimeout)
        let text = registry.exposition()
        #expect(text.contains("gateway_refused_requests_total{reason=\"rate_limited\"} 2"))
        #expect(text.contains("gateway_refused_requests_total{reason=\"bad_request\"} 1"))
        #expect(!text.contains("backend_timeout"))
    }
}
