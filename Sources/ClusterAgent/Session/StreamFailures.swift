import Logging
import TunnelProtocol

/// A request that the agent could not carry out, for the log.
struct StreamFailure: Sendable {
    var code: ResetCode
    var detail: String
    /// Empty where the stream was refused before its head was looked at.
    var host = ""
    /// Without its query, which may hold secrets.
    var path = ""
}

/// Takes failures from event loops and writes them to the log elsewhere; beyond a bound the oldest are lost.
struct StreamFailures: Sendable {
    private let failures: AsyncStream<StreamFailure>
    private let post: AsyncStream<StreamFailure>.Continuation
    private let logger: Logger

    init(logger: Logger) {
        (failures, post) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(256))
        self.logger = logger
    }

    /// Callable from any event loop.
    func record(_ failure: StreamFailure) { post.yield(failure) }

    /// Writes until the task is cancelled.
    func run() async {
        for await failure in failures {
            logger.warning(
                "Stream failed",
                metadata: [
                    "code": "\(failure.code)", "detail": "\(failure.detail)", "host": "\(failure.host)",
                    "path": "\(failure.path)",
                ])
        }
    }
}
