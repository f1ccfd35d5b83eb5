package import CoreMetrics
import Synchronization

/// Keeps the process's metrics and writes them in the text format that Prometheus reads.
///
/// A `Counter` becomes a counter, a `Gauge` or `Meter` a gauge, a `Timer` (in seconds) or aggregating `Recorder` a
/// histogram. Metrics made twice with equal labels share one series. `destroy()` removes the series from the output;
/// whoever still holds it counts into nothing.
package final class PrometheusRegistry: MetricsFactory {
    private struct State {
        var descriptions: [String: MetricDescription] = [:]
        var families: [String: MetricFamily] = [:]
        /// Uses of a name as another kind of metric than the one it already is.
        var conflicts: [String: UInt64] = [:]
    }

    private let seriesLimit: Int
    private let state: Mutex<State>

    /// - Parameters:
    ///   - descriptions: Help texts and buckets.
    ///   - seriesLimit: How many sets of labels a metric may have. Further ones are counted together, in a series whose
    ///     label values are `_other`, and `metrics_series_folded_total` says so.
    package init(describing descriptions: [MetricDescription] = [], seriesLimit: Int = 1000) {
        self.seriesLimit = max(1, seriesLimit)
        var state = State()
        for description in descriptions {
            state.descriptions[PrometheusText.metricName(description.name)] = description
        }
        self.state = Mutex(state)
    }

    /// Makes every metric of the process part of this registry. Call once, before the first metric is made.
    package func bootstrap() {
        MetricsSystem.bootstrap(self)
    }

    /// Sets a metric's help text and buckets. Series that exist already keep their buckets.
    package func describe(_ description: MetricDescription) {
        state.withLock { $0.descriptions[PrometheusText.metricName(description.name)] = description }
    }

    /// All metrics, ordered by name and labels.
    package func exposition() -> String {
        let (descriptions, families, conflicts) = state.withLock { ($0.descriptions, $0.families, $0.conflicts) }
        var text = ""
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            PrometheusText.append(name: name, help: descriptions[name]?.help, family: family, to: &text)
        }
        Self.append(
            "metrics_kind_conflicts_total",
            help: "Uses of a metric name as another kind of metric, which are not counted.", values: conflicts,
            to: &text)
        Self.append(
            "metrics_series_folded_total",
            help: "Sets of labels beyond a metric's limit, counted together under the label value _other.",
            values: families.mapValues(\.folded).filter { $0.value > 0 }, to: &text)
        return text
    }

    private static func append(_ name: String, help: String, values: [String: UInt64], to text: inout String) {
        guard !values.isEmpty else { return }
        PrometheusText.appendHeader(name: name, help: help, kind: .counter, to: &text)
        for (metric, value) in values.sorted(by: { $0.key < $1.key }) {
            text += "\(name)\(MetricLabels([("metric", metric)]).braced()) \(value)\n"
        }
    }

    /// The values that a label has in any series, but for the one that stands for too many.
    package func values(of label: String) -> Set<String> {
        let families = state.withLock { $0.families }
        var values = Set(families.values.flatMap { $0.series.keys.compactMap { $0.value(of: label) } })
        values.remove(MetricLabels.foldedValue)
        return values
    }

    /// Removes every series, of whichever metric, in which a label has this value. Whoever still holds one counts into
    /// nothing.
    package func remove(label: String, value: String) {
        state.withLock { state in
            for name in state.families.keys {
                state.families[name]?.removeAll { $0.value(of: label) == value }
            }
        }
    }

    // MARK: MetricsFactory

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        counter(label, dimensions)
    }

    package func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        counter(label, dimensions)
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        gauge(label, dimensions)
    }

    package func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        if aggregate { histogram(label, dimensions) } else { gauge(label, dimensions) }
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        histogram(label, dimensions)
    }

    package func destroyCounter(_ handler: any CounterHandler) {
        remove((handler as? CounterSeries)?.identity, handler)
    }

    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {
        remove((handler as? CounterSeries)?.identity, handler)
    }

    package func destroyMeter(_ handler: any MeterHandler) { remove((handler as? GaugeSeries)?.identity, handler) }

    package func destroyRecorder(_ handler: any RecorderHandler) {
        remove((handler as? GaugeSeries)?.identity ?? (handler as? HistogramSeries)?.identity, handler)
    }

    package func destroyTimer(_ handler: any TimerHandler) { remove((handler as? HistogramSeries)?.identity, handler) }

    // MARK: Series

    private func counter(_ label: String, _ dimensions: [(String, String)]) -> CounterSeries {
        let series = series(label, dimensions, kind: .counter) { identity, _ in .counter(CounterSeries(identity)) }
        if case .counter(let counter) = series { return counter }
        return CounterSeries(SeriesIdentity(metric: label, labels: .none))
    }

    private func gauge(_ label: String, _ dimensions: [(String, String)]) -> GaugeSeries {
        let series = series(label, dimensions, kind: .gauge) { identity, _ in .gauge(GaugeSeries(identity)) }
        if case .gauge(let gauge) = series { return gauge }
        return GaugeSeries(SeriesIdentity(metric: label, labels: .none))
    }

    private func histogram(_ label: String, _ dimensions: [(String, String)]) -> HistogramSeries {
        let series = series(label, dimensions, kind: .histogram) { identity, description in
            .histogram(HistogramSeries(identity, bounds: (description ?? MetricDescription(label, help: "")).bounds))
        }
        if case .histogram(let histogram) = series { return histogram }
        return HistogramSeries(SeriesIdentity(metric: label, labels: .none), bounds: [])
    }

    /// Nil when the name is already another kind of metric.
    private func series(
        _ label: String, _ dimensions: [(String, String)], kind: MetricFamily.Kind,
        make: (SeriesIdentity, MetricDescription?) -> MetricFamily.Series
    ) -> MetricFamily.Series? {
        let metric = PrometheusText.metricName(label)
        return state.withLock { state in
            let description = state.descriptions[metric]
            if let known = state.families[metric], known.kind != kind {
                state.conflicts[metric, default: 0] += 1
                return nil
            }
            return state.families[metric, default: MetricFamily(kind: kind)].series(dimensions, limit: seriesLimit) {
                make(SeriesIdentity(metric: metric, labels: $0), description)
            }
        }
    }

    private func remove(_ identity: SeriesIdentity?, _ handler: AnyObject) {
        guard let identity else { return }
        state.withLock { state in
            state.families[identity.metric]?.remove(identity.labels, identifier: ObjectIdentifier(handler))
        }
    }
}
