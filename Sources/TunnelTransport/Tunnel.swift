package import NIOCore
package import TunnelProtocol

/// A Sendable handle to one connected tunnel.
package final class Tunnel: Sendable {
    package let channel: any Channel
    /// How busy it is and what it has carried, readable from anywhere.
    package let vitals: TunnelVitals
    private let handler: NIOLoopBound<TunnelHandler>

    package var eventLoop: any EventLoop { channel.eventLoop }

    /// Called on the channel's event loop.
    init(channel: any Channel, handler: TunnelHandler) {
        self.channel = channel
        vitals = handler.vitals
        self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
    }

    /// Adds the tunnel to the pipeline of a connection whose WebSocket handshake is done. Call on its event loop.
    package static func install(
        on channel: any Channel, configuration: TunnelConfiguration, observer: any TunnelObserver
    ) throws -> Tunnel {
        let own = OwnTunnel()
        let handler = TunnelHandler(
            configuration: configuration, observer: observer, now: .now(), tunnel: { own.tunnel })
        let tunnel = Tunnel(channel: channel, handler: handler)
        own.tunnel = tunnel
        try channel.pipeline.syncOperations.addHandler(handler)
        return tunnel
    }

    /// The handler's way back to its handle; both are bound to one event loop.
    private final class OwnTunnel {
        weak var tunnel: Tunnel?
    }

    /// Sends a request on a new stream (gateway only). Call on `loop`, where the receiver lives.
    ///
    /// Refusals arrive as an event, because the tunnel may live on another event loop.
    package func open(
        _ head: RequestHead, endStream: Bool, receiver: any StreamReceiver, on loop: any EventLoop
    ) -> TunnelStream {
        let stream = TunnelStream(tunnelLoop: eventLoop, receiver: receiver, receiverLoop: loop)
        if eventLoop.inEventLoop {
            handler.value.open(head, endStream: endStream, as: stream)
        } else {
            onLoop { $0.open(head, endStream: endStream, as: stream) }
        }
        return stream
    }

    /// Sends a control message; a message after the end is dropped.
    package func send(_ message: ControlMessage) {
        let text = message.encoded()
        onLoop { $0.sendControl(text) }
    }

    /// Sends the text of a control message. Succeeds once all of it is with the socket, fails where the tunnel ends before.
    package func deliver(_ text: String) -> EventLoopFuture<Void> {
        let promise = eventLoop.makePromise(of: Void.self)
        onLoop { $0.sendControl(text, promise: promise) }
        return promise.futureResult
    }

    /// A control message of the peer changed nothing; too many of them are a violation.
    package func receivedUselessControl() {
        onLoop { $0.receivedUselessControl() }
    }

    /// Opens no more streams at once than this, because the peer takes no more.
    package func limitStreams(to count: Int) {
        onLoop { $0.limitStreams(to: count) }
    }

    /// Sends canaries through the data path (gateway only) and closes the tunnel where they are not answered. To be
    /// called once the peer may get streams.
    package func startCanaries(every interval: TimeAmount, timeout: TimeAmount) {
        onLoop { $0.startCanaries(every: interval, timeout: timeout) }
    }

    /// Closes the tunnel (agent only) when canaries came and come no more.
    package func expectCanaries(every interval: TimeAmount) {
        onLoop { $0.expectCanaries(every: interval) }
    }

    /// Tells the agent that the tunnel is about to end, so that it dials another; streams may be opened until `drain`
    /// (gateway only).
    package func announceDrain(detail: String) {
        onLoop { $0.announceDrain(detail: detail) }
    }

    /// Accepts (agent) or opens (gateway) no more streams and tells the peer; open streams go on.
    package func drain(detail: String) {
        onLoop { $0.drain(detail: detail) }
    }

    /// Drains, waits until no stream is open or the time is over, and closes. Callable from anywhere; does not wait.
    package func drainAndClose(within grace: TimeAmount) {
        drain(detail: "shutting down")
        let deadline = NIODeadline.now() + grace
        let handler = handler
        eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(20)) { task in
            guard handler.value.isQuiet || NIODeadline.now() >= deadline else { return }
            task.cancel()
            handler.value.close(.goingAway)
        }
    }

    package func close(_ reason: TunnelCloseReason) {
        onLoop { $0.close(reason) }
    }

    private func onLoop(_ body: @escaping @Sendable (TunnelHandler) -> Void) {
        let handler = handler
        if eventLoop.inEventLoop {
            body(handler.value)
        } else {
            eventLoop.execute { body(handler.value) }
        }
    }
}

/// What a tunnel tells its owner, on the tunnel's event loop; nothing here may block.
package protocol TunnelObserver: Sendable {
    /// A control message arrived. `false` means it cannot be taken: the tunnel is closed.
    func tunnelReceived(_ text: String) -> Bool
    /// The gateway opened a stream (agent only). `nil` refuses it.
    func streamOpened(_ head: RequestHead, endStream: Bool, on tunnel: Tunnel) -> (any AcceptedStreamReceiver)?
    /// The peer accepts no more streams (gateway), or soon opens none (agent); told once.
    func tunnelDraining(_ detail: String)
    /// A stream that the gateway opened was not taken, for want of room (agent only).
    func streamRefused(_ code: ResetCode, detail: String)
    /// The last call.
    func tunnelClosed(_ reason: TunnelCloseReason)
}

/// The receiver of a stream that the peer opened.
package protocol AcceptedStreamReceiver: StreamReceiver {
    /// The stream to answer on; called once, before any event.
    func attached(to stream: TunnelStream)
}

/// How a tunnel behaves.
package struct TunnelConfiguration: Sendable {
    package var role: Multiplexer.Role
    /// Streams open at once.
    package var maxStreams: Int
    package var flow: FlowLimits
    package var pingInterval: TimeAmount
    /// A peer from which nothing came for so long is dead.
    package var deadAfter: TimeAmount
    /// Between canaries (gateway only); `nil` for none.
    package var canaryInterval: TimeAmount?
    /// For the answer to a canary.
    package var canaryTimeout: TimeAmount

    package init(
        role: Multiplexer.Role, maxStreams: Int = 1024, flow: FlowLimits = FlowLimits(),
        pingInterval: TimeAmount = .seconds(10), deadAfter: TimeAmount = .seconds(30),
        canaryInterval: TimeAmount? = nil, canaryTimeout: TimeAmount = .seconds(5)
    ) {
        self.role = role
        self.maxStreams = maxStreams
        self.flow = flow
        self.pingInterval = pingInterval
        self.deadAfter = deadAfter
        self.canaryInterval = canaryInterval
        self.canaryTimeout = canaryTimeout
    }
}

/// Why a tunnel ended, as both sides log it.
package enum TunnelCloseReason: Hashable, Sendable, CustomStringConvertible {
    /// The connection ended without a goodbye.
    case disconnected
    case closedByPeer(code: UInt16, reason: String)
    /// The peer broke the protocol.
    case violated(ProtocolViolation)
    /// Nothing came from the peer for too long.
    case silent
    /// The connection lives and the data path behind it does not: no canary was answered (gateway), or none comes any
    /// more (agent).
    case unresponsive(String)
    /// This side is shutting down.
    case goingAway
    /// What let the peer in was withdrawn (gateway only).
    case revoked
    /// What let the peer in has expired (gateway only).
    case tokenExpired
    case failed(String)

    /// RFC 6455 §7.4.1.
    var webSocketCode: UInt16 {
        switch self {
        case .disconnected, .closedByPeer, .silent: WebSocketClose.normal
        case .goingAway: WebSocketClose.goingAway
        case .violated(let violation): WebSocketClose.code(for: violation)
        case .revoked, .tokenExpired: WebSocketClose.policyViolation
        case .failed, .unresponsive: WebSocketClose.internalError
        }
    }

    /// What the peer is told before the close, where it is not this side's affair alone.
    var told: ControlMessage.ControlError? {
        switch self {
        case .violated(let violation): .init(code: violation.code.rawValue, message: violation.detail)
        case .unresponsive(let detail): .init(code: "canary_failed", message: detail)
        case .revoked: .init(code: "revoked", message: "the credential of this tunnel was withdrawn")
        case .tokenExpired: .init(code: "token_expired", message: "the credential of this tunnel has expired")
        case .disconnected, .closedByPeer, .silent, .goingAway, .failed: nil
        }
    }

    package var description: String {
        switch self {
        case .disconnected: "disconnected"
        case .closedByPeer(let code, let reason): "closed by the peer: \(code) \(reason)"
        case .violated(let violation): "protocol violation: \(violation)"
        case .silent: "silent"
        case .unresponsive(let detail): "unresponsive: \(detail)"
        case .goingAway: "going away"
        case .revoked: "revoked"
        case .tokenExpired: "token expired"
        case .failed(let error): "failed: \(error)"
        }
    }
}
