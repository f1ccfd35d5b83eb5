import EdgeGateway
import NIOCore
import Synchronization
import Telemetry
import TestSupport
import Testing

@testable import EdgeGateway

@Suite("What is counted of a cluster")
struct ClusterSeriesTests {
    private func record(_ cluster: String?, failure: String? = nil) -> AccessRecord {
        var record = AccessRecord(
            cluster: cluster, host: "x", path: "/", method: "GET", status: 200, duration: .milliseconds(3), client: "c")
        record.bytesIn = 10
        record.bytesOut = 20
        record.failure = failure
        return record
    }

    @Test("goes with a cluster that has been gone for long, and not before")
    func gone() {
        var clusters = GoneClusters(retention: .seconds(60))
        #expect(clusters.look(counted: ["a", "b"], present: ["a", "c"], now: .seconds(0)) == [])
        #expect(clusters.look(counted: ["a", "b"], present: ["a"], now: .seconds(59)) == [])
        #expect(clusters.look(counted: ["a", "b"], present: [], now: .seconds(60)) == ["b"])
        // Back in time, and gone again.
        #expect(clusters.look(counted: ["a"], present: ["a"], now: .seconds(100)) == [])
        #expect(clusters.look(counted: ["a"], present: [], now: .seconds(121)) == [])
        #expect(clusters.look(counted: ["a"], present: [], now: .seconds(180)) == [])
        #expect(clusters.look(counted: ["a"], present: [], now: .seconds(181)) == ["a"])
        #expect(clusters.look(counted: [], present: [], now: .seconds(1000)) == [])
    }

    @Test("is requests, bytes and durations, and begins anew when the cluster comes back")
    func removed() async throws {
        let metrics = PrometheusRegistry()
        let log = AccessLog(lines: nil, factory: metrics)
        for cluster in ["a", "b", nil] { log.record(record(cluster)) }
        log.writeAll()
        let before = metrics.exposition()
        for line in [
            "gateway_requests_total{cluster_uuid=\"a\",status_code=\"200\"} 1",
            "gateway_request_duration_seconds_count{cluster_uuid=\"a\"} 1",
            "gateway_request_bytes_total{cluster_uuid=\"a\"} 10", "gateway_response_bytes_total{cluster_uuid=\"a\"} 20",
        ] {
            #expect(before.contains(line + "\n"))
        }
        let removal = ClusterSeriesRemoval(metrics, retention: .zero, interval: .milliseconds(5)) {
            ["b"]
        } forget: {
            log.forget(cluster: $0)
        }
        try await withRunning(removal.run) {
            try await eventually("a is forgotten") { !metrics.exposition().contains("cluster_uuid=\"a\"") }
        }
        #expect(metrics.values(of: "cluster_uuid") == ["b", ""])
        for cluster in ["a", "b"] { log.record(record(cluster)) }
        log.writeAll()
        #expect(metrics.exposition().contains("gateway_requests_total{cluster_uuid=\"a\",status_code=\"200\"} 1\n"))
        #expect(metrics.exposition().contains("gateway_requests_total{cluster_uuid=\"b\",status_code=\"200\"} 2\n"))
    }

    @Test("what was found when its route was looked for is counted, and all that may be is there from the start")
    func lookups() {
        let metrics = PrometheusRegistry()
        let log = AccessLog(lines: nil, factory: metrics)
        func count(_ result: String) -> Bool {
            metrics.exposition().contains("gateway_route_lookups_total{result=\"\(result)\"} 1\n")
        }
        for result in ["hit", "no_such_host", "no_such_path"] {
            #expect(metrics.exposition().contains("gateway_route_lookups_total{result=\"\(result)\"} 0\n"))
        }
        log.record(record("a", failure: "backend_timeout"))
        for failure in ["no_such_host", "no_such_path", "bad_request", "hit"] {
            log.record(record(nil, failure: failure))
        }
        log.writeAll()
        #expect(count("hit") && count("no_such_host") && count("no_such_path"))
    }
}
