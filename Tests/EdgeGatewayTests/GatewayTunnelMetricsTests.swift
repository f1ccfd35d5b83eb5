import NIOCore
import NIOEmbedded
import Telemetry
import Testing
import TunnelProtocol

@testable import EdgeGateway
@testable import TunnelTransport

@Suite("What tunnels tell in metrics")
struct GatewayTunnelMetricsTests {
    private let registry = PrometheusRegistry()

    private func lines(_ part: String) -> [String] {
        registry.exposition().split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") && $0.contains(part) }
    }

    @Test("every violation has its series from the start, and a hostile tunnel's is counted")
    func violations() {
        let metrics = GatewayTunnelMetrics(factory: registry)
        #expect(lines("gateway_tunnel_violations_total").count == ProtocolViolation.Code.allCases.count)
        #expect(lines("violations").allSatisfy { $0.hasSuffix(" 0") })
        metrics.ended("t", of: "c", .violated(ProtocolViolation(.flood, "x")))
        #expect(
            lines("violations").filter { !$0.hasSuffix(" 0") } == [
                #"gateway_tunnel_violations_total{reason="flood"} 1"#
            ])
    }

    @Test("a canary that fails is counted for its cluster, whose series is there before")
    func canaries() {
        let metrics = GatewayTunnelMetrics(factory: registry)
        metrics.established("t", of: "c", TunnelVitals(maxStreams: 10))
        #expect(lines("canary") == [#"gateway_tunnel_canary_failures_total{cluster_uuid="c"} 0"#])
        metrics.ended("t", of: "c", .unresponsive("hung"))
        metrics.ended("t", of: "c", .goingAway)
        #expect(lines("canary") == [#"gateway_tunnel_canary_failures_total{cluster_uuid="c"} 1"#])
    }

    @Test("what adds up is kept by cluster when a tunnel ends, what is the tunnel's own goes with it")
    func series() {
        let metrics = GatewayTunnelMetrics(factory: registry)
        let vitals = [TunnelVitals(maxStreams: 10), TunnelVitals(maxStreams: 10)]
        for (number, one) in vitals.enumerated() { metrics.established("t\(number)", of: "c", one) }
        var counts = TunnelCounts()
        counts.bytesIn = 1000
        counts.bytesOut = 10
        counts.streamsOpened = 3
        counts.streamsOpen = 2
        counts.stalls = 1
        counts.stalledTime = .milliseconds(1500)
        counts.roundTrip = .milliseconds(25)
        for one in vitals { one.publish(counts) }
        metrics.publish()
        metrics.publish()
        #expect(lines("received_bytes") == [#"gateway_tunnel_received_bytes_total{cluster_uuid="c"} 2000"#])
        #expect(lines("sent_bytes") == [#"gateway_tunnel_sent_bytes_total{cluster_uuid="c"} 20"#])
        #expect(lines("streams_total") == [#"gateway_tunnel_streams_total{cluster_uuid="c"} 6"#])
        #expect(lines("stalls_total") == [#"gateway_tunnel_stalls_total{cluster_uuid="c"} 2"#])
        #expect(lines("stalled_seconds") == [#"gateway_tunnel_stalled_seconds_total{cluster_uuid="c"} 3"#])
        #expect(lines("open_streams").count == 2)
        #expect(
            lines("round_trip") == [
                #"gateway_tunnel_round_trip_seconds{cluster_uuid="c",tunnel="t0"} 0.025"#,
                #"gateway_tunnel_round_trip_seconds{cluster_uuid="c",tunnel="t1"} 0.025"#,
            ])
        counts.bytesIn = 1500
        vitals[0].publish(counts)
        metrics.ended("t0", of: "c", .disconnected)
        metrics.ended("t0", of: "c", .disconnected)
        #expect(lines("received_bytes") == [#"gateway_tunnel_received_bytes_total{cluster_uuid="c"} 2500"#])
        #expect(lines(#"tunnel="t0""#) == [])
        #expect(lines(#"tunnel="t1""#).count == 2)
    }
}
