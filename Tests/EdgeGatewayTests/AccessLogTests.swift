import Foundation
import NIOCore
import Synchronization
import Telemetry
import TestSupport
import Testing

@testable import EdgeGateway

@Suite("The access log", .timeLimit(.minutes(1)))
struct AccessLogTests {
    private final class Lines: Sendable {
        let bytes = Mutex<[UInt8]>([])
        var objects: [[String: Any]] {
            bytes.withLock { $0 }.split(separator: 0x0A).compactMap {
                try? JSONSerialization.jsonObject(with: Data($0)) as? [String: Any]
            }
        }
    }

    private func written(_ record: AccessRecord) async throws -> [String: Any] {
        let lines = Lines()
        let log = AccessLog(
            lines: AccessLog.lines(format: .json, output: LogOutput { line in lines.bytes.withLock { $0 += line } }))
        log.record(record)
        let running = Task { try await log.run() }
        try await eventually("the line is written") { !lines.objects.isEmpty }
        running.cancel()
        try? await running.value
        return try #require(lines.objects.first)
    }

    @Test("a line has the fields of the source, spelled as there, and more")
    func fields() async throws {
        var record = AccessRecord(
            cluster: "abc-123", host: "my-app.example.com", path: "/api/users", method: "GET", status: 200,
            duration: .microseconds(45_250), client: "192.0.2.7")
        record.bytesIn = 10
        record.bytesOut = 2048
        record.tunnel = "t1"
        record.protocolVersion = "HTTP/2"
        let line = try await written(record)
        #expect(line["level"] as? String == "info")
        #expect(line["msg"] as? String == "Gateway proxy request")
        #expect(line["cluster_uuid"] as? String == "abc-123")
        #expect(line["host"] as? String == "my-app.example.com")
        #expect(line["path"] as? String == "/api/users")
        #expect(line["method"] as? String == "GET")
        #expect(line["protocol"] as? String == "HTTP/2")
        #expect(line["status"] as? Int == 200)
        #expect(line["duration_ms"] as? Double == 45.25)
        #expect(line["bytes_in"] as? Int == 10)
        #expect(line["bytes_out"] as? Int == 2048)
        #expect(line["client"] as? String == "192.0.2.7")
        #expect(line["tunnel"] as? String == "t1")
        #expect(line["failure"] == nil)
    }

    @Test("a failure is named, with what the agent said")
    func failure() async throws {
        var record = AccessRecord(
            cluster: nil, host: "x", path: "/", method: "GET", status: 502, duration: .zero, client: "192.0.2.7")
        record.failure = "backend_unreachable"
        record.failureDetail = "10.0.0.1:80: refused"
        let line = try await written(record)
        #expect(line["cluster_uuid"] as? String == "")
        #expect(line["failure"] as? String == "backend_unreachable")
        #expect(line["failure_detail"] as? String == "10.0.0.1:80: refused")
    }

    @Test("a request that ends after the log's service has is not lost")
    func late() async throws {
        let lines = Lines()
        let log = AccessLog(
            lines: AccessLog.lines(format: .json, output: LogOutput { line in lines.bytes.withLock { $0 += line } }))
        let running = Task { try await log.run() }
        running.cancel()
        try? await running.value
        log.record(
            AccessRecord(
                cluster: "a", host: "x", path: "/late", method: "GET", status: 200, duration: .zero, client: "c"))
        #expect(lines.objects.isEmpty)
        log.writeAll()
        #expect(lines.objects.first?["path"] as? String == "/late")
    }

    @Test("of many requests a share is written, which says so, and every failure")
    func sampled() {
        let lines = Lines()
        let log = AccessLog(
            lines: AccessLog.lines(format: .json, output: LogOutput { line in lines.bytes.withLock { $0 += line } }),
            share: 100)
        func record(_ status: UInt16, failure: String? = nil) -> AccessRecord {
            var record = AccessRecord(
                cluster: "a", host: "x", path: "/", method: "GET", status: status, duration: .zero, client: "c")
            record.failure = failure
            return record
        }
        for _ in 0..<5000 { log.record(record(200)) }
        for _ in 0..<20 {
            log.record(record(503))
            log.record(record(499, failure: "client_closed"))
        }
        log.writeAll()
        let objects = lines.objects
        let good = objects.filter { $0["status"] as? Int == 200 }
        // 500 by chance: it is less likely than 1 in 10^15 to be off by so much.
        #expect((300...700).contains(good.count))
        #expect(good.allSatisfy { $0["sample"] as? Double == 0.1 })
        let failed = objects.filter { $0["status"] as? Int != 200 }
        #expect(failed.count == 40)
        #expect(failed.allSatisfy { $0["sample"] as? Double == 1 })
    }

    @Test("many requests are written in few pieces, each with its own line")
    func together() async throws {
        let pieces = Mutex<[Int]>([])
        let log = AccessLog(
            lines: AccessLog.lines(
                format: .json, output: LogOutput { piece in pieces.withLock { $0.append(piece.count { $0 == 0x0A }) } })
        )
        let record = AccessRecord(
            cluster: "a", host: "x", path: "/", method: "GET", status: 200, duration: .zero, client: "c")
        for _ in 0..<5000 { log.record(record) }
        let running = Task { try await log.run() }
        try await eventually("every line is written") { pieces.withLock { $0.reduce(0, +) } == 5000 }
        #expect(pieces.withLock { $0.count } < 50)
        running.cancel()
        try? await running.value
    }

    @Test("a line for people looks as the other log lines do")
    func text() {
        let written = Mutex("")
        var lines = AccessLog.lines(
            format: .text,
            output: LogOutput { line in written.withLock { $0 += String(decoding: line, as: UTF8.self) } })
        lines.begin(at: LogTimestamp(milliseconds: 0))
        lines.add("path", "/a b")
        lines.add("status", 200)
        lines.end()
        lines.write()
        #expect(
            written.withLock { $0 }
                == "1970-01-01T00:00:00.000Z info     pipeops-gateway: Gateway proxy request path=\"/a b\" status=200\n"
        )
    }

    @Test("more records than fit are dropped, never waited for")
    func overflow() {
        let log = AccessLog(lines: nil)
        let record = AccessRecord(
            cluster: nil, host: "x", path: "/", method: "GET", status: 200, duration: .zero, client: "c")
        for _ in 0..<40_000 { log.record(record) }
    }
}
