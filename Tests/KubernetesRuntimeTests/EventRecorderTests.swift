import Foundation
import KubernetesAPI
import KubernetesRuntime
import Logging
import Metrics
import MetricsTestKit
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@Suite("Event recorder")
struct EventRecorderTests {
    private static let object = ObjectReference(
        apiVersion: "networking.k8s.io/v1", kind: "Ingress", namespace: "ns", name: "web", uid: "u")

    private func recorder(
        _ client: KubernetesClient, capacity: Int = 100, settings: EventCorrelator.Settings = .init(),
        logger: Logger = .silent, clock: any Clock<Duration> = ContinuousClock()
    ) -> EventRecorder {
        EventRecorder(
            client: client, controller: "gateway.pipeops.io/pipeops-agent", instance: "agent-0", settings: settings,
            capacity: capacity, logger: logger, clock: clock, random: { 0 })
    }

    @Test("an event that the server fails to take is tried again under its name, until it is known there")
    func retried() async throws {
        let log = LogRecorder()
        let count = CallCount()
        try await withScriptedServer { request, exchange in
            switch count.next() {
            case 1: try await exchange.reply(500, Wire.status(500, "InternalError"))
            case 2: try await exchange.reply(503, Wire.status(503, "ServiceUnavailable"))
            // Taken, but the answer is lost.
            case 3: try await exchange.cut()
            case 4: try await exchange.reply(409, Wire.status(409, "AlreadyExists"))
            default: try await exchange.reply(200, #"{"metadata":{}}"#)
            }
        } _: { server in
            try await withClient(port: server.port) { client in
                let clock = ManualClock()
                let recorder = recorder(client, logger: log.logger("test"), clock: clock)
                try await withRunning(recorder.run) {
                    recorder.record(Self.object, type: .warning, reason: "R", action: "A", note: "n")
                    for (failures, wait) in [(1, 500), (2, 1000), (3, 2000)] {
                        try await eventually("it waits") { server.requests.count == failures && clock.sleepers == 1 }
                        #expect(clock.slept.last == .milliseconds(wait))
                        clock.advance(by: .milliseconds(wait))
                    }
                    try await eventually("the last attempt") { server.requests.count == 4 }
                    #expect(Set(server.requests.map(\.body)).count == 1)
                    // It is known, so a repetition is one.
                    recorder.record(Self.object, type: .warning, reason: "R", action: "A", note: "n")
                    try await eventually("the repetition") { server.requests.count == 5 }
                    #expect(server.requests[4].method == "PATCH")
                }
            }
        }
        #expect(log.lines("Event not delivered").isEmpty)
    }

    @Test("what a refusal will not change is not tried again, and what never succeeds is given up and told")
    func givenUp() async throws {
        let log = LogRecorder()
        try await withScriptedServer { request, exchange in
            let isForbidden = request.body.contains("forbidden")
            try await exchange.reply(
                isForbidden ? 403 : 500,
                Wire.status(isForbidden ? 403 : 500, isForbidden ? "Forbidden" : "InternalError"))
        } _: { server in
            try await withClient(port: server.port) { client in
                let clock = ManualClock()
                let recorder = recorder(client, logger: log.logger("test"), clock: clock)
                try await withRunning(recorder.run) {
                    recorder.record(Self.object, type: .normal, reason: "R", action: "A", note: "forbidden")
                    try await eventually("it is given up") { log.lines("Event not delivered").count == 1 }
                    #expect(server.requests.count == 1)
                    recorder.record(Self.object, type: .normal, reason: "R", action: "A", note: "n")
                    for attempt in 1...11 {
                        try await eventually("it waits") {
                            server.requests.count == 1 + attempt && clock.sleepers == 1
                        }
                        clock.advance(by: .seconds(10))
                    }
                    try await eventually("it is given up, too") { log.lines("Event not delivered").count == 2 }
                    #expect(server.requests.count == 13)
                }
            }
        }
    }

    @Test("where there is no room, good news make way for bad, the oldest first, and are news again when they recur")
    func warningsFirst() async throws {
        try await withScriptedServer { request, exchange in
            try await exchange.reply(201, request.body)
        } _: { server in
            try await withClient(port: server.port) { client in
                let recorder = recorder(client, capacity: 3)
                func record(_ type: EventType, _ note: String) {
                    recorder.record(Self.object, type: type, reason: "R", action: "A", note: note)
                }
                for note in ["n1", "n2"] { record(.normal, note) }
                for note in ["w1", "w2", "w3"] { record(.warning, note) }
                record(.normal, "n3")
                record(.warning, "w4")
                try await withRunning(recorder.run) {
                    try await eventually("what was kept") { server.requests.count == 3 }
                    record(.normal, "n1")
                    try await eventually("the one that was never told") { server.requests.count == 4 }
                }
                let notes = try server.requests.map {
                    try KubernetesJSON.decoder.decode(Event.self, from: Data($0.body.utf8)).note ?? ""
                }
                #expect(notes == ["w1", "w2", "w3", "n1"])
            }
        }
    }

    @Test("an event is created as events.k8s.io/v1 demands, its repetition is patched in as a series")
    func delivery() async throws {
        try await withScriptedServer { request, exchange in
            if request.method == "POST" {
                try await exchange.reply(201, request.body)
            } else {
                try await exchange.reply(200, #"{"metadata":{}}"#)
            }
        } _: { server in
            try await withClient(port: server.port) { client in
                let recorder = recorder(client)
                try await withRunning(recorder.run) {
                    let note = String(repeating: "é", count: 1000)
                    for _ in 0..<3 {
                        recorder.record(
                            Self.object, type: .warning, reason: "HostnameConflict", action: "Sync", note: note)
                    }
                    try await eventually("both requests") { server.requests.count == 2 }
                }
                let (create, patch) = (server.requests[0], server.requests[1])
                #expect(create.method == "POST")
                #expect(create.path == "/apis/events.k8s.io/v1/namespaces/ns/events")
                let event = try KubernetesJSON.decoder.decode(Event.self, from: Data(create.body.utf8))
                #expect(event.metadata.name?.hasPrefix("web.") == true)
                #expect(event.type == "Warning" && event.reason == "HostnameConflict" && event.action == "Sync")
                #expect(event.reportingController == "gateway.pipeops.io/pipeops-agent")
                #expect(event.reportingInstance == "agent-0")
                #expect(event.regarding == Self.object)
                #expect(event.eventTime != nil && event.series == nil)
                #expect(event.note?.utf8.count == 1024)
                #expect(patch.method == "PATCH")
                #expect(patch.path == create.path + "/" + (event.metadata.name ?? ""))
                #expect(patch.headers.first(name: "content-type") == "application/merge-patch+json")
                #expect(patch.body.hasPrefix(#"{"series":{"count":2,"lastObservedTime":""#))
            }
        }
    }

    @Test("an event about a cluster-scoped object lives in the namespace default")
    func clusterScoped() async throws {
        try await withScriptedServer { request, exchange in
            try await exchange.reply(201, request.body)
        } _: { server in
            try await withClient(port: server.port) { client in
                let recorder = recorder(client)
                try await withRunning(recorder.run) {
                    let object = ObjectReference(apiVersion: "v1", kind: "Namespace", name: "kube-system")
                    recorder.record(object, type: .normal, reason: "R", action: "A", note: "n")
                    try await eventually("the request") { server.requests.count == 1 }
                }
                #expect(server.requests[0].path == "/apis/events.k8s.io/v1/namespaces/default/events")
            }
        }
    }

    @Test("recording never waits for the server; beyond its capacity events are dropped")
    func bounded() async throws {
        try await withScriptedServer { request, exchange in
            try await exchange.reply(201, request.body)
        } _: { server in
            try await withClient(port: server.port) { client in
                let recorder = recorder(client, capacity: 5)
                for index in 0..<50 {
                    recorder.record(Self.object, type: .normal, reason: "R", action: "A", note: "\(index)")
                }
                try await withRunning(recorder.run) {
                    try await eventually("what was kept") { server.requests.count == 5 }
                    recorder.record(Self.object, type: .normal, reason: "R", action: "A", note: "last")
                    try await eventually("the next one") { server.requests.count == 6 }
                }
            }
        }
    }

    @Test("events of thousands of objects go out at their own rate; the drops are counted and told once")
    func paced() async throws {
        let factory = TestMetrics()
        let log = LogRecorder()
        try await withScriptedServer { request, exchange in
            try await exchange.reply(201, request.body)
        } _: { server in
            try await withClient(port: server.port) { client in
                let clock = ManualClock()
                let recorder = withMetricsFactory(factory) {
                    EventRecorder(
                        client: client, controller: "example.com/c", instance: "i", capacity: 20,
                        rate: (rate: 10, burst: 5), logger: log.logger("test"), clock: clock)
                }
                for index in 0..<100 {
                    let object = ObjectReference(apiVersion: "v1", kind: "Service", namespace: "ns", name: "s\(index)")
                    recorder.record(object, type: .normal, reason: "R", action: "A", note: "n")
                }
                try await withRunning(recorder.run) {
                    for sent in 5..<20 {
                        try await eventually("it waits for its turn") { clock.sleepers == 1 }
                        #expect(server.requests.count == sent)
                        clock.advance(by: .milliseconds(100))
                    }
                    try await eventually("all that were kept") { server.requests.count == 20 }
                }
            }
        }
        #expect(factory.counterTotal(label: "events_dropped_total", dimensions: []) == 80)
        #expect(log.lines("Events dropped, more than can be delivered").count == 1)
    }

    @Test("an event that is no longer on the server is made anew by its next occurrence")
    func lost() async throws {
        try await withScriptedServer { request, exchange in
            if request.method == "POST" {
                try await exchange.reply(201, request.body)
            } else {
                try await exchange.reply(404, Wire.status(404, "NotFound"))
            }
        } _: { server in
            try await withClient(port: server.port) { client in
                let recorder = recorder(client)
                try await withRunning(recorder.run) {
                    func record() {
                        recorder.record(Self.object, type: .normal, reason: "R", action: "A", note: "n")
                    }
                    record()
                    record()
                    try await eventually("a new one") {
                        // Until the refusal is known, an occurrence belongs to the old series and waits.
                        record()
                        return server.requests.count == 3
                    }
                }
                #expect(server.requests.map(\.method) == ["POST", "PATCH", "POST"])
            }
        }
    }
}
