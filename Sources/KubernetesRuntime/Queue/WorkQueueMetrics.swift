import KubernetesAPI
import Metrics

/// client-go's work queue metrics.
final class WorkQueueMetrics: Sendable {
    private let depthMeter: Meter
    private let adds: Counter
    private let retries: Counter
    private let queueDuration: Timer
    private let workDuration: Timer
    private let unfinishedWork: Meter
    private let longestRunning: Meter

    init(name: String) {
        let dimensions = [("name", name)]
        depthMeter = Meter(label: "workqueue_depth", dimensions: dimensions)
        adds = Counter(label: "workqueue_adds_total", dimensions: dimensions)
        retries = Counter(label: "workqueue_retries_total", dimensions: dimensions)
        queueDuration = Timer(label: "workqueue_queue_duration_seconds", dimensions: dimensions)
        workDuration = Timer(label: "workqueue_work_duration_seconds", dimensions: dimensions)
        unfinishedWork = Meter(label: "workqueue_unfinished_work_seconds", dimensions: dimensions)
        longestRunning = Meter(label: "workqueue_longest_running_processor_seconds", dimensions: dimensions)
        // Every series is there from the start.
        depthMeter.set(0)
        unfinishedWork.set(0)
        longestRunning.set(0)
    }

    func depth(_ depth: Int) { depthMeter.set(depth) }
    func added() { adds.increment() }
    func retried() { retries.increment() }
    func handedOut(waited: Duration) { queueDuration.record(duration: waited) }
    func worked(_ duration: Duration) { workDuration.record(duration: duration) }

    func unfinished(total: Duration, longest: Duration) {
        unfinishedWork.set(total / .seconds(1))
        longestRunning.set(longest / .seconds(1))
    }
}
