import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// The connection ended before what was waited for had arrived.
struct ConnectionEnded: Error {}

/// A TCP connection as bytes: what the other side sent is seen exactly, and what is sent is what the test wrote.
///
/// It reads only while somebody waits for bytes, so a test that does not read is a slow reader.
final class RawConnection: Sendable {
    let channel: any Channel
    private let inbox: Inbox

    fileprivate init(channel: any Channel, inbox: Inbox) {
        self.channel = channel
        self.inbox = inbox
    }

    /// - Parameters:
    ///   - receiveBuffer: bytes that the kernel keeps for a slow reader; its own choice where `nil`.
    ///   - preface: what is sent first, in front of TLS.
    ///   - tls: makes the handler for it; `nil` for plain text.
    static func connect(
        port: Int, receiveBuffer: Int? = nil, preface: ByteBuffer? = nil,
        tls: (@Sendable () throws -> NIOSSLClientHandler)? = nil
    ) async throws -> RawConnection {
        let inbox = Inbox()
        var bootstrap = ClientBootstrap(group: Loops.clients)
            .channelOption(.autoRead, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let preface { try channel.pipeline.syncOperations.addHandler(PrefaceHandler(preface)) }
                    if let tls { try channel.pipeline.syncOperations.addHandler(tls()) }
                    try channel.pipeline.syncOperations.addHandler(InboxHandler(inbox))
                }
            }
        if let receiveBuffer {
            bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: .init(receiveBuffer))
        }
        let channel = try await bootstrap.connect(host: "127.0.0.1", port: port).get()
        // The handshake is the server's turn.
        if tls != nil { channel.read() }
        return RawConnection(channel: channel, inbox: inbox)
    }

    /// Listens; each connection is handed to `accepted`.
    ///
    /// - Parameter tls: `nil` for plain text.
    static func listen(
        tls: NIOSSLContext? = nil, _ accepted: @escaping @Sendable (RawConnection) -> Void
    ) async throws -> any Channel {
        try await ServerBootstrap(group: Loops.backends)
            .serverChannelOption(.backlog, value: 1024)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let inbox = Inbox()
                    let connection = RawConnection(channel: channel, inbox: inbox)
                    // A read before the channel is active would be lost.
                    let handler = InboxHandler(inbox) { accepted(connection) }
                    if let tls {
                        // Its handshake is read before anybody waits for bytes.
                        try channel.syncOptions?.setOption(.autoRead, value: true)
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    // MARK: Sending

    /// Returns once the bytes are with the socket; throws if the connection is gone.
    func send(_ text: String) async throws { try await send(ByteBuffer(string: text)) }
    func send(_ bytes: ByteBuffer) async throws { try await channel.writeAndFlush(bytes).get() }

    /// Sends without waiting.
    func post(_ bytes: ByteBuffer) { channel.writeAndFlush(bytes, promise: nil) }

    func close() { channel.close(promise: nil) }

    /// From now on the end of what the other side sends does not close the connection.
    func allowHalfClosure() async throws { try await channel.setOption(.allowRemoteHalfClosure, value: true).get() }

    /// Sends no more, and still receives.
    func endOutput() async throws { try await channel.close(mode: .output).get() }

    // MARK: Receiving

    var hasEnded: Bool { inbox.state.withLock { $0.hasEnded } }

    /// Takes what `parse` finds in the bytes that have arrived, waiting for more until it finds something.
    func receive<Value: Sendable>(_ parse: (inout ByteBuffer) -> Value?) async throws -> Value {
        while true {
            let (value, hasEnded, arrivals) = inbox.state.withLock { state in
                (parse(&state.bytes), state.hasEnded, state.arrivals)
            }
            if let value { return value }
            if hasEnded { throw ConnectionEnded() }
            try Task.checkCancellation()
            await inbox.waitForMore(than: arrivals, on: channel)
        }
    }

    func bytes(_ count: Int) async throws -> ByteBuffer { try await receive { $0.readSlice(length: count) } }

    /// Whatever has arrived, at least one byte; `nil` at the end.
    func some() async throws -> ByteBuffer? {
        do {
            return try await receive { bytes in
                guard bytes.readableBytes > 0 else { return nil }
                defer { bytes = ByteBuffer() }
                return bytes
            }
        } catch is ConnectionEnded {
            return nil
        }
    }

    /// All bytes until the connection ends.
    func rest() async throws -> ByteBuffer {
        var all = ByteBuffer()
        while let bytes = try await some() { all.writeImmutableBuffer(bytes) }
        return all
    }

    func waitForEnd() async throws {
        while try await some() != nil {}
    }

    /// A line without its end.
    func line() async throws -> String {
        try await receive { bytes in
            guard let end = bytes.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
            let line = bytes.readString(length: end - bytes.readerIndex + 1) ?? ""
            // "\r\n" is one Character.
            return String(line.dropLast())
        }
    }
}

/// Bytes that arrived, and who waits for them.
private final class Inbox: Sendable {
    struct State {
        var bytes = ByteBuffer()
        var hasEnded = false
        /// Counts what happened, so that nobody sleeps through it.
        var arrivals = 0
        var waiter: CheckedContinuation<Void, Never>?
    }

    let state = Mutex(State())

    func change(_ body: (inout State) -> Void) {
        let waiter = state.withLock { state in
            body(&state)
            state.arrivals += 1
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    func waitForMore(than arrivals: Int, on channel: any Channel) async {
        channel.read()
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDue = state.withLock { state in
                    if state.arrivals > arrivals || Task.isCancelled { return true }
                    state.waiter = continuation
                    return false
                }
                if isDue { continuation.resume() }
            }
        } onCancel: {
            change { _ in }
        }
    }
}

private final class InboxHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let inbox: Inbox
    private let onActive: () -> Void

    init(_ inbox: Inbox, onActive: @escaping () -> Void = {}) {
        self.inbox = inbox
        self.onActive = onActive
    }

    func channelActive(context: ChannelHandlerContext) { onActive() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        inbox.change { state in
            if state.bytes.readableBytes == 0 { state.bytes = bytes } else { state.bytes.writeImmutableBuffer(bytes) }
        }
    }

    func channelInactive(context: ChannelHandlerContext) { inbox.change { $0.hasEnded = true } }
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event as? ChannelEvent == .inputClosed { inbox.change { $0.hasEnded = true } }
    }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Sends something before anybody else does.
private final class PrefaceHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let preface: ByteBuffer

    init(_ preface: ByteBuffer) { self.preface = preface }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(preface), promise: nil)
        context.fireChannelActive()
    }
}

/// Event loops of the tests; never shut down, as `MultiThreadedEventLoopGroup.singleton` is not.
enum Loops {
    static let clients = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    static let backends = clients
    /// The front door's, where it shall not share the tunnels' loop.
    static let front = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    static let tunnels = MultiThreadedEventLoopGroup(numberOfThreads: 1)
}
