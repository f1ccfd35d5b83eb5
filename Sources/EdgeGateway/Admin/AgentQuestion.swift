import NIOCore
import TunnelProtocol
import TunnelTransport

/// Asks an agent, through the data path of a tunnel, what it would do with a request.
final class AgentQuestion: StreamReceiver {
    /// What came of it.
    enum Answer: Hashable, Sendable {
        case explained(AgentExplanation)
        /// The agent knows no such question.
        case notUnderstood
        /// Why there is no answer, as a sentence.
        case none(String)
    }

    /// Longer than an agent takes.
    private static let patience = TimeAmount.seconds(3)

    private let promise: EventLoopPromise<Answer>
    private var stream: TunnelStream?
    private var late: Scheduled<Void>?

    private init(_ promise: EventLoopPromise<Answer>) { self.promise = promise }

    /// Returns within three seconds, whatever the agent does.
    static func ask(
        _ tunnel: Tunnel, authority: String, target: String
    ) async -> Answer {
        let loop = tunnel.eventLoop
        let asked = loop.flatSubmit {
            let promise = loop.makePromise(of: Answer.self)
            let question = AgentQuestion(promise)
            question.begin(tunnel, .explain(authority: authority, target: target), on: loop)
            return promise.futureResult
        }
        return (try? await asked.get()) ?? .none("the gateway is ending")
    }

    private func begin(_ tunnel: Tunnel, _ head: RequestHead, on loop: any EventLoop) {
        let bound = NIOLoopBound(self, eventLoop: loop)
        late = loop.scheduleTask(in: Self.patience) {
            bound.value.stream?.reset(.cancelled, detail: "")
            bound.value.end(.none("the agent has not answered within 3 s"))
        }
        stream = tunnel.open(head, endStream: true, receiver: self, on: loop)
    }

    func received(_ event: StreamEvent) {
        switch event {
        case .head(let head, let endStream):
            // There is nothing more to be said.
            if !endStream { stream?.reset(.cancelled, detail: "") }
            guard let explanation = AgentExplanation(head) else {
                return end(.none("the agent's answer is not one to this question"))
            }
            end(.explained(explanation))
        // Who does not know it takes it for a request to no host.
        case .reset(.notAdvertised, _), .reset(.protocolError, _): end(.notUnderstood)
        case .reset(let code, let detail): end(.none("the agent refused to answer: \(code) \(detail)"))
        case .lost: end(.none("the tunnel was lost meanwhile"))
        case .refused: end(.none("the tunnel has as many streams as it may"))
        case .data, .trailers, .holdBack, .resume: break
        }
    }

    func receivedBurst() {}

    private func end(_ answer: Answer) {
        late?.cancel()
        stream = nil
        promise.succeed(answer)
    }
}

@available(*, unavailable)
extension AgentQuestion: Sendable {}
