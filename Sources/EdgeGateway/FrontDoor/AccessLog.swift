package import Metrics
package import NIOCore
import ServiceLifecycle
import Synchronization
package import Telemetry

/// What is known about one request once it is over.
package struct AccessRecord: Sendable {
    package var cluster: String?
    package var host: String
    /// Without its query, which may hold secrets.
    package var path: String
    package var method: String
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    package var protocolVersion = "HTTP/1.1"
    /// What the client saw; 499 if it went away before an answer.
    package var status: UInt16
    package var duration: TimeAmount
    /// Bytes of bodies.
    package var bytesIn = 0
    package var bytesOut = 0
    /// `ExchangeFailure.code`, where the exchange failed.
    package var failure: String?
    /// What the agent said about it.
    package var failureDetail: String?
    package var client: String
    package var tunnel: String?
    /// `X-Request-Id`, as the application saw it.
    package var requestID = ""
    /// The trace it belongs to (W3C Trace Context), where it belongs to one.
    package var traceID: String?
    /// When the request was over.
    var time = LogTimestamp(milliseconds: 0)
}

/// Writes the access log and counts requests, away from the event loops.
///
/// Records are gathered for a moment and written together: one request wakes nobody up, and a thousand cost one system
/// call.
package struct AccessLog: Service {
    /// Requests never wait for their log line: beyond this many, the newest are counted as lost.
    private static let mostPending = 16 * 1024
    /// How long records are gathered.
    private static let gatheringTime = Duration.milliseconds(50)
    /// Bytes of lines that are written at once.
    private static let pieceSize = 64 * 1024

    private final class Pending: Sendable {
        let records = Mutex<[AccessRecord]>([])
        /// Whoever holds it writes.
        let writer: Mutex<Writer>

        init(_ writer: Writer) { self.writer = Mutex(writer) }
    }

    private let pending: Pending
    /// Yields when there is something to write after there was nothing.
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation
    private let lost: Counter

    /// - Parameters:
    ///   - lines: where lines are written; `nil` only counts.
    ///   - share: of a thousand requests that came to their end without failure so many have a line, chosen by chance.
    package init(
        lines: LogLineBatch?, share: Int = 1000, factory: any MetricsFactory = MetricsSystem.factory
    ) {
        (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        lost = Counter(label: "gateway_access_log_dropped_total", factory: factory)
        pending = Pending(Writer(lines: lines, share: share, factory: factory))
    }

    /// The lines of the access log.
    package static func lines(format: LogFormat, output: LogOutput = .standardError) -> LogLineBatch {
        LogLineBatch(format: format, label: "pipeops-gateway", message: "Gateway proxy request", output: output)
    }

    /// Callable from any event loop.
    package func record(_ record: AccessRecord) {
        var record = record
        record.time = .now()
        let (isFirst, isLost) = pending.records.withLock { records in
            guard records.count < Self.mostPending else { return (false, true) }
            records.append(record)
            return (records.count == 1, false)
        }
        if isFirst { signal.yield() }
        if isLost { lost.increment() }
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            for await _ in signals {
                try? await Task.sleep(for: Self.gatheringTime)
                writeAll()
            }
        }
        writeAll()
    }

    /// A cluster is gone, and its series have been removed: should it come back, it gets new ones.
    package func forget(cluster: String) { pending.writer.withLock { $0.series[cluster] = nil } }

    /// Writes what is left. To be called once more when all that records has ended: a request may end after `run` has,
    /// where its time to end was over.
    package func writeAll() {
        pending.writer.withLock { $0.write(take()) }
    }

    private func take() -> [AccessRecord] {
        pending.records.withLock { records in
            var taken: [AccessRecord] = []
            taken.reserveCapacity(records.capacity)
            swap(&taken, &records)
            return taken
        }
    }

    private struct Writer: Sendable {
        var lines: LogLineBatch?
        /// Of a thousand requests without failure so many are written.
        let share: Int
        /// Series that were used before: looking one up by its labels takes longer than counting.
        var series: [String: ClusterSeries] = [:]

        private let factory: any MetricsFactory
        private let lookups: EnumeratedCounters<RouteLookupResult>

        private static let mostSeries = 10_000

        init(lines: LogLineBatch?, share: Int, factory: any MetricsFactory) {
            self.lines = lines
            self.share = share
            self.factory = factory
            lookups = EnumeratedCounters("gateway_route_lookups_total", by: "result", factory: factory)
        }

        mutating func write(_ records: [AccessRecord]) {
            for record in records {
                count(record)
                line(record)
                if let size = lines?.size, size >= AccessLog.pieceSize { lines?.write() }
            }
            lines?.write()
        }

        private mutating func count(_ record: AccessRecord) {
            let cluster = record.cluster ?? ""
            if series.count >= Self.mostSeries { series = [:] }
            let factory = factory
            series[cluster, default: ClusterSeries(cluster, factory)].count(record)
            if let result = RouteLookupResult(record) { lookups.count(result) }
        }

        private mutating func line(_ record: AccessRecord) {
            guard lines != nil else { return }
            // Who counts lines has to know of how many one stands for all.
            let share = record.failure != nil || record.status >= 500 ? 1000 : share
            guard share >= 1000 || Int.random(in: 0..<1000) < share else { return }
            lines?.begin(at: record.time)
            lines?.add("bytes_in", record.bytesIn)
            lines?.add("bytes_out", record.bytesOut)
            lines?.add("client", record.client)
            lines?.add("cluster_uuid", record.cluster ?? "")
            lines?.add("duration_ms", thousandths: record.duration.nanoseconds / 1000)
            if let failure = record.failure { lines?.add("failure", failure) }
            if let detail = record.failureDetail, !detail.isEmpty { lines?.add("failure_detail", detail) }
            lines?.add("host", record.host)
            lines?.add("method", record.method)
            lines?.add("path", record.path)
            lines?.add("protocol", record.protocolVersion)
            if !record.requestID.isEmpty { lines?.add("request_id", record.requestID) }
            if self.share < 1000 { lines?.add("sample", thousandths: Int64(share)) }
            lines?.add("status", Int(record.status))
            if let traceID = record.traceID { lines?.add("trace_id", traceID) }
            if let tunnel = record.tunnel { lines?.add("tunnel", tunnel) }
            lines?.end()
        }
    }

    private struct ClusterSeries: Sendable {
        let cluster: String
        let factory: any MetricsFactory
        let duration: Timer
        let bytesIn: Counter
        let bytesOut: Counter
        var requests: [UInt16: Counter] = [:]

        init(_ cluster: String, _ factory: any MetricsFactory) {
            self.cluster = cluster
            self.factory = factory
            let labels = [("cluster_uuid", cluster)]
            duration = Timer(label: "gateway_request_duration_seconds", dimensions: labels, factory: factory)
            bytesIn = Counter(label: "gateway_request_bytes_total", dimensions: labels, factory: factory)
            bytesOut = Counter(label: "gateway_response_bytes_total", dimensions: labels, factory: factory)
        }

        mutating func count(_ record: AccessRecord) {
            duration.recordNanoseconds(record.duration.nanoseconds)
            bytesIn.increment(by: record.bytesIn)
            bytesOut.increment(by: record.bytesOut)
            let counter =
                requests[record.status]
                ?? Counter(
                    label: "gateway_requests_total",
                    dimensions: [("cluster_uuid", cluster), ("status_code", "\(record.status)")], factory: factory)
            requests[record.status] = counter
            counter.increment()
        }
    }
}

/// What the table of routes said to a request.
enum RouteLookupResult: String, CaseIterable, Hashable, Sendable {
    case hit
    case noSuchHost = "no_such_host"
    case noSuchPath = "no_such_path"

    /// `nil` where it was not asked.
    init?(_ record: AccessRecord) {
        if record.cluster != nil {
            self = .hit
        } else {
            guard let result = record.failure.flatMap(Self.init), result != .hit else { return nil }
            self = result
        }
    }
}
