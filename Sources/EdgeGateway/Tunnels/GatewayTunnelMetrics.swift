package import Metrics
import ServiceLifecycle
import Synchronization
import Telemetry
import TunnelProtocol
import TunnelTransport

/// What this gateway's tunnels carry and why they end, as metrics: by cluster what adds up, by tunnel only what goes
/// with the tunnel.
package final class GatewayTunnelMetrics: Service {
    private struct Followed {
        var vitals: TunnelVitals
        var series: TunnelSeries
    }

    private static let interval = Duration.seconds(5)

    private let factory: any MetricsFactory
    private let violations: EnumeratedCounters<ProtocolViolation.Code>
    private let followed = Mutex<[String: Followed]>([:])

    package init(factory: any MetricsFactory = MetricsSystem.factory) {
        self.factory = factory
        violations = EnumeratedCounters("gateway_tunnel_violations_total", factory: factory)
    }

    /// Publishes until graceful shutdown.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await Task.sleep(for: Self.interval)) != nil { self.publish() }
        }
    }

    /// Brings the metrics up to what the tunnels have published.
    func publish() {
        followed.withLock { followed in
            for (id, one) in followed { followed[id]?.series.update(one.vitals.latest) }
        }
    }

    /// A tunnel is established; its cluster's series are there before anything is counted.
    func established(_ id: String, of cluster: String, _ vitals: TunnelVitals) {
        canaryFailures(of: cluster).increment(by: 0)
        let labels = [("cluster_uuid", cluster)]
        let series = TunnelSeries(
            prefix: "gateway_tunnel", counters: labels, gauges: labels + [("tunnel", id)], factory: factory)
        followed.withLock { $0[id] = Followed(vitals: vitals, series: series) }
    }

    /// A tunnel has ended, whoever closed it.
    func ended(_ id: String, of cluster: String, _ reason: TunnelCloseReason) {
        switch reason {
        case .violated(let violation): violations.count(violation.code)
        case .unresponsive: canaryFailures(of: cluster).increment()
        default: break
        }
        followed.withLock { followed in
            guard var last = followed.removeValue(forKey: id) else { return }
            last.series.end(last.vitals.latest)
        }
    }

    private func canaryFailures(of cluster: String) -> Counter {
        Counter(
            label: "gateway_tunnel_canary_failures_total", dimensions: [("cluster_uuid", cluster)], factory: factory)
    }
}
