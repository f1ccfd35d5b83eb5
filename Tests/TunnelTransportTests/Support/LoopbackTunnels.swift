import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport
import Testing
import TunnelProtocol

@testable import TunnelTransport

/// Keeps what a tunnel tells its owner.
final class RecordingObserver: TunnelObserver {
    struct Seen {
        var texts: [String] = []
        var drains: [String] = []
        var closed: [TunnelCloseReason] = []
        var streams: [RecordingReceiver] = []
    }

    let seen = Mutex(Seen())
    private let takesControl: Bool
    private let acceptsStreams: Bool

    init(takesControl: Bool = true, acceptsStreams: Bool = true) {
        self.takesControl = takesControl
        self.acceptsStreams = acceptsStreams
    }

    var texts: [String] { seen.withLock { $0.texts } }
    var closed: [TunnelCloseReason] { seen.withLock { $0.closed } }
    var drains: [String] { seen.withLock { $0.drains } }
    var streams: [RecordingReceiver] { seen.withLock { $0.streams } }

    func tunnelReceived(_ text: String) -> Bool {
        seen.withLock { $0.texts.append(text) }
        return takesControl
    }

    func streamOpened(_ head: RequestHead, endStream: Bool, on tunnel: Tunnel) -> (any AcceptedStreamReceiver)? {
        guard acceptsStreams else { return nil }
        let receiver = RecordingReceiver(head: head)
        seen.withLock { $0.streams.append(receiver) }
        return receiver
    }

    func tunnelDraining(_ detail: String) { seen.withLock { $0.drains.append(detail) } }
    func streamRefused(_ code: ResetCode, detail: String) {}
    func tunnelClosed(_ reason: TunnelCloseReason) { seen.withLock { $0.closed.append(reason) } }
}

/// Keeps what a stream tells its user, as text.
final class RecordingReceiver: AcceptedStreamReceiver, Sendable {
    struct Seen {
        var stream: TunnelStream?
        var events: [String] = []
        var body = ByteBuffer()
        var bursts = 0
    }

    let head: RequestHead?
    let seen = Mutex(Seen())

    init(head: RequestHead? = nil) { self.head = head }

    var events: [String] { seen.withLock { $0.events } }
    var body: String { seen.withLock { String(buffer: $0.body) } }
    var stream: TunnelStream? { seen.withLock { $0.stream } }

    func attached(to stream: TunnelStream) { seen.withLock { $0.stream = stream } }

    func received(_ event: StreamEvent) {
        seen.withLock { seen in
            switch event {
            case .head(let head, let end): seen.events.append("head \(head.status)\(end ? " end" : "")")
            case .data(let bytes, let end):
                seen.body.writeImmutableBuffer(bytes)
                if end { seen.events.append("end") }
            case .trailers(let fields): seen.events.append("trailers \(fields.map { "\($0.name)=\($0.value)" })")
            case .reset(let code, let detail): seen.events.append("reset \(code) \(detail)")
            case .lost: seen.events.append("lost")
            case .refused(let refusal): seen.events.append("refused \(refusal)")
            case .holdBack: seen.events.append("holdBack")
            case .resume: seen.events.append("resume")
            }
        }
    }

    func receivedBurst() { seen.withLock { $0.bursts += 1 } }
}

/// Lets in whoever says "good", and keeps the tunnels.
final class TestAdmission: TunnelAdmission {
    struct Accepted: Sendable {
        var tunnel: Tunnel
        var observer: RecordingObserver
    }

    let accepted = Mutex<[Accepted]>([])
    let refusals = Mutex<[TunnelRefusal]>([])
    private let tunnelConfiguration: TunnelConfiguration
    private let takesControl: Bool

    init(_ configuration: TunnelConfiguration = TunnelConfiguration(role: .gateway), takesControl: Bool = true) {
        tunnelConfiguration = configuration
        self.takesControl = takesControl
    }

    func admit(_ request: TunnelRequest) -> EventLoopFuture<String> {
        switch TunnelHandshake.bearerToken(request.head.headers) {
        case "good": request.eventLoop.makeSucceededFuture("cluster")
        case "late":
            request.eventLoop.scheduleTask(in: .milliseconds(20)) { "cluster" }.futureResult
        case "busy":
            request.eventLoop.makeFailedFuture(TunnelRefusal(.overloaded, "too many tunnels", retryAfter: 7))
        default:
            request.eventLoop.makeFailedFuture(TunnelRefusal(.unauthorized, "the token belongs to no cluster"))
        }
    }

    func refused(_ refusal: TunnelRefusal, from remote: SocketAddress?) { refusals.withLock { $0.append(refusal) } }
    func observer(for identity: String) -> any TunnelObserver { RecordingObserver(takesControl: takesControl) }
    func configuration(for identity: String) -> TunnelConfiguration { tunnelConfiguration }

    func accepted(
        _ tunnel: Tunnel, identity: String, observer: any TunnelObserver, from remote: SocketAddress?
    ) {
        guard let observer = observer as? RecordingObserver else { return }
        accepted.withLock { $0.append(Accepted(tunnel: tunnel, observer: observer)) }
    }
}

/// A gateway end and an agent end that are connected.
struct TunnelPair {
    var gateway: Tunnel
    var gatewayObserver: RecordingObserver
    var agent: Tunnel
    var agentObserver: RecordingObserver
}

/// The listener of a test, and a way to dial it.
struct Loopback {
    var admission: TestAdmission
    var port: Int
    var clientTLS: NIOSSLContext?
    var host = "127.0.0.1"

    static let group = MultiThreadedEventLoopGroup.singleton

    func dial(
        token: String = "good", observer: RecordingObserver = RecordingObserver(),
        configuration: TunnelConfiguration = TunnelConfiguration(role: .agent), timeout: TimeAmount = .seconds(10)
    ) async throws -> Tunnel {
        let dialer = TunnelDialer(host: host, port: port, tls: clientTLS, group: Self.group, timeout: timeout)
        return try await dialer.dial(token: token, configuration: configuration, observer: observer)
    }

    /// Dials and waits for the other end.
    func connect(
        configuration: TunnelConfiguration = TunnelConfiguration(role: .agent),
        observer: RecordingObserver = RecordingObserver()
    ) async throws -> TunnelPair {
        let before = admission.accepted.withLock { $0.count }
        let agent = try await dial(observer: observer, configuration: configuration)
        try await eventually("the gateway has the tunnel") { admission.accepted.withLock { $0.count } > before }
        let accepted = admission.accepted.withLock { $0[before] }
        return TunnelPair(
            gateway: accepted.tunnel, gatewayObserver: accepted.observer, agent: agent, agentObserver: observer)
    }
}

/// Listens, runs `body`, and leaves nothing open.
func withLoopback(
    _ admission: TestAdmission = TestAdmission(), tls: (server: NIOSSLContext, client: NIOSSLContext)? = nil,
    handshakeTimeout: TimeAmount = .seconds(10), _ body: (Loopback) async throws -> Void
) async throws {
    let listener = try await TunnelAcceptor.bind(
        host: "127.0.0.1", port: 0, tls: { tls?.server }, admission: admission, group: Loopback.group,
        handshakeTimeout: handshakeTimeout)
    let loopback = Loopback(
        admission: admission, port: try #require(listener.localAddress?.port), clientTLS: tls?.client)
    let result: Result<Void, any Error>
    do {
        result = .success(try await body(loopback))
    } catch {
        result = .failure(error)
    }
    try? await listener.close()
    for accepted in admission.accepted.withLock({ $0 }) {
        accepted.tunnel.close(.goingAway)
        try? await accepted.tunnel.channel.closeFuture.get()
    }
    try result.get()
}

extension Tunnel {
    /// Opens a stream on this tunnel's own event loop, or on another one.
    func openRecorded(
        _ target: String = "/", endStream: Bool = true, on loop: (any EventLoop)? = nil, fields: HeaderFields = [:]
    ) async throws -> (RecordingReceiver, TunnelStream) {
        let loop = loop ?? eventLoop
        let receiver = RecordingReceiver()
        let head = RequestHead(method: "GET", authority: "app.test", target: target, fields: fields)
        let stream = try await loop.submit {
            self.open(head, endStream: endStream, receiver: receiver, on: loop)
        }.get()
        return (receiver, stream)
    }

    /// Writes bytes past the tunnel's own machinery.
    func writeRaw(_ bytes: [UInt8]) { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }

    /// Sends a WebSocket message as an agent would, whatever it holds.
    func writeRaw(opcode: UInt8, _ payload: ByteBuffer, as role: WebSocketRole) {
        var writer = WebSocketWriter(role: role)
        var message = writer.startMessage(capacity: payload.readableBytes, allocator: ByteBufferAllocator())
        message.writeImmutableBuffer(payload)
        writer.finish(&message, opcode: opcode)
        channel.writeAndFlush(message, promise: nil)
    }
}

extension TunnelStream {
    /// Runs on the event loop of the stream's user.
    func use(on loop: any EventLoop, _ body: @escaping @Sendable (TunnelStream) -> Void) async throws {
        try await loop.submit { body(self) }.get()
    }
}
