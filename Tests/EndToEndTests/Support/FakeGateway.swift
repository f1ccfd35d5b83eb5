import ClusterAgent
import NIOCore
import NIOHTTP1
import Synchronization
import TestSupport
import Testing
import TunnelProtocol

@testable import TunnelTransport

/// A gateway that welcomes one agent after another and sends whatever frames the test wants.
final class FakeGateway: TunnelAdmission {
    /// What one tunnel's agent said, in control messages, from the first to the latest.
    struct Told: Sendable {
        var messages: [ControlMessage] = []

        var number: Int? {
            messages.lazy.compactMap { if case .hello(let hello) = $0 { hello.tunnel } else { nil } }.first
        }
        var syncs: Int {
            messages.count { if case .ingressRoutes(let routes) = $0 { routes.action == .sync } else { false } }
        }
        var standbyHeartbeats: Int {
            messages.count { if case .heartbeat(let beat) = $0 { beat.revision == -1 } else { false } }
        }
    }

    private struct State {
        var tunnels: [Tunnel] = []
        var told: [Told] = []
        /// Frames from the agent, as text.
        var frames: [String] = []
        var errors: [String] = []
        var closed: [TunnelCloseReason] = []
        var canaryInterval: Int?
    }

    private let state = Mutex(State())
    private let instance: String
    private let registry: String?
    private let heartbeatInterval: Int
    /// Answers a handshake in place of a tunnel, where it says so.
    private let refusal: @Sendable (HTTPRequestHead) -> TunnelRefusal?

    /// - Parameter heartbeatInterval: in milliseconds.
    init(
        instance: String = "fake", registry: String? = nil, heartbeatInterval: Int = 60_000,
        refusal: @escaping @Sendable (HTTPRequestHead) -> TunnelRefusal? = { _ in nil }
    ) {
        self.instance = instance
        self.registry = registry
        self.heartbeatInterval = heartbeatInterval
        self.refusal = refusal
    }

    /// By tunnel, in the order in which they came.
    var told: [Told] { state.withLock { $0.told } }
    /// In the order in which they came, those that have ended included.
    var tunnels: [Tunnel] { state.withLock { $0.tunnels } }
    var frames: [String] { state.withLock { $0.frames } }
    var errors: [String] { state.withLock { $0.errors } }
    var closed: [TunnelCloseReason] { state.withLock { $0.closed } }
    var tunnelCount: Int { state.withLock { $0.tunnels.count } }

    /// Frames in one message, past the gateway's own rules.
    func send(_ frames: Frame...) {
        var payload = ByteBuffer()
        for frame in frames { payload.writeFrame(frame) }
        message(WebSocketOpcode.binary, payload)
    }

    /// A WebSocket message on the newest tunnel, whatever it holds.
    func message(_ opcode: UInt8, _ payload: ByteBuffer) { messages([(opcode, payload)]) }

    /// WebSocket messages on the newest tunnel, all on the same: what they hold may make the agent dial another.
    func messages(_ messages: [(opcode: UInt8, payload: ByteBuffer)]) {
        guard let tunnel = state.withLock({ $0.tunnels.last }) else { return }
        var writer = WebSocketWriter(role: .server)
        for (opcode, payload) in messages {
            tunnel.channel.writeAndFlush(writer.raw(opcode, payload), promise: nil)
        }
    }

    /// Ends the tunnel, and tells those to come that it will send canaries.
    func announceCanaries(everyMilliseconds interval: Int) {
        let tunnel = state.withLock { state in
            state.canaryInterval = interval
            return state.tunnels.last
        }
        tunnel?.close(.goingAway)
    }

    /// A request on a stream, with a window for its answer.
    static func request(
        _ id: UInt32 = 1, _ method: String = "GET", _ target: String = "/", fields: HeaderFields = [:], end: Bool = true
    ) -> Frame {
        .headers(
            StreamID(id),
            .request(RequestHead(method: method, authority: "app.test", target: target, window: 65536, fields: fields)),
            endStream: end)
    }

    func admit(_ request: TunnelRequest) -> EventLoopFuture<Void> {
        refusal(request.head).map { request.eventLoop.makeFailedFuture($0) }
            ?? request.eventLoop.makeSucceededVoidFuture()
    }
    func refused(_ refusal: TunnelRefusal, from remote: SocketAddress?) {}
    func observer(for identity: Void) -> any TunnelObserver {
        Observer(
            gateway: self,
            index: state.withLock { state in
                state.told.append(Told())
                return state.told.count - 1
            })
    }
    func configuration(for identity: Void) -> TunnelConfiguration { TunnelConfiguration(role: .gateway) }

    func accepted(_ tunnel: Tunnel, identity: Void, observer: any TunnelObserver, from remote: SocketAddress?) {
        // Before the tunnel's own handler, which knows nothing of the streams that the test opens.
        let tap = FrameTap { [self] frame in state.withLock { $0.frames.append(frame) } }
        try? tunnel.channel.pipeline.syncOperations.addHandler(tap, position: .first)
        let canaryInterval = state.withLock { state in
            state.tunnels.append(tunnel)
            return state.canaryInterval
        }
        tunnel.send(
            .welcome(
                .init(
                    version: 1, instanceID: instance, tunnelID: "t", gatewayDomain: "gateway.test",
                    heartbeatIntervalMilliseconds: heartbeatInterval, canaryIntervalMilliseconds: canaryInterval,
                    registry: registry)))
    }

    private struct Observer: TunnelObserver {
        let gateway: FakeGateway
        let index: Int

        func tunnelReceived(_ text: String) -> Bool {
            guard case .message(let message) = ControlMessage.decode(text) else { return true }
            gateway.state.withLock { state in
                state.told[index].messages.append(message)
                if case .error(let error) = message { state.errors.append(error.code) }
            }
            return true
        }
        func streamOpened(_ head: RequestHead, endStream: Bool, on tunnel: Tunnel) -> (any AcceptedStreamReceiver)? {
            nil
        }
        func tunnelDraining(_ detail: String) {}
        func streamRefused(_ code: ResetCode, detail: String) {}
        func tunnelClosed(_ reason: TunnelCloseReason) { gateway.state.withLock { $0.closed.append(reason) } }
    }
}

/// Reads the agent's frames and keeps them from the tunnel, which would take them for violations.
private final class FrameTap: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private var reader = WebSocketReader(role: .server)
    private let found: (String) -> Void

    init(_ found: @escaping (String) -> Void) { self.found = found }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        reader.append(unwrapInboundIn(data))
        do {
            while let message = try reader.next() {
                guard case .binary(let payload) = message else {
                    pass(message, context)
                    continue
                }
                var frames = FrameReader(payload)
                while let frame = try frames.next() { found(Self.text(frame)) }
            }
        } catch {
            found("violation \(error)")
        }
    }

    /// Control frames and text go on as they were.
    private func pass(_ message: WebSocketMessage, _ context: ChannelHandlerContext) {
        var writer = WebSocketWriter(role: .client)
        let (opcode, payload): (UInt8, ByteBuffer) =
            switch message {
            case .text(let text): (WebSocketOpcode.text, ByteBuffer(string: text))
            case .ping(let payload): (WebSocketOpcode.ping, payload)
            case .pong(let payload): (WebSocketOpcode.pong, payload)
            case .close(let code, let reason):
                (WebSocketOpcode.close, Self.closeBody(code ?? 1000, reason))
            case .binary(let payload): (WebSocketOpcode.binary, payload)
            }
        var bytes = writer.startMessage(capacity: payload.readableBytes, allocator: context.channel.allocator)
        bytes.writeImmutableBuffer(payload)
        writer.finish(&bytes, opcode: opcode)
        context.fireChannelRead(wrapInboundOut(bytes))
    }

    private static func closeBody(_ code: UInt16, _ reason: String) -> ByteBuffer {
        var body = ByteBuffer(integer: code)
        body.writeString(reason)
        return body
    }

    private static func text(_ frame: Frame) -> String {
        switch frame {
        case .headers(let id, .response(let head), let end): "head \(id) \(head.status)\(end ? " end" : "")"
        case .headers(let id, _, _): "headers \(id)"
        case .data(let id, let bytes, let end): "data \(id) \(String(buffer: bytes))\(end ? " end" : "")"
        case .window(let id, _): "window \(id)"
        case .reset(let id, let code, _): "reset \(id) \(code)"
        case .goAway: "goaway"
        }
    }
}

/// Runs an agent against a fake gateway for as long as `body` takes.
func withAgent(
    _ options: StackOptions = StackOptions(), backend script: @escaping Backend.Script,
    _ body: @escaping @Sendable (FakeGateway, Backend) async throws -> Void
) async throws {
    let backend = try await Backend()
    let parts = try await Parts(options, backend: backend)
    defer { parts.removeFiles() }
    let gateway = FakeGateway()
    let listener = try await TunnelAcceptor.bind(
        host: "127.0.0.1", port: 0, tls: { nil }, admission: gateway, group: Loops.tunnels)
    let pool = try parts.pool(options, port: try #require(listener.localAddress?.port))
    try await withServices([{ await backend.run(script) }, pool.run], within: .seconds(20)) {
        try await eventually("the agent is connected") { parts.status.isConnected }
        try await body(gateway, backend)
    }
    try? await listener.close()
}
