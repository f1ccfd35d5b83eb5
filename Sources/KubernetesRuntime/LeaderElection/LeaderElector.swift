package import Foundation
package import KubernetesAPI
package import Logging
import Metrics
import Synchronization

/// Runs something on one replica at a time, by holding a Lease.
package struct LeaderElector: Sendable {
    private let client: KubernetesClient
    private let key: ObjectKey
    private let identity: String
    private let settings: LeaderElectionState.Settings
    private let releaseTimeout: Duration
    private let logger: Logger
    private let clock: any Clock<Duration>
    private let time: MonotonicTime
    private let date: @Sendable () -> Date
    private let random: @Sendable () -> Double
    private let status: Meter
    private let current = CurrentTerm()

    /// `lease` names the Lease, which is created if need be; `identity` must differ between replicas. To let go of it on
    /// the way out may take `releaseTimeout`, and never longer than a renewal.
    package init(
        client: KubernetesClient, lease: ObjectKey, identity: String,
        settings: LeaderElectionState.Settings = .init(), releaseTimeout: Duration? = nil, logger: Logger,
        clock: any Clock<Duration> = ContinuousClock(), date: @escaping @Sendable () -> Date = { Date() },
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }
    ) {
        self.client = client
        key = lease
        self.identity = identity
        self.settings = settings
        self.releaseTimeout = min(releaseTimeout ?? settings.renewDeadline, settings.renewDeadline)
        var logger = logger
        logger[metadataKey: "lease"] = "\(lease)"
        self.logger = logger
        self.clock = clock
        time = MonotonicTime(clock)
        self.date = date
        self.random = random
        status = Meter(label: "leader_election_master_status", dimensions: [("name", lease.name)])
        status.set(0)
    }

    /// Whether this candidate leads at this moment, by its own clock. `body` is cancelled once it does not; but a process
    /// that was stopped for a while goes on before anything has told it, so what must not be done then asks here first.
    package var isLeading: Bool {
        guard let term = current.term.withLock({ $0 }), let until = term.state.withLock({ $0.leadsUntil }) else {
            return false
        }
        return time.now < until
    }

    /// Calls `body` for each term of leadership, until `body` ends by itself, the task is cancelled, or a graceful
    /// shutdown begins. When the lease is lost `body` is cancelled, and called again when it is won again. On the way
    /// out the lease is released once `body` has ended, so that another takes over without waiting for its end.
    ///
    /// - Parameter standingBy: runs while somebody else leads, and is cancelled, and has ended, before `body` is called.
    package func run(
        standingBy: @escaping @Sendable () async -> Void = {}, _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await untilShutdown {
            while true {
                let term = Term(LeaderElectionState(identity: identity, settings: settings))
                do {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask { await standingBy() }
                        defer { group.cancelAll() }
                        try await acquire(term)
                    }
                } catch {
                    await release(term)
                    throw error
                }
                current.term.withLock { $0 = term }
                status.set(1)
                logger.info("Leadership acquired", metadata: ["identity": "\(identity)"])
                let outcome = await lead(term, body)
                status.set(0)
                switch outcome {
                case .ended:
                    await release(term)
                    return
                case .failed(let error):
                    await release(term)
                    throw error
                case .lost:
                    logger.warning("Leadership lost", metadata: ["identity": "\(identity)"])
                }
            }
        }
    }

    /// What is known in one term, shared by those who renew and those who watch the time.
    private final class Term: Sendable {
        let state: Mutex<LeaderElectionState>
        init(_ state: LeaderElectionState) { self.state = Mutex(state) }
    }

    private final class CurrentTerm: Sendable {
        let term = Mutex<Term?>(nil)
    }

    private enum Outcome {
        case ended
        case failed(any Error)
        case lost
    }

    private func acquire(_ term: Term) async throws {
        var holder: String?
        while true {
            await tryOnce(term)
            try Task.checkCancellation()
            if let until = term.state.withLock({ $0.leadsUntil }), time.now < until { return }
            let current = term.state.withLock { $0.holder }
            if current != holder, let current {
                logger.info("Standing by", metadata: ["leader": "\(current)"])
            }
            holder = current
            try await clock.sleep(for: term.state.withLock { $0.standbyDelay(now: time.now, random: random()) })
        }
    }

    private func lead(_ term: Term, _ body: @escaping @Sendable () async throws -> Void) async -> Outcome {
        await withTaskGroup(of: Outcome.self) { group in
            group.addTask {
                do {
                    try await body()
                    return .ended
                } catch {
                    return .failed(error)
                }
            }
            group.addTask {
                while (try? await clock.sleep(for: settings.retryPeriod)) != nil {
                    await tryOnce(term)
                    if term.state.withLock({ $0.leadsUntil }) == nil { return .lost }
                }
                return .lost
            }
            group.addTask {
                // Renewals may hang; this clock does not.
                while let until = term.state.withLock({ $0.leadsUntil }) {
                    guard until > time.now, (try? await time.sleep(until: until)) != nil else { return .lost }
                }
                return .lost
            }
            // Whichever is first decides; the body is cancelled, and waited for, in any case.
            let outcome = await group.next() ?? .lost
            group.cancelAll()
            await group.waitForAll()
            if Task.isCancelled { return .failed(CancellationError()) }
            if case .lost = outcome { term.state.withLock { $0.stepDown() } }
            return outcome
        }
    }

    /// One try to get or renew the lease, for half of the time that a leader has: a connection that died without a word
    /// must leave a leader time for another, and must not keep one who stands by from seeing that nobody leads.
    private func tryOnce(_ term: Term) async {
        let isAnswered = await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await attempt(term)
                return true
            }
            group.addTask {
                try? await clock.sleep(for: settings.renewDeadline / 2)
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? true
        }
        if !isAnswered, !Task.isCancelled {
            logger.warning("Lease not renewed", metadata: ["error": "no answer in time"])
        }
    }

    /// As `tryOnce`, for as long as it takes. What has come of it is in the state.
    private func attempt(_ term: Term) async {
        var action = term.state.withLock { state in state.mustRead ? .read : state.attempt(date: date()) }
        do {
            while true {
                let began = time.now
                switch action {
                case .read:
                    let lease: Lease?
                    do {
                        lease = try await client.get(Lease.self, key)
                    } catch let error as KubernetesError where error.kind == .notFound {
                        lease = nil
                    }
                    action = term.state.withLock { $0.found(lease, now: time.now, date: date()) }
                case .wait:
                    return
                case .create(let spec):
                    let metadata = ObjectMeta(
                        name: key.name, namespace: key.namespace,
                        annotations: term.state.withLock { $0.annotations })
                    let lease = try await client.create(Lease(metadata: metadata, spec: spec))
                    return term.state.withLock { $0.written(lease, began: began, now: time.now) }
                case .update(let spec, let version):
                    let lease = try await write(
                        spec, over: version, annotations: term.state.withLock { $0.annotations })
                    return term.state.withLock { $0.written(lease, began: began, now: time.now) }
                }
            }
        } catch let error as KubernetesError where [.conflict, .alreadyExists, .notFound].contains(error.kind) {
            term.state.withLock { $0.refused() }
        } catch {
            guard !Task.isCancelled else { return }
            logger.warning("Lease not renewed", metadata: ["error": "\(error)"])
        }
    }

    private func write(
        _ spec: Lease.Spec, over version: String, annotations: [String: String]? = nil
    ) async throws -> Lease {
        try await client.patch(
            Lease.self, key,
            merge: LeasePatch(metadata: .init(resourceVersion: version, annotations: annotations), spec: spec))
    }

    /// Lets go of the lease, if it is or may be ours. The task may be cancelled already, which must not keep these last
    /// requests from being made; they have as long as a renewal, or as the owner said.
    private func release(_ term: Term) async {
        guard term.state.withLock({ $0.mayHoldLease }) else { return }
        let isReleased = await Task {
            await withTaskGroup(of: Bool.self) { group in
                group.addTask { (try? await letGo(term)) ?? false }
                group.addTask {
                    try? await clock.sleep(for: releaseTimeout)
                    return false
                }
                defer { group.cancelAll() }
                return await group.next() ?? false
            }
        }.value
        term.state.withLock { $0.stepDown() }
        if isReleased { logger.info("Leadership released", metadata: ["identity": "\(identity)"]) }
    }

    /// Whether the lease was ours and is no more.
    private func letGo(_ term: Term) async throws -> Bool {
        var next = term.state.withLock { $0.release(date: date()) }
        while true {
            switch next {
            case .nothing:
                return false
            case .read:
                let lease = try await client.get(Lease.self, key)
                next = term.state.withLock { $0.release(lease, date: date()) }
            case .write(let spec, let version):
                do {
                    _ = try await write(spec, over: version)
                    return true
                } catch let error as KubernetesError where error.kind == .conflict {
                    next = .read
                }
            }
        }
    }
}

private struct LeasePatch: Encodable {
    struct Metadata: Encodable {
        var resourceVersion: String
        var annotations: [String: String]?
    }
    var metadata: Metadata
    var spec: Lease.Spec
}
