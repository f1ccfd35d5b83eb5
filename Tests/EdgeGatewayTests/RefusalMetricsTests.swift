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
        let failures: [ExchangeFailure] = [
            .badRequest("it says nothing"), .headerTooLarge, .targetTooLong, .versionNotSupported,
            .protocolNotSupported,
            .noSuchHost,
            .noSuchPath, .clusterOffline, .overloaded, .rateLimited, .bodyTooLarge, .requestTimeout,
        ]
        #expect(failures.count == RefusalReason.allCases.count)
        func value(_ failure: ExchangeFailure) -> String? {
            let series = "gateway_refused_requests_total{reason=\"\(failure.code)\"} "
            return registry.exposition().split(separator: "\n").first { $0.hasPrefix(series) }
                .map { String($0.dropFirst(series.count)) }
        }
        for failure in failures { #expect(value(failure) == "0", "\(failure.code)") }
        for failure in failures + [.backendTimeout, .tunnelLost, .rateLimited] { metrics.count(failure) }
        for failure in failures { #expect(value(failure) == (failure == .rateLimited ? "2" : "1"), "\(failure.code)") }
        #expect(value(.backendTimeout) == nil)
    }
}
