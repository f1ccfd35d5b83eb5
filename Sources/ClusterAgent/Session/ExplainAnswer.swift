import HTTPExchange
import NIOCore
import Routing
import TunnelProtocol
import TunnelTransport

/// Answers the gateway's question what would become of a request: asks the same table, guardrail and pool that serve, as
/// far as a connection, and sends nothing to the backend.
final class ExplainAnswer: AcceptedStreamReceiver {
    /// Shorter than the gateway waits.
    private static let patience = TimeAmount.seconds(2)

    private let head: RequestHead
    private let pool: UpstreamPool
    private var stream: TunnelStream?
    private var destination: AgentExplanation.Destination?
    private var late: Scheduled<Void>?

    init(head: RequestHead, pool: UpstreamPool) {
        self.head = head
        self.pool = pool
    }

    func attached(to stream: TunnelStream) {
        self.stream = stream
        let host = RequestHost.normalize(head.explainedAuthority)
        guard case .found(let target) = pool.forwarding.target(host: host, path: head.path) else {
            return answer(nil)
        }
        let endpoint = UpstreamEndpoint(target, requestHost: host)
        let destination = AgentExplanation.Destination(
            service: "\(target.service)", target: "\(endpoint.host):\(endpoint.port)",
            viaIngressController: target.viaIngressController, backendProtocol: endpoint.transport.spoken)
        if let kept = pool.take(endpoint) {
            kept.giveBack()
            return answer(destination)
        }
        self.destination = destination
        let bound = NIOLoopBound(self, eventLoop: pool.eventLoop)
        late = pool.eventLoop.scheduleTask(in: Self.patience) {
            bound.value.fail(
                .backendConnectTimeout, "no connection within \(Self.patience.nanoseconds / 1_000_000_000) s")
        }
        pool.connect(endpoint).whenComplete { result in
            switch result {
            case .success(let connection):
                connection.value.giveBack()
                bound.value.answer(bound.value.destination)
            case .failure(let error):
                let known = error as? UpstreamError
                bound.value.fail(known?.failure ?? .backendUnreachable, known?.detail ?? "\(error)")
            }
        }
    }

    func received(_ event: StreamEvent) {
        switch event {
        // Nobody waits any more.
        case .reset, .lost: over()
        default: break
        }
    }

    func receivedBurst() {}

    private func fail(_ failure: ExchangeFailure, _ detail: String) {
        destination?.failure = failure.code
        destination?.detail = detail
        answer(destination)
    }

    private func answer(_ destination: AgentExplanation.Destination?) {
        stream?.respond(AgentExplanation(destination).head, endStream: true)
        over()
    }

    private func over() {
        late?.cancel()
        stream = nil
    }
}

@available(*, unavailable)
extension ExplainAnswer: Sendable {}
