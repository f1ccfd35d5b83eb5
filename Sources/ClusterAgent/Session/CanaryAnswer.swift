import NIOCore
import TunnelProtocol
import TunnelTransport

/// Answers the gateway's canary where requests are answered, on the data path, and from nowhere else: no route is looked
/// up and no backend is asked.
final class CanaryAnswer: AcceptedStreamReceiver {
    private let endStream: Bool

    /// - Parameter endStream: whether the canary's head ended the stream, as it must.
    init(endStream: Bool) { self.endStream = endStream }

    func attached(to stream: TunnelStream) {
        guard endStream else { return stream.reset(.protocolError, detail: "a canary has no body") }
        stream.respond(ResponseHead(status: 200, fields: [:]), endStream: false)
        stream.send(ByteBuffer(string: "ok"), endStream: true)
    }

    func received(_ event: StreamEvent) {}
    func receivedBurst() {}
}

@available(*, unavailable)
extension CanaryAnswer: Sendable {}
