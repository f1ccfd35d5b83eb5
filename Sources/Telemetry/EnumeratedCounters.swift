package import CoreMetrics

/// One counter with a label whose values an enum lists: every series is there, at zero, from the start, so that the
/// first increase is seen as one.
package struct EnumeratedCounters<Value: CaseIterable & RawRepresentable & Hashable & Sendable>: Sendable
where Value.RawValue == String {
    private let counters: [Value: Counter]

    /// - Parameters:
    ///   - name: the metric's.
    ///   - label: the one whose values are those of the enum.
    ///   - values: those that can be counted; a value beside them is a mistake of the caller, and is ignored.
    ///   - others: labels that are the same for all.
    package init(
        _ name: String, by label: String = "reason", values: [Value] = Array(Value.allCases),
        others: [(String, String)] = [], factory: any MetricsFactory = MetricsSystem.factory
    ) {
        counters = Dictionary(
            uniqueKeysWithValues: values.map {
                ($0, Counter(label: name, dimensions: [(label, $0.rawValue)] + others, factory: factory))
            })
    }

    /// Counts one.
    package func count(_ value: Value) { counters[value]?.increment() }
}
