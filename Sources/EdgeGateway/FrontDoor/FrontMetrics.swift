package import CoreMetrics
import NIOCore
import Telemetry

/// What is counted where it happens at the front door; every series is there from the start. What can be counted by
/// looking at requests that are over is counted with the access log.
package struct FrontMetrics: Sendable {
    let refusals: RefusalMetrics
    let http2Violations: EnumeratedCounters<HTTP2Violation>
    let retries: EnumeratedCounters<RetryReason>
    let connections: FrontConnectionMetrics

    /// - Parameter factory: makes the series.
    package init(factory: any MetricsFactory = MetricsSystem.factory) {
        refusals = RefusalMetrics(factory: factory)
        http2Violations = HTTP2Violation.counters(factory: factory)
        retries = EnumeratedCounters("gateway_retried_requests_total", factory: factory)
        connections = FrontConnectionMetrics(factory: factory)
    }
}

/// Why a request went to a second tunnel, which a client does not see.
enum RetryReason: String, CaseIterable, Hashable, Sendable {
    /// The first one's agent had not begun with it.
    case notProcessed = "not_processed"
    /// The first one was lost; the request may be processed twice without harm.
    case tunnelLost = "tunnel_lost"
    /// The first one had no room for it.
    case tunnelFull = "tunnel_full"
}

/// Users' connections, from when it is known what they speak.
struct FrontConnectionMetrics: Sendable {
    private struct Series: Sendable {
        let total: Counter
        let open: Meter
    }

    private let series: [FrontProtocol: [String: Series]]

    /// - Parameter factory: makes the series.
    init(factory: any MetricsFactory = MetricsSystem.factory) {
        series = Dictionary(
            uniqueKeysWithValues: FrontProtocol.allCases.map { spoken in
                let schemes = ["http", "https"].map { scheme in
                    let labels = [("protocol", spoken.name), ("scheme", scheme)]
                    let open = Meter(label: "gateway_open_connections", dimensions: labels, factory: factory)
                    open.set(0)
                    let total = Counter(label: "gateway_connections_total", dimensions: labels, factory: factory)
                    return (scheme, Series(total: total, open: open))
                }
                return (spoken, Dictionary(uniqueKeysWithValues: schemes))
            })
    }

    /// A connection is served from now on, until it is closed.
    func follow(_ channel: any Channel, _ spoken: FrontProtocol, scheme: String) {
        guard let series = series[spoken]?[scheme] else { return }
        series.total.increment()
        series.open.increment()
        channel.closeFuture.whenComplete { _ in series.open.decrement() }
    }
}
