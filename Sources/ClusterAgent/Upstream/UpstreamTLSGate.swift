import NIOCore
import NIOTLS

/// Waits for the end of a TLS handshake with a backend, and then makes room for what speaks behind it.
final class UpstreamTLSGate: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    /// Called once, with the protocol that was agreed on (ALPN). What it adds to the channel sees the first byte.
    private var completed: ((Result<String?, any Error>) -> Void)?

    init(_ completed: @escaping (Result<String?, any Error>) -> Void) { self.completed = completed }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        complete(.success(negotiated))
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard completed != nil else { return context.fireErrorCaught(error) }
        complete(.failure(error))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        complete(.failure(ChannelError.eof))
        context.fireChannelInactive()
    }

    private func complete(_ result: Result<String?, any Error>) {
        guard let completed else { return }
        self.completed = nil
        completed(result)
    }
}

@available(*, unavailable)
extension UpstreamTLSGate: Sendable {}
