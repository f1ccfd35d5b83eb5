import CoreMetrics
import Synchronization

/// Which series of a registry this is.
struct SeriesIdentity: Hashable, Sendable {
    var metric: String
    var labels: MetricLabels
}

/// A counter with one set of labels. Goes up only, and back to zero on `reset()`.
final class CounterSeries: CounterHandler, FloatingPointCounterHandler {
    let identity: SeriesIdentity
    // Whole numbers are counted apart, because a Double stops counting ones at 2^53.
    private let whole = Atomic<Int64>(0)
    private let fraction = AtomicDouble(0)

    init(_ identity: SeriesIdentity) {
        self.identity = identity
    }

    func increment(by amount: Int64) {
        guard amount > 0 else { return }
        whole.wrappingAdd(amount, ordering: .relaxed)
    }

    func increment(by amount: Double) {
        guard amount > 0, amount.isFinite else { return }
        fraction.add(amount)
    }

    func reset() {
        whole.store(0, ordering: .relaxed)
        fraction.set(0)
    }

    var text: String {
        let fraction = fraction.value
        let whole = whole.load(ordering: .relaxed)
        return fraction == 0 ? whole.description : PrometheusText.number(Double(whole) + fraction)
    }
}

/// A value that goes up and down, with one set of labels.
final class GaugeSeries: RecorderHandler, MeterHandler {
    let identity: SeriesIdentity
    private let current = AtomicDouble(0)

    init(_ identity: SeriesIdentity) {
        self.identity = identity
    }

    func record(_ value: Int64) { current.set(Double(value)) }
    func record(_ value: Double) { current.set(value) }
    func set(_ value: Int64) { current.set(Double(value)) }
    func set(_ value: Double) { current.set(value) }
    func increment(by amount: Double) { current.add(amount) }
    func decrement(by amount: Double) { current.add(-amount) }

    var value: Double { current.value }
}

/// A distribution over fixed buckets, with one set of labels.
final class HistogramSeries: RecorderHandler, TimerHandler {
    struct Distribution: Sendable {
        /// One per bound and one for everything above; not cumulative.
        var counts: [UInt64]
        var sum = 0.0
    }

    let identity: SeriesIdentity
    /// Upper bounds, included in their bucket, ascending.
    let bounds: [Double]
    private let state: Mutex<Distribution>

    init(_ identity: SeriesIdentity, bounds: [Double]) {
        self.identity = identity
        self.bounds = bounds
        self.state = Mutex(Distribution(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    func record(_ value: Int64) { record(Double(value)) }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    func record(_ value: Double) {
        guard !value.isNaN else { return }
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock {
            $0.counts[bucket] &+= 1
            $0.sum += value
        }
    }

    var distribution: Distribution { state.withLock { $0 } }
}

/// A Double that several threads may change.
private struct AtomicDouble: ~Copyable {
    private let bits: Atomic<UInt64>

    init(_ value: Double) {
        bits = Atomic(value.bitPattern)
    }

    var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }

    func add(_ amount: Double) {
        var expected = bits.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: expected) + amount).bitPattern
            let (exchanged, original) = bits.weakCompareExchange(
                expected: expected, desired: new, ordering: .relaxed)
            if exchanged { return }
            expected = original
        }
    }
}
