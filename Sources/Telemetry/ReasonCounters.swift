package import CoreMetrics

/// One counter with a label `reason`, whose values are known: every series is there, at zero, from the start, so that
/// the first increase is seen as one.
package struct ReasonCounters: Sendable {
    private let counters: [String: Counter]

    package init(
        _ label: String, reasons: some Sequence<String>, factory: any MetricsFactory = MetricsSystem.factory
    ) {
        counters = Dictionary(
            reasons.map { ($0, Counter(label: label, dimensions: [("reason", $0)], factory: factory)) },
            uniquingKeysWith: { first, _ in first })
        for counter in counters.values { counter.increment(by: 0) }
    }

    /// Counts one; a reason that was not named at the start is a mistake of the caller, and is ignored.
    package func count(_ reason: String) { counters[reason]?.increment() }
}
