import Metrics
import Synchronization

/// `rest_client_requests_total{code,method,host}` and `rest_client_request_duration_seconds{method,host}`.
///
/// The series of success are there from the start. Bounded: methods and status codes are few, and one client speaks to one host.
final class RequestMetrics: Sendable {
    private struct Series: Hashable {
        var method: String
        var code: String
    }

    private let host: String
    private let counters = Mutex<[Series: Counter]>([:])
    private let timers = Mutex<[String: Timer]>([:])

    init(host: String) {
        self.host = host
        for (method, code) in [("GET", "200"), ("POST", "201"), ("PATCH", "200"), ("DELETE", "200")] {
            _ = counter(Series(method: method, code: code))
        }
    }

    /// Counts one attempt; `status` is nil where there was no answer.
    func record(method: String, status: Int?, duration: Duration) {
        let series = Series(method: method, code: status.map { String($0) } ?? "<error>")
        counter(series).increment()
        let timer = timers.withLock { timers in
            if let timer = timers[method] { return timer }
            let timer = Timer(
                label: "rest_client_request_duration_seconds", dimensions: [("method", method), ("host", host)])
            timers[method] = timer
            return timer
        }
        timer.record(duration: duration)
    }

    private func counter(_ series: Series) -> Counter {
        counters.withLock { counters in
            if let counter = counters[series] { return counter }
            let counter = Counter(
                label: "rest_client_requests_total",
                dimensions: [("code", series.code), ("method", series.method), ("host", host)])
            counters[series] = counter
            return counter
        }
    }
}
