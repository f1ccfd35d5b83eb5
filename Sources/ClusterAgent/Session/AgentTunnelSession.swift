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

    private static let handshakeTimeout = TimeAmount.seconds(10)
    /// Messages that may wait; a gateway that sends faster than they are handled is cut off.
    private static let inboxSize = 256
    private static let metricsInterval = Duration.seconds(5)

    private let hello: ControlMessage.Hello
    private let upstream: UpstreamPools
    private let syncer: any RouteSyncing
    private let status: TunnelStatus
    private let failures: StreamFailures
    private let logger: Logger
    private let inbox: AsyncStream<Event>
    private let post: AsyncStream<Event>.Continuation
    /// Set once the tunnel is closed, before the inbox ends.
    private let closeReason = Mutex<TunnelCloseReason?>(nil)

    init(
        hello: ControlMessage.Hello, upstream: UpstreamPools, syncer: any RouteSyncing, status: TunnelStatus,
        logger: Logger
    ) {
        self.hello = hello
        self.upstream = upstream
        self.syncer = syncer
        self.status = status
        failures = StreamFailures(logger: logger)
        self.logger = logger
        (inbox, post) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.inboxSize))
    }

    /// Which of the agent's tunnels this is, as metrics name it.
    private var slot: String { "0" }

    // MARK: On the event loop

    func tunnelReceived(_ text: String) -> Bool {
        if case .dropped = post.yield(.received(text)) { return false }
        return true
    }

    func streamOpened(_ head: RequestHead, endStream: Bool, on tunnel: Tunnel) -> (any AcceptedStreamReceiver)? {
        guard !head.isCanary else { return CanaryAnswer(endStream: endStream) }
        guard let pool = upstream.pool(on: tunnel.eventLoop) else { return nil }
        return UpstreamExchange(head: head, endStream: endStream, pool: pool, failures: failures)
    }

    func tunnelDraining(_ detail: String) {
        logger.info("Tunnel drained by the gateway", metadata: ["reason": "\(detail)"])
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

    /// Serves the tunnel until it is closed. When the task is cancelled the tunnel is drained and closed within `grace`.
    func run(_ tunnel: Tunnel, grace: Duration) async -> Outcome {
        await withTaskCancellationHandler {
            let outcome = await serve(tunnel)
            // A cancelled task sees the end of the inbox at once; the open streams have the grace time.
            try? await tunnel.channel.closeFuture.get()
            return outcome
        } onCancel: {
            tunnel.drainAndClose(within: TimeAmount(grace))
        }
    }

    private func serve(_ tunnel: Tunnel) async -> Outcome {
        var machine = AgentSession()
        var retryAfter: TimeAmount?
        var establishedAt: NIODeadline?
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
                    send(message, on: tunnel)
                case .established(let welcome):
                    establishedAt = .now()
                    status.connected()
                    if let interval = welcome.canaryIntervalMilliseconds {
                        tunnel.expectCanaries(every: .milliseconds(Int64(min(interval, 3_600_000))))
                    }
                    logger.info(
                        "Tunnel connected",
                        metadata: ["gateway": "\(welcome.instanceID)", "tunnel": "\(welcome.tunnelID)"])
                    publishing.addTask { await self.publish(on: tunnel, every: welcome.heartbeatIntervalMilliseconds) }
                case .acknowledged(let ack):
                    syncer.received(ack)
                case .resyncRequested(let reason):
                    syncer.resyncRequested(reason: reason)
                case .told(let error):
                    retryAfter = error.retryAfterMilliseconds.map { .milliseconds(Int64($0)) }
                    logger.warning(
                        "Gateway reported an error",
                        metadata: ["code": "\(error.code)", "detail": "\(error.message)"])
                case .note(let text):
                    logger.debug("Control message noted", metadata: ["note": "\(text)"])
                case .close(let violation):
                    logger.warning("Tunnel violated the protocol", metadata: ["reason": "\(violation)"])
                    tunnel.close(.violated(violation))
                case .heartbeatAcknowledged, nil:
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

    private func publish(on tunnel: Tunnel, every milliseconds: Int) async {
        do {
            try await syncer.runSession(heartbeatInterval: .milliseconds(max(milliseconds, 100))) { message in
                self.send(message, on: tunnel)
            }
        } catch is CancellationError {
            // The tunnel is over.
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
        logger.debug("Control message sent", metadata: ["message": "\(message.encoded())"])
        tunnel.send(message)
    }
}

/// Whether a tunnel is up, for the readiness probe and for metrics.
package final class TunnelStatus: Sendable {
    private let live = Mutex(0)
    private let gauge = Meter(label: "agent_tunnels_connected")
    private let violations = ReasonCounters(
        "agent_tunnel_violations_total", reasons: ProtocolViolation.Code.allCases.map(\.rawValue))
    private let canaryFailures = Counter(label: "agent_tunnel_canary_failures_total")

    package init() { gauge.set(0) }

    /// A tunnel has ended, whoever closed it.
    func ended(_ reason: TunnelCloseReason) {
        switch reason {
        case .violated(let violation): violations.count(violation.code.rawValue)
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
