import ServiceLifecycle
package import Telemetry

/// Which clusters have been gone for so long that what is counted of them goes, too.
struct GoneClusters {
    private let retention: Duration
    /// Since when a cluster has not been seen.
    private var goneSince: [String: Duration] = [:]

    init(retention: Duration) { self.retention = retention }

    /// Looks at what there is.
    ///
    /// - Parameters:
    ///   - counted: clusters that have series.
    ///   - present: those that have a tunnel or routes.
    /// - Returns: those to be forgotten.
    mutating func look(counted: Set<String>, present: Set<String>, now: Duration) -> Set<String> {
        let gone = counted.subtracting(present)
        goneSince = goneSince.filter { gone.contains($0.key) }
        for cluster in gone where goneSince[cluster] == nil { goneSince[cluster] = now }
        let forgotten = Set(goneSince.filter { now - $0.value >= retention }.keys)
        for cluster in forgotten { goneSince[cluster] = nil }
        return forgotten
    }
}

/// Removes the metrics of clusters that are gone: a fleet in which clusters come and go has as many series as it has
/// clusters, and not as it ever had.
///
/// A cluster is what a credential names; a tenant cannot invent others.
package struct ClusterSeriesRemoval: Service {
    /// The label that all metrics of a cluster have. Where its value is empty a request was nobody's.
    private static let label = "cluster_uuid"

    private let metrics: PrometheusRegistry
    private let retention: Duration
    private let interval: Duration
    private let present: @Sendable () async -> Set<String>
    private let forget: @Sendable (String) -> Void

    /// - Parameters:
    ///   - retention: how long the series of a cluster stay that has neither a tunnel nor routes.
    ///   - interval: between two looks.
    ///   - present: the clusters that have one or the other.
    ///   - forget: told of a cluster whose series are removed.
    package init(
        _ metrics: PrometheusRegistry, retention: Duration = .seconds(3600), interval: Duration = .seconds(30),
        present: @escaping @Sendable () async -> Set<String>, forget: @escaping @Sendable (String) -> Void
    ) {
        self.metrics = metrics
        self.retention = retention
        self.interval = interval
        self.present = present
        self.forget = forget
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            let start = ContinuousClock.now
            var clusters = GoneClusters(retention: retention)
            while (try? await Task.sleep(for: interval)) != nil {
                var counted = metrics.values(of: Self.label)
                counted.remove("")
                let present = await present()
                for cluster in clusters.look(counted: counted, present: present, now: ContinuousClock.now - start) {
                    metrics.remove(label: Self.label, value: cluster)
                    forget(cluster)
                }
            }
        }
    }
}
