package import KubernetesAPI
package import Logging
import Synchronization

/// Drives a `ReflectorStateMachine` against an API server.
package struct Reflector<R: KubernetesResource>: Sendable {
    private let client: KubernetesClient
    private let namespace: String?
    private let settings: ReflectorStateMachine<R>.Settings
    private let initialEventsTimeout: Duration
    private let logger: Logger
    private let clock: any Clock<Duration>
    private let random: @Sendable () -> Double
    private let metrics: ReflectorMetrics

    /// `namespace` nil means all. A streaming list that is silent for `initialEventsTimeout` is given up for ordinary
    /// lists. `random` yields numbers in 0..<1.
    package init(
        client: KubernetesClient, namespace: String? = nil, settings: ReflectorStateMachine<R>.Settings = .init(),
        initialEventsTimeout: Duration = .seconds(10), logger: Logger, clock: any Clock<Duration> = ContinuousClock(),
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }
    ) {
        self.client = client
        self.namespace = namespace
        self.settings = settings
        self.initialEventsTimeout = initialEventsTimeout
        var logger = logger
        logger[metadataKey: "resource"] = "\(R.definition.plural)"
        self.logger = logger
        self.clock = clock
        self.random = random
        metrics = ReflectorMetrics(name: R.definition.plural)
    }

    private typealias Machine = ReflectorStateMachine<R>

    /// Reports every change to `apply`, in order, until the task is cancelled; then throws `CancellationError`.
    package func run(_ apply: @escaping @Sendable (ReflectorStateMachine<R>.Update) -> Void) async throws {
        var machine = Machine(settings: settings)
        var step = machine.start(random: random())
        while true {
            try Task.checkCancellation()
            carryOut(step, apply)
            switch step.action {
            case .list(let options):
                step = try await list(options, &machine)
            case .wait(let delay, let reason):
                // Before the first list is complete nothing works; after it, the cache serves what is known.
                logger.log(
                    level: machine.hasSynced ? .info : .warning, "Reflector waits",
                    metadata: [
                        "reason": "\(reason.rawValue)", "error": "\(step.problem ?? "")",
                        "wait_ms": "\(Int(delay / .milliseconds(1)))",
                    ])
                try await clock.sleep(for: delay)
                step = machine.waited(random: random())
            case .watch(let options):
                if machine.isStreaming {
                    (machine, step) = try await watchBounded(options, machine, apply)
                } else {
                    let watched = await watch(options, machine, apply) {}
                    (machine, step) = try watched.get()
                }
            case .read:
                preconditionFailure("no watch is open")
            }
        }
    }

    private func list(_ options: ListOptions, _ machine: inout Machine) async throws -> Machine.Step {
        let time = MonotonicTime(clock)
        do {
            let page = try await client.list(R.self, namespace: namespace, options: options)
            metrics.listed(items: page.items.count, duration: time.now)
            for object in page.undecodable { report(object) }
            return machine.listed(page, random: random())
        } catch let error as KubernetesError {
            note(error, "List failed")
            return machine.listFailed(error, random: random())
        }
    }

    /// Watches until there is something else to do than to read on. `progress` is called for every event.
    private func watch(
        _ options: WatchOptions, _ initial: Machine, _ apply: @Sendable (Machine.Update) -> Void,
        progress: @Sendable () -> Void
    ) async -> Result<(Machine, Machine.Step), any Error> {
        var machine = initial
        let time = MonotonicTime(clock)
        metrics.watchOpened()
        defer { metrics.watchClosed(lived: time.now, isShort: time.now < settings.shortestHealthyWatch) }
        do {
            let events = try await client.watch(R.self, namespace: namespace, options: options)
            for try await event in events {
                progress()
                if case .error(let status) = event {
                    logger.info(
                        "Watch ended by the server",
                        metadata: [
                            "code": "\(status.code ?? 0)", "reason": "\(status.reason ?? "")",
                            "error": "\(status.message ?? "")",
                        ])
                }
                let step = machine.received(event, random: random())
                if case .replace(let objects, _) = step.update {
                    metrics.listed(items: objects.count, duration: time.now)
                }
                guard step.action == .read else { return .success((machine, step)) }
                carryOut(step, apply)
            }
            try Task.checkCancellation()
            let step = machine.watchEnded(lived: time.now, random: random())
            return .success((machine, step))
        } catch let error as KubernetesError {
            note(error, "Watch failed")
            let step = machine.watchFailed(error, random: random())
            return .success((machine, step))
        } catch {
            return .failure(error)
        }
    }

    /// As `watch`, but gives up if the streaming list falls silent before it is complete.
    private func watchBounded(
        _ options: WatchOptions, _ initial: Machine, _ apply: @escaping @Sendable (Machine.Update) -> Void
    ) async throws -> (Machine, Machine.Step) {
        let silence = Silence(MonotonicTime(clock))
        let outcome = await withTaskGroup(of: Result<(Machine, Machine.Step), any Error>?.self) { group in
            group.addTask {
                await watch(options, initial) { update in
                    if case .replace = update { silence.end() }
                    apply(update)
                } progress: {
                    silence.interrupt()
                }
            }
            group.addTask {
                while let lasted = silence.lasted {
                    guard lasted < initialEventsTimeout else { return .failure(StreamingListTimedOut()) }
                    guard (try? await clock.sleep(for: initialEventsTimeout - lasted)) != nil else { return nil }
                }
                return nil
            }
            defer { group.cancelAll() }
            for await result in group {
                if let result { return result }
            }
            return .failure(CancellationError())
        }
        do {
            return try outcome.get()
        } catch is StreamingListTimedOut {
            var machine = initial
            let step = machine.initialEventsTimedOut()
            return (machine, step)
        }
    }

    private struct StreamingListTimedOut: Error {}

    /// How long nothing has been heard of a streaming list.
    private final class Silence: Sendable {
        private let time: MonotonicTime
        /// When it began; nil once the list is complete.
        private let since: Mutex<Duration?>

        init(_ time: MonotonicTime) {
            self.time = time
            since = Mutex(time.now)
        }

        var lasted: Duration? { since.withLock { $0.map { time.now - $0 } } }
        func interrupt() { since.withLock { if $0 != nil { $0 = time.now } } }
        func end() { since.withLock { $0 = nil } }
    }

    private func carryOut(_ step: Machine.Step, _ apply: (Machine.Update) -> Void) {
        if let object = step.undecodable { report(object) }
        if step.gaveUpStreaming { logger.debug("Streaming list not available, listing in pages") }
        if let update = step.update { apply(update) }
    }

    /// What passes by itself is no news; what a person has to mend is.
    private func note(_ error: KubernetesError, _ message: Logger.Message) {
        logger.log(
            level: error.isRetryable ? .debug : .warning, message,
            metadata: ["reason": "\(error.kindName)", "error": "\(error.message)"])
    }

    private func report(_ object: UndecodableObject) {
        metrics.undecodable()
        logger.error(
            "Object cannot be decoded, skipped",
            metadata: ["key": "\(object.key?.description ?? "unknown")", "error": "\(object.problem)"])
    }
}
