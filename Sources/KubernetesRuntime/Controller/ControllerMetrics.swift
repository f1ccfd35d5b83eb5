import Metrics

/// controller-runtime's metrics of one controller.
final class ControllerMetrics: Sendable {
    enum Result: String, CaseIterable {
        case success
        case error
        case requeueAfter = "requeue_after"
    }

    private let results: [Result: Counter]
    private let errors: Counter
    private let terminalErrors: Counter
    private let duration: Timer
    private let active: Meter

    init(name: String, workers: Int) {
        let dimensions = [("controller", name)]
        var results: [Result: Counter] = [:]
        for result in Result.allCases {
            results[result] = Counter(
                label: "controller_runtime_reconcile_total", dimensions: dimensions + [("result", result.rawValue)])
        }
        self.results = results
        errors = Counter(label: "controller_runtime_reconcile_errors_total", dimensions: dimensions)
        terminalErrors = Counter(label: "controller_runtime_terminal_reconcile_errors_total", dimensions: dimensions)
        duration = Timer(label: "controller_runtime_reconcile_time_seconds", dimensions: dimensions)
        active = Meter(label: "controller_runtime_active_workers", dimensions: dimensions)
        active.set(0)
        Meter(label: "controller_runtime_max_concurrent_reconciles", dimensions: dimensions).set(workers)
    }

    func started() { active.increment() }

    func ended(after elapsed: Duration) {
        active.decrement()
        duration.record(duration: elapsed)
    }

    func count(_ result: Result) {
        results[result]?.increment()
        if result == .error { errors.increment() }
    }

    func countTerminal() { terminalErrors.increment() }
}
