package import Metrics
import NIOCore

/// One tunnel's part in the metrics; both ends have the same, under prefixes of their own. For the control path: updated
/// every few seconds from what the tunnel has published.
package struct TunnelSeries: Sendable {
    private let bytesIn: Counter
    private let bytesOut: Counter
    private let streams: Counter
    private let stalls: Counter
    private let stalledTime: FloatingPointCounter
    private let openStreams: Gauge
    private let roundTrip: Gauge
    private var seen = TunnelCounts()

    /// - Parameters:
    ///   - prefix: `gateway_tunnel` or `agent_tunnel`.
    ///   - counters: labels of what adds up; they must be few in number over the life of the process.
    ///   - gauges: labels of what is true of this tunnel alone; these series go with `end`.
    package init(
        prefix: String, counters: [(String, String)], gauges: [(String, String)],
        factory: any MetricsFactory = MetricsSystem.factory
    ) {
        bytesIn = Counter(label: "\(prefix)_received_bytes_total", dimensions: counters, factory: factory)
        bytesOut = Counter(label: "\(prefix)_sent_bytes_total", dimensions: counters, factory: factory)
        streams = Counter(label: "\(prefix)_streams_total", dimensions: counters, factory: factory)
        stalls = Counter(label: "\(prefix)_stalls_total", dimensions: counters, factory: factory)
        stalledTime = FloatingPointCounter(
            label: "\(prefix)_stalled_seconds_total", dimensions: counters, factory: factory)
        openStreams = Gauge(label: "\(prefix)_open_streams", dimensions: gauges, factory: factory)
        roundTrip = Gauge(label: "\(prefix)_round_trip_seconds", dimensions: gauges, factory: factory)
    }

    package mutating func update(_ counts: TunnelCounts) {
        bytesIn.increment(by: counts.bytesIn - seen.bytesIn)
        bytesOut.increment(by: counts.bytesOut - seen.bytesOut)
        streams.increment(by: counts.streamsOpened - seen.streamsOpened)
        stalls.increment(by: counts.stalls - seen.stalls)
        stalledTime.increment(by: Double((counts.stalledTime - seen.stalledTime).nanoseconds) / 1e9)
        openStreams.record(counts.streamsOpen)
        if let time = counts.roundTrip { roundTrip.record(Double(time.nanoseconds) / 1e9) }
        seen = counts
    }

    /// The tunnel is gone: what remains is added up, and what was true of it alone is no more.
    package mutating func end(_ counts: TunnelCounts) {
        update(counts)
        openStreams.destroy()
        roundTrip.destroy()
    }
}
