import NIOCore
import NIOHTTP1
import Synchronization
import TestSupport
import Testing
import TunnelProtocol

@testable import TunnelTransport

/// An agent that keeps the handshake's rules and after that sends whatever frames the test wants.
final class FakeAgent: Sendable {
    private struct State {
        var tunnel: Tunnel?
        var texts: [String] = []
        var requests: [RequestHead] = []
        var events: [String] = []
        var received = 0
        var closed: TunnelCloseReason?
    }

    private let state = Mutex(State())

    private init() {}

    /// Dials with a token; says nothing yet.
    static func dial(_ stack: Stack, token: String = "token-a") async throws -> FakeAgent {
        let agent = FakeAgent()
        let dialer = TunnelDialer(host: "127.0.0.1", port: stack.agentPort, tls: nil, group: Loops.tunnels)
        let tunnel = try await dialer.dial(
            token: token, configuration: TunnelConfiguration(role: .agent), observer: Observer(agent: agent))
        agent.state.withLock { $0.tunnel = tunnel }
        return agent
    }

    /// Dials, is welcomed, and advertises `app.test` for its cluster.
    static func connect(
        _ stack: Stack, cluster: String = "a", host: String = "app.test"
    ) async throws -> FakeAgent {
        let agent = try await dial(stack, token: "token-\(cluster)")
        agent.send(.hello(hello("cluster-\(cluster)")))
        agent.send(.ingressRoutes(routes("cluster-\(cluster)", host: host)))
        try await eventually("the routes are acknowledged") { agent.acks.count == 1 }
        return agent
    }

    static func hello(_ cluster: String) -> ControlMessage.Hello {
        .init(versions: [1], clusterUUID: cluster, agentID: "fake", agentVersion: "0", maxStreams: 100)
    }

    static func routes(_ cluster: String, host: String) -> ControlMessage.IngressRoutes {
        .init(
            action: .sync, clusterUUID: cluster,
            routes: [
                AdvertisedRoute(
                    host: host, path: "/", pathType: "Prefix", service: "web", namespace: "default", port: 80,
                    tls: false, annotations: [:])
            ], revision: 1)
    }

    // MARK: What came

    var requests: [RequestHead] { state.withLock { $0.requests } }
    /// Events of streams, as text.
    var events: [String] { state.withLock { $0.events } }
    /// Bytes of bodies on all streams.
    var received: Int { state.withLock { $0.received } }
    var closed: TunnelCloseReason? { state.withLock { $0.closed } }

    private var messages: [ControlMessage] {
        state.withLock { $0.texts }.compactMap {
            if case .message(let message) = ControlMessage.decode($0) { message } else { nil }
        }
    }
    var acks: [ControlMessage.IngressRoutesAck] {
        messages.compactMap { if case .ingressRoutesAck(let ack) = $0 { ack } else { nil } }
    }
    var errors: [ControlMessage.ControlError] {
        messages.compactMap { if case .error(let error) = $0 { error } else { nil } }
    }
    var resyncs: [String] {
        messages.compactMap { if case .resync(let resync) = $0 { resync.reason } else { nil } }
    }
    var isWelcome: Bool {
        messages.contains { if case .welcome = $0 { true } else { false } }
    }

    /// Waits for the request of the stream with this number, counted from 1.
    func request(_ number: Int = 1) async throws -> RequestHead {
        try await eventually("request \(number) arrives") { self.requests.count >= number }
        return requests[number - 1]
    }

    // MARK: What it says

    private var tunnel: Tunnel? { state.withLock { $0.tunnel } }

    func send(_ message: ControlMessage) { tunnel?.send(message) }
    func sendText(_ text: String) { message(WebSocketOpcode.text, ByteBuffer(string: text)) }

    /// Frames in one message, past the agent's own rules.
    func send(_ frames: Frame...) {
        var payload = ByteBuffer()
        for frame in frames { payload.writeFrame(frame) }
        message(WebSocketOpcode.binary, payload)
    }

    func sendBytes(_ bytes: [UInt8]) { message(WebSocketOpcode.binary, ByteBuffer(bytes: bytes)) }

    func disconnect() { tunnel?.channel.close(promise: nil) }

    /// A WebSocket message, whatever it holds.
    func message(_ opcode: UInt8, _ payload: ByteBuffer) {
        var writer = WebSocketWriter(role: .client)
        tunnel?.channel.writeAndFlush(writer.raw(opcode, payload), promise: nil)
    }

    private struct Observer: TunnelObserver {
        let agent: FakeAgent

        func tunnelReceived(_ text: String) -> Bool {
            agent.state.withLock { $0.texts.append(text) }
            return true
        }
        func streamOpened(_ head: RequestHead, endStream: Bool, on tunnel: Tunnel) -> (any AcceptedStreamReceiver)? {
            agent.state.withLock { $0.requests.append(head) }
            return Receiver(agent: agent)
        }
        func tunnelDraining(_ detail: String) {}
        func streamRefused(_ code: ResetCode, detail: String) {}
        func tunnelClosed(_ reason: TunnelCloseReason) { agent.state.withLock { $0.closed = reason } }
    }

    private final class Receiver: AcceptedStreamReceiver {
        private let agent: FakeAgent
        init(agent: FakeAgent) { self.agent = agent }
        func attached(to stream: TunnelStream) {}
        func receivedBurst() {}
        func received(_ event: StreamEvent) {
            let text =
                switch event {
                case .data(let bytes, let end): "data \(bytes.readableBytes)\(end ? " end" : "")"
                case .trailers: "trailers"
                case .reset(let code, _): "reset \(code)"
                case .lost: "lost"
                case .head, .refused, .holdBack, .resume: "\(event)"
                }
            agent.state.withLock { state in
                state.events.append(text)
                if case .data(let bytes, _) = event { state.received += bytes.readableBytes }
            }
        }
    }
}
