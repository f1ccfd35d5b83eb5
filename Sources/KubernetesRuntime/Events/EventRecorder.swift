package import Foundation
package import KubernetesAPI
package import Logging
import Metrics
import ServiceLifecycle
import Synchronization

/// Tells people what happened to their objects, as `events.k8s.io/v1` Events.
///
/// Recording never waits: what the server cannot take in time is dropped, `Normal` before `Warning` (`EventBacklog`),
/// counted, and told in the log once in a while. `run()` delivers, one Event at a time and no faster than its own rate, so
/// that thousands of Events leave the client's rate to the writes that matter. What may succeed later is tried again for
/// about a minute: the name of an Event is unique, so one that has come through after all is refused as known.
package final class EventRecorder: ServiceLifecycle.Service {
    private struct State {
        var correlator: EventCorrelator
        var backlog: EventBacklog
        var bucket: TokenBucket
        /// Dropped since the log last told of it, and when that was.
        var untold = 0
        var told: Duration?

        /// Whether something was dropped for it, or it itself.
        mutating func enqueue(_ action: EventCorrelator.Action, _ date: Date) -> Bool {
            guard let type = action.type, backlog.hasRoom(for: type) else {
                // The repetitions it tells of are told with the next one.
                return true
            }
            guard let evicted = backlog.append(.init(action: action, date: date)) else { return false }
            // It was never told, so its next occurrence is a new Event.
            if case .create(let occurrence, _) = evicted.action { correlator.lost(occurrence) }
            return true
        }
    }

    /// Drops are told in the log at most so often.
    private static let dropLogInterval: Duration = .seconds(60)

    private let client: KubernetesClient
    private let controller: String
    private let instance: String
    private let retry: RetryPolicy
    private let random: @Sendable () -> Double
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
    /// many at once after a pause; one that fails is tried again by `retry`. `random` yields numbers in 0..<1.
    package init(
        client: KubernetesClient, controller: String, instance: String,
        settings: EventCorrelator.Settings = EventCorrelator.Settings(), capacity: Int = 1000,
        rate: (rate: Double, burst: Int) = (rate: 50, burst: 200),
        retry: RetryPolicy = RetryPolicy(
            attempts: 12, initialDelay: .seconds(1), maximumDelay: .seconds(10), longestServerWait: .seconds(60)),
        logger: Logger,
        clock: any Clock<Duration> = ContinuousClock(),
        date: @escaping @Sendable () -> Date = { Date() },
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }
    ) {
        self.client = client
        self.controller = controller
        self.instance = String(instance.prefix(128))
        self.retry = retry
        self.random = random
        self.logger = logger
        self.date = date
        self.clock = clock
        time = MonotonicTime(clock)
        state = Mutex(
            State(
                correlator: EventCorrelator(settings: settings), backlog: EventBacklog(capacity: capacity),
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
            guard state.backlog.hasRoom(for: type) else { return true }
            let action = state.correlator.record(
                occurrence, name: Self.name(for: object, date: date), now: now, date: date)
            switch action {
            case .create, .update:
                return state.enqueue(action, date)
            case .hold: return false
            case .drop: return true
            }
        }
        if isDropped { drop(now: now) }
        wakeup.wake()
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
                let (next, due, drops) = self.state.withLock { state in
                    let drops = state.correlator.due(now: now).count(where: { state.enqueue($0, self.date()) })
                    return (state.backlog.popFirst(), state.correlator.nextDue, drops)
                }
                for _ in 0..<drops { self.drop(now: now) }
                if let next {
                    let delay = self.state.withLock { $0.bucket.reserve(now: self.time.now) }
                    if delay > .zero { try await self.clock.sleep(for: delay) }
                    try await self.deliver(next)
                } else {
                    await self.wakeup.wait(until: due, self.time)
                }
            }
        }
    }

    private func deliver(_ entry: EventBacklog.Entry) async throws {
        var attempt = 1
        while true {
            do {
                try await send(entry)
                delivered.increment()
                return
            } catch let error as KubernetesError {
                // Whether or not an earlier attempt was taken does not matter: a name is given once.
                let decision = retry.decide(attempt: attempt, error: error, isIdempotent: true, random: random())
                guard case .retry(let delay) = decision else { return failed(entry.action, error) }
                attempt += 1
                try await clock.sleep(for: delay)
            }
        }
    }

    private func send(_ entry: EventBacklog.Entry) async throws {
        switch entry.action {
        case .create(let occurrence, let name):
            do {
                _ = try await client.create(event(for: occurrence, name: name, date: entry.date))
            } catch let error as KubernetesError where error.kind == .alreadyExists {
                // An attempt without an answer has come through.
            }
        case .update(let occurrence, let name, let count, let lastObserved):
            let series = Event.Series(count: count, lastObservedTime: MicroTime(lastObserved))
            let key = ObjectKey(namespace: Self.namespace(of: occurrence), name: name)
            _ = try await client.patch(Event.self, key, merge: SeriesPatch(series: series))
        case .hold, .drop:
            break
        }
    }

    private func failed(_ action: EventCorrelator.Action, _ error: KubernetesError) {
        guard let occurrence = action.occurrence else { return }
        // There is no such Event now; what happens next is worth a new one.
        state.withLock { $0.correlator.lost(occurrence) }
        dropped.increment()
        logger.warning(
            "Event not delivered",
            metadata: [
                "event_reason": "\(occurrence.reason)", "object": "\(occurrence.regarding.name ?? "")",
                "reason": "\(error.kindName)", "error": "\(error.message)",
            ])
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
