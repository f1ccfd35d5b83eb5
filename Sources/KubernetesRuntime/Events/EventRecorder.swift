import DequeModule
package import Foundation
package import KubernetesAPI
package import Logging
import Metrics
import ServiceLifecycle
import Synchronization

/// Tells people what happened to their objects, as `events.k8s.io/v1` Events.
///
/// Recording never waits: what the server cannot take in time is dropped, oldest last, counted, and told in the log once
/// in a while. `run()` delivers, one Event at a time and no faster than its own rate, so that thousands of Events leave
/// the client's rate to the writes that matter.
package final class EventRecorder: ServiceLifecycle.Service {
    private struct State {
        var correlator: EventCorrelator
        var queue = Deque<(EventCorrelator.Action, Date)>()
        var bucket: TokenBucket
        /// Dropped since the log last told of it, and when that was.
        var untold = 0
        var told: Duration?
    }

    /// Drops are told in the log at most so often.
    private static let dropLogInterval: Duration = .seconds(60)

    private let client: KubernetesClient
    private let controller: String
    private let instance: String
    private let capacity: Int
    private let logger: Logger
    private let clock: any Clock<Duration>
    private let time: MonotonicTime
    private let date: @Sendable () -> Date
    private let state: Mutex<State>
    private let wakeup = Wakeup()
    private let dropped: Counter
    private let delivered: Counter

    /// `controller` is a qualified name such as `example.com/my-controller`; `instance` tells its replicas apart (cut
    /// to 128 characters). At most `capacity` Events wait for delivery, which goes at `rate`: Events a second, and how
    /// many at once after a pause.
    package init(
        client: KubernetesClient, controller: String, instance: String,
        settings: EventCorrelator.Settings = EventCorrelator.Settings(), capacity: Int = 1000,
        rate: (rate: Double, burst: Int) = (rate: 50, burst: 200), logger: Logger,
        clock: any Clock<Duration> = ContinuousClock(),
        date: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.client = client
        self.controller = controller
        self.instance = String(instance.prefix(128))
        self.capacity = capacity
        self.logger = logger
        self.date = date
        self.clock = clock
        time = MonotonicTime(clock)
        state = Mutex(
            State(
                correlator: EventCorrelator(settings: settings),
                bucket: TokenBucket(rate: rate.rate, burst: rate.burst)))
        dropped = Counter(label: "events_dropped_total")
        delivered = Counter(label: "events_delivered_total")
    }

    /// Something happened to `object`. `reason` and `action` are CamelCase; `note` is a sentence, cut to 1024 bytes.
    package func record(
        _ object: ObjectReference, type: EventType, reason: String, action: String, note: String,
        related: ObjectReference? = nil
    ) {
        let occurrence = EventCorrelator.Occurrence(
            regarding: object, related: related, type: type, reason: reason, action: action,
            note: note.cut(toBytes: 1024))
        let (now, date) = (time.now, date())
        let isDropped = state.withLock { state in
            if state.queue.count >= capacity { return true }
            let action = state.correlator.record(
                occurrence, name: Self.name(for: object, date: date), now: now, date: date)
            switch action {
            case .create, .update:
                state.queue.append((action, date))
                return false
            case .hold: return false
            case .drop: return true
            }
        }
        if isDropped { drop(now: now) } else { wakeup.wake() }
    }

    private func drop(now: Duration) {
        dropped.increment()
        let count = state.withLock { state -> Int? in
            state.untold += 1
            if let told = state.told, now - told < Self.dropLogInterval { return nil }
            state.told = now
            defer { state.untold = 0 }
            return state.untold
        }
        if let count {
            logger.warning("Events dropped, more than can be delivered", metadata: ["count": "\(count)"])
        }
    }

    /// Delivers. Returns on graceful shutdown, throws `CancellationError` on cancellation.
    package func run() async throws {
        try await untilShutdown {
            while true {
                try Task.checkCancellation()
                let now = self.time.now
                let (next, due) = self.state.withLock { state in
                    for action in state.correlator.due(now: now) { state.queue.append((action, self.date())) }
                    return (state.queue.popFirst(), state.correlator.nextDue)
                }
                if let (action, date) = next {
                    let delay = self.state.withLock { $0.bucket.reserve(now: self.time.now) }
                    if delay > .zero { try await self.clock.sleep(for: delay) }
                    try await self.deliver(action, date)
                } else {
                    await self.wakeup.wait(until: due, self.time)
                }
            }
        }
    }

    private func deliver(_ action: EventCorrelator.Action, _ date: Date) async throws {
        do {
            switch action {
            case .create(let occurrence, let name):
                _ = try await client.create(event(for: occurrence, name: name, date: date))
            case .update(let occurrence, let name, let count, let lastObserved):
                let series = Event.Series(count: count, lastObservedTime: MicroTime(lastObserved))
                let key = ObjectKey(namespace: Self.namespace(of: occurrence), name: name)
                _ = try await client.patch(Event.self, key, merge: SeriesPatch(series: series))
            case .hold, .drop:
                return
            }
            delivered.increment()
        } catch let error as KubernetesError {
            failed(action, error)
        }
    }

    private func failed(_ action: EventCorrelator.Action, _ error: KubernetesError) {
        switch action {
        case .create(let occurrence, _), .update(let occurrence, _, _, _):
            // There is no such Event now; what happens next is worth a new one.
            state.withLock { $0.correlator.lost(occurrence) }
            dropped.increment()
            logger.warning(
                "Event not delivered",
                metadata: [
                    "event_reason": "\(occurrence.reason)", "object": "\(occurrence.regarding.name ?? "")",
                    "reason": "\(error.kindName)", "error": "\(error.message)",
                ])
        case .hold, .drop:
            break
        }
    }

    /// Events about cluster-scoped objects live in `default`.
    private static func namespace(of occurrence: EventCorrelator.Occurrence) -> String {
        occurrence.regarding.namespace.flatMap { $0.isEmpty ? nil : $0 } ?? "default"
    }

    private static func name(for object: ObjectReference, date: Date) -> String {
        let stamp = String(UInt64(max(0, date.timeIntervalSince1970) * 1_000_000), radix: 16)
        let unique = String(UInt32.random(in: .min ... .max), radix: 16)
        // A name may be cut in any place, but each part of it must end with a letter or a digit.
        var prefix = (object.name ?? "unknown").prefix(200)
        while let last = prefix.last, last == "-" || last == "." { prefix.removeLast() }
        return "\(prefix).\(stamp)\(unique)"
    }

    private func event(for occurrence: EventCorrelator.Occurrence, name: String, date: Date) -> Event {
        Event(
            metadata: ObjectMeta(name: name, namespace: Self.namespace(of: occurrence)), eventTime: MicroTime(date),
            reportingController: controller, reportingInstance: instance, action: occurrence.action,
            reason: occurrence.reason, regarding: occurrence.regarding, related: occurrence.related,
            note: occurrence.note, type: occurrence.type.rawValue)
    }
}

private struct SeriesPatch: Encodable {
    var series: Event.Series
}

extension String {
    /// The longest prefix of whole characters that fits into `limit` bytes.
    fileprivate func cut(toBytes limit: Int) -> String {
        guard utf8.count > limit else { return self }
        var result = ""
        var size = 0
        for character in self {
            size += character.utf8.count
            guard size <= limit else { break }
            result.append(character)
        }
        return result
    }
}
