import Logging
import Metrics
import NIOCore
import Synchronization
import Telemetry
import TunnelProtocol
import TunnelTransport

/// One tunnel at the agent: its control channel, and the way in for its streams.
///
/// Messages arrive on the event loop and are handled, in order, by `run`; streams never leave the event loop.
final class AgentTunnelSession: TunnelObserver {
    private enum Event: Sendable {
        case received(String)
        case handshakeTimedOut
    }

    /// How a tunnel ended.
    struct Outcome: Sendable {
        var reason: TunnelCloseReason
        /// What the gateway asked for before it closed.
        var retryAfter: TimeAmount?
        /// Since the welcome; `nil` if none came.
        var lifetime: TimeAmount?
    }

    /// What the owner of a tunnel has to know at once; told on the control path or on the event loop.
    enum Notice: Sendable {
        case established(ControlMessage.Welcome)
        /// The gateway asks for a replacement; the tunnel goes on for a while.
        case draining
    }

    private static let handshakeTimeout = TimeAmount.seconds(10)
    /// Messages that may wait; a gateway that sends faster than they are handled is cut off.
    private static let inboxSize = 256
    private static let metricsInterval = Duration.seconds(5)

    private let hello: ControlMessage.Hello
    private let upstream: UpstreamPools
    private let syncer: any RouteSyncing
    private let status: TunnelStatus
    private let failures: StreamFailures
    private let pacing = ControlPacing()
    private let logger: Logger
    private let notify: @Sendable (Notice) -> Void
    private let inbox: AsyncStream<Event>
    private let post: AsyncStream<Event>.Continuation
    /// Set once the tunnel is closed, before the inbox ends.
    private let closeReason = Mutex<TunnelCloseReason?>(nil)
    /// Set while the tunnel is served.
    private let tunnel = Mutex<Tunnel?>(nil)
    /// The latest one counts.
    private let roles: AsyncStream<TunnelRole>
    private let assign: AsyncStream<TunnelRole>.Continuation

    /// - Parameter notify: must not block.
    init(
        hello: ControlMessage.Hello, upstream: UpstreamPools, syncer: any RouteSyncing, status: TunnelStatus,
        logger: Logger, notify: @escaping @Sendable (Notice) -> Void
    ) {
        self.hello = hello
        self.upstream = upstream
        self.syncer = syncer
        self.status = status
        failures = StreamFailures(logger: logger)
        self.logger = logger
        self.notify = notify
        (roles, assign) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (inbox, post) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.inboxSize))
    }

    /// Which of the agent's tunnels this is, as metrics name it.
    private var slot: String { "\(hello.tunnel)" }

    // MARK: On the event loop

    func tunnelReceived(_ text: String) -> Bool {
        if case .dropped = post.yield(.received(text)) { return false }
        return true
    }

    func streamOpened(_ head: RequestHead, endStream: Bool, on tunnel: Tunnel) -> (any AcceptedStreamReceiver)? {
        guard !head.isCanary else { return CanaryAnswer(endStream: endStream) }
        guard let pool = upstream.pool(on: tunnel.eventLoop) else { return nil }
        if head.isExplain { return ExplainAnswer(head: head, pool: pool) }
        return UpstreamExchange(head: head, endStream: endStream, pool: pool, failures: failures)
    }

    func tunnelDraining(_ detail: String) {
        logger.info("Tunnel drained by the gateway", metadata: ["reason": "\(detail)"])
        notify(.draining)
    }

    func streamRefused(_ code: ResetCode, detail: String) {
        failures.record(StreamFailure(code: code, detail: detail))
    }

    func tunnelClosed(_ reason: TunnelCloseReason) {
        // The end of the inbox is told even when it is full; the reason is kept beside it.
        closeReason.withLock { $0 = reason }
        status.ended(reason)
        post.finish()
    }

    // MARK: On the control path

    /// From now on the tunnel publishes, or does not. Callable from anywhere.
    func take(_ role: TunnelRole) { assign.yield(role) }

    /// Lets the tunnel end once its streams have, or the time is over. Callable from anywhere; does not wait.
    func retire(within grace: TimeAmount) { tunnel.withLock { $0 }?.drainAndClose(within: grace) }

    /// Serves the tunnel until it is closed. When the task is cancelled the tunnel is drained and closed within `grace`.
    func run(_ tunnel: Tunnel, grace: Duration) async -> Outcome {
        self.tunnel.withLock { $0 = tunnel }
        defer { self.tunnel.withLock { $0 = nil } }
        return await withTaskCancellationHandler {
            let outcome = await serve(tunnel)
            // A cancelled task sees the end of the inbox at once; the open streams have the grace time.
            try? await tunnel.channel.closeFuture.get()
            return outcome
        } onCancel: {
            tunnel.drainAndClose(within: Self.drainTime(within: grace))
        }
    }

    /// What of the grace time the streams have: the goodbye takes its share.
    private static func drainTime(within grace: Duration) -> TimeAmount {
        max(TimeAmount(grace) - TunnelHandler.goodbyeTimeout - TunnelHandler.secureGoodbyeTimeout, .zero)
    }

    private func serve(_ tunnel: Tunnel) async -> Outcome {
        var machine = AgentSession()
        var reports = LineLimit()
        var retryAfter: TimeAmount?
        var establishedAt: NIODeadline?
        var registry = ""
        var logger = logger
        let post = post
        tunnel.eventLoop.scheduleTask(in: Self.handshakeTimeout) { post.yield(.handshakeTimedOut) }
        await withTaskGroup(of: Void.self) { publishing in
            publishing.addTask { await self.failures.run() }
            publishing.addTask { await self.follow(tunnel.vitals) }
            var action: AgentSession.Action? = machine.connected(hello)
            var events = inbox.makeAsyncIterator()
            repeat {
                switch action {
                case .send(let message):
                    if case .error = message { tunnel.receivedUselessControl() }
                    send(message, on: tunnel)
                case .established(let welcome):
                    establishedAt = .now()
                    registry = welcome.registry ?? ""
                    status.connected()
                    if let interval = welcome.canaryIntervalMilliseconds {
                        tunnel.expectCanaries(every: .milliseconds(Int64(min(interval, 3_600_000))))
                    }
                    logger[metadataKey: "gateway"] = "\(welcome.instanceID)"
                    logger.info("Tunnel connected", metadata: ["tunnel": "\(welcome.tunnelID)"])
                    publishing.addTask { await self.followRole(on: tunnel, welcome) }
                    notify(.established(welcome))
                case .acknowledged(let ack):
                    syncer.received(ack, from: registry)
                case .resyncRequested(let reason):
                    syncer.resyncRequested(reason: reason, by: registry)
                case .told(let error):
                    retryAfter = error.retryAfterMilliseconds.map { .milliseconds(Int64($0)) }
                    tunnel.receivedUselessControl()
                    if let heldBack = reports.pass(at: .now()) {
                        logger.warning(
                            "Gateway reported an error",
                            metadata: [
                                "code": "\(error.code)", "detail": "\(error.message)",
                                "held_back": .stringConvertible(heldBack),
                            ])
                    }
                case .note(let text):
                    logger.debug("Control message noted", metadata: ["note": "\(text)"])
                case .close(let violation):
                    logger.warning("Tunnel violated the protocol", metadata: ["reason": "\(violation)"])
                    tunnel.close(.violated(violation))
                case .heartbeatAcknowledged:
                    pacing.heartbeatAnswered()
                case nil:
                    break
                }
                action = nil
                switch await events.next(isolation: nil) {
                case .received(let text):
                    logger.debug("Control message received", metadata: ["message": "\(text)"])
                    action = machine.received(ControlMessage.decode(text))
                case .handshakeTimedOut: action = machine.handshakeTimedOut()
                case nil:
                    publishing.cancelAll()
                    return
                }
            } while true
        }
        if establishedAt != nil { status.disconnected() }
        return Outcome(
            reason: closeReason.withLock { $0 } ?? .disconnected, retryAfter: retryAfter,
            lifetime: establishedAt.map { .now() - $0 })
    }

    /// Does what each role asks for until the next one comes, or the task is cancelled.
    private func followRole(on tunnel: Tunnel, _ welcome: ControlMessage.Welcome) async {
        let interval = Duration.milliseconds(max(welcome.heartbeatIntervalMilliseconds, 100))
        var roles = roles.makeAsyncIterator()
        var next = await roles.next(isolation: nil)
        while let role = next {
            next = await withTaskGroup(of: Void.self) { work in
                work.addTask {
                    if role == .publisher {
                        await self.publish(on: tunnel, to: welcome.registry ?? "", every: interval)
                    }
                    // Also where a newer session has taken over before this tunnel is told.
                    await self.standBy(on: tunnel, every: interval)
                }
                let next = await roles.next(isolation: nil)
                work.cancelAll()
                return next
            }
        }
    }

    private func standBy(on tunnel: Tunnel, every interval: Duration) async {
        while !Task.isCancelled {
            let heartbeat = ControlMessage.heartbeat(syncer.standbyHeartbeat)
            note(sent: heartbeat)
            try? await pacing.hand(heartbeat, to: tunnel)
            try? await Task.sleep(for: interval)
        }
    }

    private func publish(on tunnel: Tunnel, to registry: String, every interval: Duration) async {
        do {
            try await pacing.publish(on: tunnel, askEvery: interval) {
                .heartbeat(self.syncer.standbyHeartbeat)
            } _: { send in
                try await self.syncer.runSession(registry: registry, heartbeatInterval: interval) { message in
                    self.note(sent: message)
                    try await send(message)
                }
            }
        } catch is CancellationError {
            // The tunnel is over, or stands by from now on.
        } catch {
            logger.error("Routes cannot be published", metadata: ["error": "\(error)"])
            tunnel.close(.failed("routes cannot be published"))
        }
    }

    /// Turns what the tunnel publishes into metrics until it is over.
    private func follow(_ vitals: TunnelVitals) async {
        let labels = [("tunnel", slot)]
        var series = TunnelSeries(prefix: "agent_tunnel", counters: labels, gauges: labels)
        repeat { series.update(vitals.latest) } while (try? await Task.sleep(for: Self.metricsInterval)) != nil
        series.end(vitals.latest)
    }

    private func send(_ message: ControlMessage, on tunnel: Tunnel) {
        note(sent: message)
        tunnel.send(message)
    }

    private func note(sent message: ControlMessage) {
        logger.debug("Control message sent", metadata: ["message": "\(message.encoded())"])
    }
}

/// Whether a tunnel is up, for the readiness probe and for metrics.
package final class TunnelStatus: Sendable {
    private let live = Mutex(0)
    private let gauge = Meter(label: "agent_tunnels_connected")
    private let violations = EnumeratedCounters<ProtocolViolation.Code>("agent_tunnel_violations_total")
    private let canaryFailures = Counter(label: "agent_tunnel_canary_failures_total")

    package init() { gauge.set(0) }

    /// A tunnel has ended, whoever closed it.
    func ended(_ reason: TunnelCloseReason) {
        switch reason {
        case .violated(let violation): violations.count(violation.code)
        case .unresponsive: canaryFailures.increment()
        default: break
        }
    }

    package var isConnected: Bool { live.withLock { $0 > 0 } }
    func connected() { change(by: 1) }
    func disconnected() { change(by: -1) }

    private func change(by difference: Int) {
        live.withLock { live in
            live += difference
            gauge.set(live)
        }
    }
}
