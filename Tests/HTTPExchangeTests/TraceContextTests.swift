import Testing
import TunnelProtocol

@testable import HTTPExchange

@Suite("A request's place in a trace")
struct TraceContextTests {
    private static let id = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test(
        "a sound traceparent is read, those of later versions, too",
        arguments: [
            sound, "00-\(id)-00f067aa0ba902b7-00", "00-\(id)-00f067aa0ba902b7-ff", "01-\(id)-00f067aa0ba902b7-01",
            "cc-\(id)-00f067aa0ba902b7-01-what-the-future-will-be-like",
        ])
    func read(value: String) {
        let trace = TraceContext(["TraceParent": value, "tracestate": "a=1"])
        #expect(trace?.traceID == Self.id)
        #expect(trace?.parent == value)
    }

    @Test(
        "a malformed one is none",
        arguments: [
            "", "00", "00-\(id)-00f067aa0ba902b7-01-", "00-\(id)-00f067aa0ba902b7-01x", "ff-\(id)-00f067aa0ba902b7-01",
            "00-\(id.uppercased())-00f067aa0ba902b7-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-\(id)-0000000000000000-01", "00-\(id)-00f067aa0ba902b7-1", "0g-\(id)-00f067aa0ba902b7-01",
            "01-\(id)-00f067aa0ba902b7-01.x", "00_\(id)_00f067aa0ba902b7_01", "00-\(id)-00f067aa0ba902b7-0 ",
        ])
    func malformed(value: String) {
        #expect(TraceContext(["traceparent": value]) == nil)
    }

    @Test("two are none")
    func twice() {
        #expect(TraceContext(["traceparent": Self.sound, "Traceparent": Self.sound]) == nil)
        #expect(TraceContext([:]) == nil)
    }

    @Test("traces that begin here are sound, of their own, and say whether they are sampled")
    func begin() {
        var source = TraceSource()
        let traces = (0..<200).map { source.begin(sampled: $0 % 2 == 0) }
        #expect(Set(traces.map(\.traceID)).count == 200)
        #expect(Set(traces.map { $0.parent.dropFirst(36).prefix(16) }).count == 200)
        for (index, trace) in traces.enumerated() {
            #expect(TraceContext(["traceparent": trace.parent]) == trace)
            #expect(trace.parent.hasSuffix(index % 2 == 0 ? "-01" : "-00"))
        }
    }

    @Test("fields of a trace pass as they came, or give way to the one that begins")
    func forwarded() {
        var ids = RequestIDSource()
        let fields: HeaderFields = ["traceparent": "nonsense", "A": "1", "TraceState": "x=1"]
        func forwarded(_ begun: TraceContext?) -> HeaderFields {
            ForwardingPolicy().requestFields(
                fields, client: "192.0.2.1", isTrusted: false, scheme: "http", authority: "a.test",
                requestID: ids.make(), begunTrace: begun)
        }
        let passed = forwarded(nil)
        #expect(passed["traceparent"] == ["nonsense"])
        #expect(passed["tracestate"] == ["x=1"])
        var source = TraceSource()
        let begun = source.begin(sampled: true)
        let replaced = forwarded(begun)
        #expect(replaced["traceparent"] == [begun.parent])
        #expect(replaced["tracestate"].isEmpty)
        #expect(replaced["A"] == ["1"])
    }
}
