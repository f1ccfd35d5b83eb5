package import KubernetesAPI
package import Logging

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

    /// The server has this long, after the time it was given, to end a watch.
    private static var watchGrace: Duration { .seconds(30) }

    /// `namespace` nil means all. A streaming list that is silent for `initialEventsTimeout`, once it was answered, is
    /// given up for an ordinary list, the next one not. `random` yields numbers in 0..<1.
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
                        "wait_ms": "\(delay.milliseconds)",
                    ])
                try await clock.sleep(for: delay)
                step = machine.waited(random: random())
            case .watch(let options):
                (machine, step) = try await watchBounded(options, machine, apply)
            case .read:
                preconditionFailure("no watch is open")
            }
        }
    }

    /// Lists page by page, until there is something else to do.
    private func list(_ first: ListOptions, _ machine: inout Machine) async throws -> Machine.Step {
        let time = MonotonicTime(clock)
        var options = first
        var items = 0
        do {
            while true {
                let page = try await client.list(R.self, namespace: namespace, options: options)
                items += page.items.count
                for object in page.undecodable { report(object) }
                let step = machine.listed(page, random: random())
                guard case .list(let next) = step.action else {
                    if step.update != nil { metrics.listed(items: items, duration: time.now) }
                    return step
                }
                options = next
            }
        } catch let error as KubernetesError {
            note(error, "List failed")
            return machine.listFailed(error, random: random())
        }
    }

    /// Watches until there is something else to do than to read on.
    private func watch(
        _ options: WatchOptions, _ initial: Machine, _ limits: WatchLimits, _ apply: @Sendable (Machine.Update) -> Void
    ) async -> Result<(Machine, Machine.Step), any Error> {
        var machine = initial
        let time = MonotonicTime(clock)
        var hasHeard = false
        metrics.watchOpened()
        defer {
            // As client-go counts them: what has brought something was worth its while. One cut short here tells nothing.
            let isShort = !hasHeard && !Task.isCancelled && time.now < settings.shortestHealthyWatch
            metrics.watchClosed(lived: time.now, isShort: isShort)
        }
        do {
            let events = try await client.watch(R.self, namespace: namespace, options: options)
            limits.heard()
            for try await event in events {
                limits.heard()
                hasHeard = true
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
                    limits.listed()
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
            guard let limit = limits.exceeded else { return .failure(error) }
            logger.debug("Watch given up", metadata: ["reason": "\(limit)", "lived_ms": "\(time.now.milliseconds)"])
            let step =
                machine.isStreaming && limit == .silence
                ? machine.initialEventsTimedOut() : machine.watchEnded(lived: time.now, random: random())
            return .success((machine, step))
        }
    }

    /// As `watch`, but ends it if the server does not when it was asked to, or if a streaming list falls silent before it is
    /// complete.
    private func watchBounded(
        _ options: WatchOptions, _ initial: Machine, _ apply: @escaping @Sendable (Machine.Update) -> Void
    ) async throws -> (Machine, Machine.Step) {
        let limits = WatchLimits(
            MonotonicTime(clock), isListing: initial.isStreaming, silence: initialEventsTimeout,
            lifetime: options.timeoutSeconds.map { .seconds($0) + Self.watchGrace })
        let outcome = await withTaskGroup(of: Result<(Machine, Machine.Step), any Error>?.self) { group in
            group.addTask { await watch(options, initial, limits, apply) }
            group.addTask {
                while let left = limits.left() {
                    guard (try? await clock.sleep(for: left)) != nil else { return nil }
                }
                return nil
            }
            for await result in group {
                // Whichever is first, the other goes; the watch tells what it has come to in any case.
                group.cancelAll()
                if let result { return result }
            }
            return .failure(CancellationError())
        }
        return try outcome.get()
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

extension Duration {
    fileprivate var milliseconds: Int { Int(self / .milliseconds(1)) }
}
