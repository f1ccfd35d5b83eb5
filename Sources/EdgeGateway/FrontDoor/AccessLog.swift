package import Logging
import Metrics
package import NIOCore
import ServiceLifecycle

/// What is known about one request once it is over.
package struct AccessRecord: Sendable {
    package var cluster: String?
    package var host: String
    /// Without its query, which may hold secrets.
    package var path: String
    package var method: String
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
}

/// Writes the access log and counts requests, away from the event loops.
package struct AccessLog: Service {
    private let records: AsyncStream<AccessRecord>
    private let post: AsyncStream<AccessRecord>.Continuation
    private let lost = Counter(label: "gateway_access_log_dropped_total")
    private let logger: Logger

    package init(logger: Logger) {
        // Requests never wait for their log line: beyond this many, the newest are counted as lost.
        (records, post) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(16 * 1024))
        self.logger = logger
    }

    /// Callable from any event loop.
    package func record(_ record: AccessRecord) {
        if case .dropped = post.yield(record) { lost.increment() }
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            for await record in records { write(record) }
        }
        // What was recorded before the end is written.
        post.finish()
        for await record in records { write(record) }
    }

    private func write(_ record: AccessRecord) {
        let cluster = record.cluster ?? ""
        Counter(
            label: "gateway_requests_total",
            dimensions: [("cluster_uuid", cluster), ("status_code", "\(record.status)")]
        ).increment()
        Timer(label: "gateway_request_duration_seconds", dimensions: [("cluster_uuid", cluster)])
            .recordNanoseconds(record.duration.nanoseconds)
        var metadata: Logger.Metadata = [
            "cluster_uuid": "\(cluster)", "host": "\(record.host)", "path": "\(record.path)",
            "method": "\(record.method)", "status": .stringConvertible(record.status),
            "duration_ms": .stringConvertible(Double(record.duration.nanoseconds / 1000) / 1000),
            "bytes_in": .stringConvertible(record.bytesIn), "bytes_out": .stringConvertible(record.bytesOut),
            "client": "\(record.client)",
        ]
        if let failure = record.failure { metadata["failure"] = "\(failure)" }
        if let detail = record.failureDetail, !detail.isEmpty { metadata["failure_detail"] = "\(detail)" }
        if let tunnel = record.tunnel { metadata["tunnel"] = "\(tunnel)" }
        logger.info("Gateway proxy request", metadata: metadata)
    }
}
