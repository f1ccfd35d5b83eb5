import CoreMetrics
import HTTPExchange
import Telemetry

/// Why the gateway did not send a request on, found before it went to a cluster; raw values are the failures' codes.
enum RefusalReason: String, CaseIterable, Hashable, Sendable {
    case badRequest = "bad_request"
    case headerTooLarge = "header_too_large"
    case bodyTooLarge = "body_too_large"
    case requestTimeout = "request_timeout"
    case targetTooLong = "target_too_long"
    case versionNotSupported = "version_not_supported"
    case protocolNotSupported = "protocol_not_supported"
    case noSuchHost = "no_such_host"
    case noSuchPath = "no_such_path"
    case clusterOffline = "cluster_offline"
    case overloaded
    case rateLimited = "rate_limited"
}

/// Requests that the gateway did not send on, by why; every series is there from the start.
struct RefusalMetrics: Sendable {
    private let counters: EnumeratedCounters<RefusalReason>

    init(factory: any MetricsFactory = MetricsSystem.factory) {
        counters = EnumeratedCounters("gateway_refused_requests_total", factory: factory)
    }

    /// Counts it, if it is one of these.
    func count(_ failure: ExchangeFailure) {
        if let reason = RefusalReason(rawValue: failure.code) { counters.count(reason) }
    }
}
