/// What a metric means and how it is counted; given to the registry once, before the metric is first used.
package struct MetricDescription: Hashable, Sendable {
    /// Buckets for durations in seconds, from a fast local answer to the longest wait for a response head.
    package static let defaultBuckets: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
    ]

    package var name: String
    package var help: String
    /// Upper bounds of a histogram's buckets (for a `Timer` in seconds), in any order.
    package var buckets: [Double]

    package init(_ name: String, help: String, buckets: [Double] = MetricDescription.defaultBuckets) {
        self.name = name
        self.help = help
        self.buckets = buckets
    }

    /// Finite bounds, ascending, each once. The bucket without a bound is always there.
    var bounds: [Double] { Set(buckets.filter(\.isFinite)).sorted() }
}

/// All series of one metric name.
struct MetricFamily: Sendable {
    enum Series: Sendable {
        case counter(CounterSeries)
        case gauge(GaugeSeries)
        case histogram(HistogramSeries)

        var identifier: ObjectIdentifier {
            switch self {
            case .counter(let series): ObjectIdentifier(series)
            case .gauge(let series): ObjectIdentifier(series)
            case .histogram(let series): ObjectIdentifier(series)
            }
        }
    }

    /// Spelled as in a `# TYPE` line.
    enum Kind: String, Sendable {
        case counter
        case gauge
        case histogram
    }

    let kind: Kind
    private(set) var series: [MetricLabels: Series] = [:]
    /// How many times a new set of labels found no room and was counted under `_other`.
    private(set) var folded: UInt64 = 0
    private var foldedLabels: Set<MetricLabels> = []

    init(kind: Kind) {
        self.kind = kind
    }

    /// The series with these labels, made if there is none. When `limit` series exist, a new set of labels shares one
    /// further series, whose label values are all `_other`, so that a caller's mistake costs precision, not memory.
    mutating func series(
        _ dimensions: [(String, String)], limit: Int, make: (MetricLabels) -> Series
    ) -> Series {
        let labels = MetricLabels(dimensions)
        if let known = series[labels] { return known }
        let isFull = series.count - foldedLabels.count >= limit
        let chosen = isFull ? MetricLabels.folded(dimensions) : labels
        if isFull { folded += 1 }
        if let known = series[chosen] { return known }
        // Different label names give different folded series; they too are bounded.
        if isFull, foldedLabels.count >= 16 { return make(chosen) }
        if isFull { foldedLabels.insert(chosen) }
        let new = make(chosen)
        series[chosen] = new
        return new
    }

    /// Forgets series, those that stand for too many excepted.
    mutating func removeAll(where matches: (MetricLabels) -> Bool) {
        series = series.filter { labels, _ in foldedLabels.contains(labels) || !matches(labels) }
    }

    /// Forgets a series, unless another has taken its place or others still share it.
    mutating func remove(_ labels: MetricLabels, identifier: ObjectIdentifier) {
        guard let known = series[labels], known.identifier == identifier, !foldedLabels.contains(labels) else { return }
        series[labels] = nil
    }
}
