import Metrics
import Synchronization

/// `rest_client_requests_total{code,method,host}` and `rest_client_request_duration_seconds{method,host}`.
///
/// Bounded: methods and status codes are few, and one client speaks to one host.
final class RequestMetrics: Sendable {
    private struct Series: Hashable {
        var method: String
        var code: String
    }

    private let host: String
    private let counters = Mutex<[Series: Counter]>([:])
    private let timers = Mutex<[String: Timer]>([:])

    init(host: String) { self.host = host }

    /// Counts one attempt; `status` is nil where there was no answer.
    func record(method: String, status: Int?, duration: Duration) {
        let series = Series(method: method, code: status.map { String($0) } ?? "<error>")
        let counter = counters.withLock { counters in
            if let counter = counters[series] { return counter }
            let counter = Counter(
                label: "rest_client_requests_total",
                dimensions: [("code", series.code), ("method", method), ("host", host)])
            counters[series] = counter
            return counter
        }
        counter.increment()
        let timer = timers.withLock { timers in
            if let timer = timers[method] { return timer }
            let timer = Timer(
                label: "rest_client_request_duration_seconds", dimensions: [("method", method), ("host", host)])
            timers[method] = timer
            return timer
        }
        timer.record(duration: duration)
    }
}
