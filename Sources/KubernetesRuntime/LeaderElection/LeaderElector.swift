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
    private let logger: Logger
    private let clock: any Clock<Duration>
    private let time: MonotonicTime
    private let date: @Sendable () -> Date
    private let random: @Sendable () -> Double
    private let status: Meter

    /// `lease` names the Lease, which is created if need be; `identity` must differ between replicas.
    package init(
        client: KubernetesClient, lease: ObjectKey, identity: String,
        settings: LeaderElectionState.Settings = .init(), logger: Logger,
        clock: any Clock<Duration> = ContinuousClock(), date: @escaping @Sendable () -> Date = { Date() },
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }
    ) {
        self.client = client
        key = lease
        self.identity = identity
        self.settings = settings
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
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { await standingBy() }
                    defer { group.cancelAll() }
                    try await acquire(term)
                }
                status.set(1)
                logger.info("Leadership acquired", metadata: ["identity": "\(identity)"])
                let outcome = await lead(term, body)
                status.set(0)
                await release(term)
                switch outcome {
                case .ended: return
                case .failed(let error): throw error
                case .lost: logger.warning("Leadership lost", metadata: ["identity": "\(identity)"])
                }
            }
        }
    }

    /// What is known in one term, shared by those who renew and those who watch the time.
    private final class Term: Sendable {
        let state: Mutex<LeaderElectionState>
        init(_ state: LeaderElectionState) { self.state = Mutex(state) }
    }

    private enum Outcome {
        case ended
        case failed(any Error)
        case lost
    }

    private func acquire(_ term: Term) async throws {
        var holder: String?
        while true {
            if await attempt(term) { return }
            try Task.checkCancellation()
            let current = term.state.withLock { $0.holder }
            if current != holder, let current {
                logger.info("Standing by", metadata: ["leader": "\(current)"])
            }
            holder = current
            try await clock.sleep(for: settings.retryPeriod * (1 + 0.2 * random()))
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
                    if await !attempt(term), term.state.withLock({ $0.leadsUntil }) == nil { return .lost }
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

    /// One try to get or renew the lease; whether it is ours now.
    private func attempt(_ term: Term) async -> Bool {
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
                    return false
                case .create(let spec):
                    let metadata = ObjectMeta(name: key.name, namespace: key.namespace)
                    let lease = try await client.create(Lease(metadata: metadata, spec: spec))
                    term.state.withLock { $0.written(lease, began: began, now: time.now) }
                    return true
                case .update(let spec, let version):
                    let lease = try await write(spec, over: version)
                    term.state.withLock { $0.written(lease, began: began, now: time.now) }
                    return true
                }
            }
        } catch let error as KubernetesError where [.conflict, .alreadyExists, .notFound].contains(error.kind) {
            term.state.withLock { $0.refused() }
        } catch {
            guard !Task.isCancelled else { return false }
            logger.warning("Lease not renewed", metadata: ["error": "\(error)"])
        }
        return false
    }

    private func write(_ spec: Lease.Spec, over version: String) async throws -> Lease {
        try await client.patch(
            Lease.self, key, merge: LeasePatch(metadata: .init(resourceVersion: version), spec: spec))
    }

    /// Lets go of the lease, if it is ours. The task may be cancelled already, which must not keep this last request
    /// from being made; it has as long as a renewal.
    private func release(_ term: Term) async {
        guard let (spec, version) = term.state.withLock({ $0.release(date: date()) }) else { return }
        term.state.withLock { $0.stepDown() }
        await Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { _ = try? await write(spec, over: version) }
                group.addTask { try? await clock.sleep(for: settings.renewDeadline) }
                await group.next()
                group.cancelAll()
            }
        }.value
        logger.info("Leadership released", metadata: ["identity": "\(identity)"])
    }
}

private struct LeasePatch: Encodable {
    struct Metadata: Encodable {
        var resourceVersion: String
    }
    var metadata: Metadata
    var spec: Lease.Spec
}
