import CoreMetrics
import HTTPExchange
import Telemetry

/// Requests that the gateway did not send on, by why; every series is there from the start.
struct RefusalMetrics: Sendable {
    /// The failures that are found before a request goes to a cluster.
    static let refusals: [ExchangeFailure] = [
        .badRequest(""), .headerTooLarge, .targetTooLong, .versionNotSupported, .noSuchHost, .noSuchPath,
        .clusterOffline, .overloaded, .rateLimited,
    ]

    private let counters: ReasonCounters

    init(factory: any MetricsFactory = MetricsSystem.factory) {
        counters = ReasonCounters(
            "gateway_refused_requests_total", reasons: Self.refusals.map(\.code), factory: factory)
    }

    /// Counts it, if it is one of these.
    func count(_ failure: ExchangeFailure) { counters.count(failure.code) }
}
