import Foundation
import KubernetesAPI
import Testing

@testable import KubernetesRuntime

@Suite("Event correlation")
struct EventCorrelatorTests {
    private typealias Correlator = EventCorrelator

    private func occurrence(_ note: String = "note", about name: String = "web") -> Correlator.Occurrence {
        .init(
            regarding: ObjectReference(apiVersion: "v1", kind: "Service", namespace: "ns", name: name),
            type: .normal, reason: "Reason", action: "Action", note: note)
    }

    private func date(_ seconds: Int) -> Date { Date(timeIntervalSince1970: Double(seconds)) }

    @Test("the first is created, the second makes it a series at once, further ones are told once a minute")
    func series() {
        var correlator = Correlator()
        let what = occurrence()
        func record(_ second: Int) -> Correlator.Action {
            correlator.record(what, name: "e\(second)", now: .seconds(second), date: date(second))
        }
        #expect(record(0) == .create(what, name: "e0"))
        #expect(correlator.nextDue == nil)
        #expect(record(1) == .update(what, name: "e0", count: 2, lastObserved: date(1)))
        #expect(record(2) == .hold)
        #expect(record(3) == .hold)
        #expect(correlator.nextDue == .seconds(61))
        #expect(correlator.due(now: .seconds(60)) == [])
        #expect(correlator.due(now: .seconds(61)) == [.update(what, name: "e0", count: 4, lastObserved: date(3))])
        #expect(correlator.due(now: .seconds(200)) == [])
        #expect(correlator.nextDue == nil)
        #expect(record(200) == .update(what, name: "e0", count: 5, lastObserved: date(200)))
    }

    @Test("after a long quiet the next one is a new Event")
    func lifetime() {
        var correlator = Correlator()
        let what = occurrence()
        _ = correlator.record(what, name: "e1", now: .zero, date: date(0))
        #expect(
            correlator.record(what, name: "e2", now: .seconds(361), date: date(361)) == .create(what, name: "e2"))
    }

    @Test("another note or another object is another Event")
    func distinct() {
        var correlator = Correlator()
        for what in [occurrence("a"), occurrence("b"), occurrence("a", about: "other")] {
            #expect(correlator.record(what, name: "e", now: .zero, date: date(0)) == .create(what, name: "e"))
        }
    }

    @Test("what one object has to say beyond its rate is dropped; others are heard")
    func rate() {
        var correlator = Correlator(settings: .init(rate: 1.0 / 300, burst: 3))
        func record(_ note: String, about name: String = "web", at second: Int = 0) -> Bool {
            let action = correlator.record(
                occurrence(note, about: name), name: "e", now: .seconds(second), date: date(second))
            return action != .drop
        }
        #expect((0..<5).map { record("\($0)") } == [true, true, true, false, false])
        #expect(record("x", about: "other"))
        #expect(record("later", at: 300))
        #expect(!record("again", at: 300))
    }

    @Test("an Event that was lost is made anew")
    func lost() {
        var correlator = Correlator()
        let what = occurrence()
        _ = correlator.record(what, name: "e1", now: .zero, date: date(0))
        correlator.lost(what)
        #expect(correlator.record(what, name: "e2", now: .zero, date: date(0)) == .create(what, name: "e2"))
    }

    @Test("memory is bounded, whatever happens in a large cluster")
    func bounded() {
        var correlator = Correlator(settings: .init(capacity: 100))
        for index in 0..<10_000 {
            _ = correlator.record(
                occurrence(about: "object-\(index)"), name: "e", now: .milliseconds(index), date: date(0))
        }
        #expect(correlator.remembered <= 201)
    }
}
