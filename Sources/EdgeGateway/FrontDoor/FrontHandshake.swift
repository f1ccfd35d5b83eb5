import Metrics
import NIOCore
import NIOSSL
import NIOTLS
import Telemetry

/// A connection of the front door until TLS is agreed on: takes the certificate for the name that the client asks for,
/// bounds the time, and makes room for the handler of the protocol that was chosen.
final class FrontHandshake: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    /// Why a handshake came to nothing.
    enum Failure: String, CaseIterable, Hashable, Sendable {
        /// There is no certificate for the name, or none at all.
        case unrecognizedName = "unrecognized_name"
        case timeout
        /// The client went away before it said anything that is TLS, as a probe does.
        case closed
        /// Client and gateway have no version or suite in common, the client does not accept the certificate, or it
        /// does not speak TLS.
        case failed
    }

    /// What counts the failures of all connections.
    static func counters(factory: any MetricsFactory = MetricsSystem.factory) -> EnumeratedCounters<Failure> {
        EnumeratedCounters("gateway_tls_handshake_failures_total", factory: factory)
    }

    private let tls: FrontTLS
    private let counters: EnumeratedCounters<Failure>
    private let serve: (FrontProtocol, any Channel) throws -> Void
    private var timer: Scheduled<Void>?
    /// What an ending gateway has asked of the connection meanwhile.
    private var drain: ConnectionDrain?
    private var isOver = false

    private init(
        _ tls: FrontTLS, counters: EnumeratedCounters<Failure>,
        serve: @escaping (FrontProtocol, any Channel) throws -> Void
    ) {
        self.tls = tls
        self.counters = counters
        self.serve = serve
    }

    /// Prepares a new connection.
    ///
    /// - Parameter serve: adds the handlers of the protocol, once it is known.
    static func install(
        on channel: any Channel, _ tls: FrontTLS, counters: EnumeratedCounters<Failure>,
        serve: @escaping (FrontProtocol, any Channel) throws -> Void
    ) throws {
        let handshake = FrontHandshake(tls, counters: counters, serve: serve)
        let hello = ClientHelloHandler { wish in try handshake.begin(wish, channel) }
        try channel.pipeline.syncOperations.addHandlers([hello, handshake])
    }

    /// The client has said which server it wants.
    private func begin(_ wish: ClientHelloReader.Wish, _ channel: any Channel) throws {
        let name: String? = if case .server(let name) = wish { name } else { nil }
        guard let context = tls.certificates.context(for: name) else {
            end(.unrecognizedName)
            channel.writeAndFlush(ByteBuffer(bytes: Self.unrecognizedName)).whenComplete { _ in
                channel.close(promise: nil)
            }
            throw NoCertificate()
        }
        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context), position: .before(self))
    }

    private struct NoCertificate: Error {}

    /// A record with the fatal alert 112 (RFC 8446 §5.1, §6; RFC 6066 §3).
    private static let unrecognizedName: [UInt8] = [21, 3, 3, 0, 2, 2, 112]

    /// Counts one failure of the connection at most.
    private func end(_ failure: Failure?) {
        timer?.cancel()
        guard !isOver else { return }
        isOver = true
        if let failure { counters.count(failure) }
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: tls.handshakeTimeout) {
            let (handshake, context) = bound.value
            handshake.end(.timeout)
            context.channel.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    /// Bytes come here only where TLS was refused.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case TLSUserEvent.handshakeCompleted(let negotiated):
            end(nil)
            do {
                // A client that names no protocol means the oldest.
                try serve(negotiated.flatMap(FrontProtocol.init) ?? .http11, context.channel)
                if let drain { context.fireUserInboundEventTriggered(drain) }
                context.pipeline.syncOperations.removeHandler(self, promise: nil)
            } catch {
                context.close(promise: nil)
            }
        case let drain as ConnectionDrain:
            self.drain = drain
            if case .close = drain {
                end(.closed)
                context.close(promise: nil)
            }
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(.failed)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(.closed)
        context.fireChannelInactive()
    }
}

@available(*, unavailable)
extension FrontHandshake: Sendable {}
