import Logging
import NIOCore
import Settings
import TunnelProtocol
import TunnelTransport

/// One place of the pool and its dial loop: carries out what `TunnelSlotState` decides.
struct TunnelSlot: Sendable {
    /// How long the streams of a tunnel may last that this side gives up.
    private static let retiredGrace = TimeAmount.seconds(30)

    let number: Int
    let configuration: TunnelPool.Configuration
    let upstream: UpstreamPools
    let syncer: any RouteSyncing
    let status: TunnelStatus
    let members: TunnelMembers
    let metrics: TunnelMetrics
    let logger: Logger

    private enum Event: Sendable {
        case resolved(TunnelDialer, [SocketAddress])
        case unresolved(TunnelEnding)
        case lookedAround(Int, TunnelDialer, [SocketAddress])
        case established(Int, ControlMessage.Welcome)
        case draining(Int)
        /// Before the welcome.
        case failed(Int, TunnelEnding)
        case ended(Int, TunnelEnding)
    }

    /// A tunnel of this slot, from its dial to its end.
    private struct Attempt {
        var session: AgentTunnelSession
        var logger: Logger
        var establishedAt: NIODeadline?
    }

    init(
        number: Int, configuration: TunnelPool.Configuration, upstream: UpstreamPools, syncer: any RouteSyncing,
        status: TunnelStatus, members: TunnelMembers, metrics: TunnelMetrics, logger: Logger
    ) {
        self.number = number
        self.configuration = configuration
        self.upstream = upstream
        self.syncer = syncer
        self.status = status
        self.members = members
        self.metrics = metrics
        var logger = logger
        logger[metadataKey: "slot"] = "\(number)"
        self.logger = logger
    }

    /// Dials, serves, and dials again until the task is cancelled; then the tunnels are drained within the grace time.
    func run() async {
        let (events, post) = AsyncStream.makeStream(of: Event.self)
        await withDiscardingTaskGroup { group in
            var state = TunnelSlotState(
                backoff: configuration.backoff,
                times: .init(
                    start: configuration.startSpread, drain: configuration.drainSpread,
                    lookAround: configuration.lookAround))
            var dialer: TunnelDialer?
            var addresses: [String: SocketAddress] = [:]
            var attempts: [Int: Attempt] = [:]
            var actions = state.start(slot: number, random: configuration.random())
            var events = events.makeAsyncIterator()
            repeat {
                for action in actions {
                    switch action {
                    case .resolve(let wait):
                        group.addTask { await resolve(after: wait, post) }
                    case .lookAround(let attempt, let wait):
                        group.addTask { await lookAround(attempt, after: wait, post) }
                    case .dial(let attempt, let address):
                        guard let dialer else { preconditionFailure("a dial before addresses were looked up") }
                        let begun = begin(attempt, address, post)
                        attempts[attempt] = begun
                        let destination = address.flatMap { addresses[$0] }
                        group.addTask { await dial(attempt, by: dialer, to: destination, begun.session, post) }
                    case .retire(let attempt):
                        members.draining(TunnelID(slot: number, attempt: attempt))
                        attempts[attempt]?.session.retire(within: Self.retiredGrace)
                    }
                }
                guard let event = await events.next(isolation: nil), !Task.isCancelled else { return }
                switch event {
                case .resolved(let configured, let found), .lookedAround(_, let configured, let found):
                    dialer = configured
                    addresses = Dictionary(found.map { ($0.shown, $0) }, uniquingKeysWith: { first, _ in first })
                default: break
                }
                actions = handle(event, &state, &attempts)
            } while true
        }
    }

    // MARK: Events

    private func handle(
        _ event: Event, _ state: inout TunnelSlotState, _ attempts: inout [Int: Attempt]
    ) -> [TunnelSlotState.Action] {
        let random = configuration.random()
        switch event {
        case .resolved(_, let addresses):
            return state.resolved(addresses.map(\.shown), members.occupancy(for: number), random: random)
        case .lookedAround(let attempt, _, let addresses):
            let actions = state.lookedAround(
                attempt, addresses.map(\.shown), members.occupancy(for: number), random: random)
            if actions.contains(where: { if case .dial = $0 { true } else { false } }) {
                metrics.reconnecting(.sameInstance)
            }
            return actions
        case .unresolved(let ending):
            let actions = state.failed(ending.cause, random: random)
            report("Tunnel dial failed", ending, actions, logger)
            return actions
        case .failed(let attempt, let ending):
            let logger = attempts.removeValue(forKey: attempt)?.logger ?? logger
            let actions = state.failed(ending.cause, random: random)
            report("Tunnel dial failed", ending, actions, logger)
            return actions
        case .established(let attempt, let welcome):
            metrics.dialSucceeded()
            attempts[attempt]?.establishedAt = .now()
            attempts[attempt]?.logger[metadataKey: "gateway"] = "\(welcome.instanceID)"
            let isSameInstance = members.isSameInstance(TunnelID(slot: number, attempt: attempt))
            let actions = state.established(attempt, isSameInstance: isSameInstance, random: random)
            if isSameInstance, actions.contains(.resolve(after: .zero)) {
                metrics.reconnecting(.sameInstance)
                attempts[attempt]?.logger.info("Tunnel leads to a gateway that another one leads to, trying elsewhere")
            }
            return actions
        case .draining(let attempt):
            let lifetime = attempts[attempt]?.establishedAt.map { .now() - $0 }
            let actions = state.draining(attempt, lifetime: lifetime, random: random)
            if state.isCurrent(attempt) { metrics.reconnecting(.drained) }
            return actions
        case .ended(let attempt, let ending):
            let logger = attempts.removeValue(forKey: attempt)?.logger ?? logger
            guard state.isCurrent(attempt) else {
                logger.info("Tunnel ended", metadata: ["reason": "\(ending.detail)"])
                return state.ended(attempt, ending.cause, random: random)
            }
            let actions = state.ended(attempt, ending.cause, random: random)
            report("Tunnel lost", ending, actions, logger)
            return actions
        }
    }

    private func report(
        _ message: Logger.Message, _ ending: TunnelEnding, _ actions: [TunnelSlotState.Action], _ logger: Logger
    ) {
        if ReconnectReason.ofDials.contains(ending.reason) { metrics.dialFailed(ending.reason) }
        var facts: Logger.Metadata = ["reason": "\(ending.reason.rawValue)", "error": "\(ending.detail)"]
        for case .resolve(let wait) in actions {
            metrics.reconnecting(ending.reason)
            facts["retry_in_ms"] = .stringConvertible(wait.nanoseconds / 1_000_000)
        }
        logger.warning(message, metadata: facts)
    }

    // MARK: Actions

    private func resolve(after wait: TimeAmount, _ post: AsyncStream<Event>.Continuation) async {
        do {
            try await Task.sleep(for: .nanoseconds(wait.nanoseconds))
            let dialer = try configuration.dialer()
            // A proxy resolves the name itself.
            post.yield(.resolved(dialer, dialer.proxy == nil ? try await configuration.resolve(dialer) : []))
        } catch {
            // A cancelled slot no longer listens.
            post.yield(.unresolved(TunnelEnding(dial: error)))
        }
    }

    private func lookAround(
        _ attempt: Int, after wait: TimeAmount, _ post: AsyncStream<Event>.Continuation
    ) async {
        while (try? await Task.sleep(for: .nanoseconds(wait.nanoseconds))) != nil {
            // What cannot be looked up now may be next time; the tunnel there is does its work meanwhile.
            guard let dialer = try? configuration.dialer(), let found = try? await configuration.resolve(dialer)
            else { continue }
            post.yield(.lookedAround(attempt, dialer, found))
            return
        }
    }

    private func begin(
        _ attempt: Int, _ address: String?, _ post: AsyncStream<Event>.Continuation
    ) -> Attempt {
        let id = TunnelID(slot: number, attempt: attempt)
        var logger = logger
        if let address { logger[metadataKey: "address"] = "\(address)" }
        var hello = configuration.hello
        hello.tunnel = number
        let members = members
        let session = AgentTunnelSession(
            hello: hello, upstream: upstream, syncer: syncer, status: status, logger: logger
        ) { notice in
            // The pool first: a role must not wait for this slot's loop.
            switch notice {
            case .established(let welcome):
                members.established(id, welcome)
                post.yield(.established(attempt, welcome))
            case .draining:
                members.draining(id)
                post.yield(.draining(attempt))
            }
        }
        members.dialling(id, address, session)
        return Attempt(session: session, logger: logger)
    }

    private func dial(
        _ attempt: Int, by dialer: TunnelDialer, to address: SocketAddress?, _ session: AgentTunnelSession,
        _ post: AsyncStream<Event>.Continuation
    ) async {
        let id = TunnelID(slot: number, attempt: attempt)
        do {
            let token = try configuration.tokenFile.read()
            var dialer = dialer
            dialer.loopNumber = number
            let tunnel = try await dialer.dial(
                address, token: token.reveal(), configuration: configuration.tunnel, observer: session)
            let outcome = await session.run(tunnel, grace: configuration.shutdownGrace)
            var ending = TunnelEnding(outcome)
            // One token has taken another's place: what was said of the old one tells nothing about the new.
            if case .unauthorized = ending.cause, let now = try? configuration.tokenFile.read(),
                now.reveal() != token.reveal()
            {
                ending.cause = outcome.lifetime.map { .lost(after: $0) } ?? .failed
            }
            if outcome.lifetime == nil {
                members.failed(id)
                post.yield(.failed(attempt, ending))
            } else {
                members.ended(id)
                post.yield(.ended(attempt, ending))
            }
        } catch {
            members.failed(id)
            post.yield(.failed(attempt, TunnelEnding(dial: error)))
        }
    }
}
