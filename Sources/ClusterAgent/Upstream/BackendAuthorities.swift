import Foundation
import HTTPExchange
package import KubernetesAPI
package import Logging
package import NIOCore
import ServiceLifecycle
import Synchronization

/// Reads the Secrets that say whom to trust behind TLS, one by name when a connection needs it.
///
/// The agent's role gives it no Secret. Whoever annotates an Ingress with one lets the agent read that one; where that was
/// forgotten, what is said names the Secret.
package final class BackendAuthorities: ServiceLifecycle.Service {
    /// How long a failure is remembered: a storm of requests must not become one of questions.
    private static let patience = TimeAmount.seconds(5)

    private enum Entry {
        case asked([EventLoopPromise<String>])
        case failed(UpstreamError, at: NIODeadline)
    }

    private struct State {
        var entries: [ObjectKey: Entry] = [:]
        var hasEnded = false
    }

    private let client: KubernetesClient
    private let logger: Logger
    private let state = Mutex(State())
    private let wanted: AsyncStream<ObjectKey>
    private let want: AsyncStream<ObjectKey>.Continuation

    package init(client: KubernetesClient, logger: Logger) {
        self.client = client
        self.logger = logger
        (wanted, want) = AsyncStream.makeStream()
    }

    /// The certificates in `ca.crt` of a Secret, in PEM. Callable from any event loop; fails with what is wrong.
    package func certificates(of secret: ObjectKey, on eventLoop: any EventLoop) -> EventLoopFuture<String> {
        let promise = eventLoop.makePromise(of: String.self)
        let failure: UpstreamError? = state.withLock { state in
            guard !state.hasEnded else {
                return UpstreamError(.backendTLSFailed, "Secret \(secret) is not read: the agent ends")
            }
            switch state.entries[secret] {
            case .asked(let others):
                state.entries[secret] = .asked(others + [promise])
            case .failed(let error, let moment) where NIODeadline.now() - moment < Self.patience: return error
            case .failed, nil:
                state.entries[secret] = .asked([promise])
                want.yield(secret)
            }
            return nil
        }
        if let failure { promise.fail(failure) }
        return promise.futureResult
    }

    /// Reads until the group is told to end.
    package func run() async throws {
        await cancelWhenGracefulShutdown { [self] in
            await withDiscardingTaskGroup { group in
                for await secret in wanted { group.addTask { [self] in await read(secret) } }
            }
        }
        let left = state.withLock { state in
            state.hasEnded = true
            defer { state.entries = [:] }
            return state.entries
        }
        for case (let secret, .asked(let promises)) in left {
            for promise in promises {
                promise.fail(UpstreamError(.backendTLSFailed, "Secret \(secret) is not read: the agent ends"))
            }
        }
    }

    private func read(_ secret: ObjectKey) async {
        let result: Result<String, UpstreamError>
        do {
            result = .success(try await client.get(AuthoritySecret.self, secret).certificates())
        } catch {
            let problem = Self.problem(secret, error)
            logger.warning(
                "Authorities of a backend cannot be read",
                metadata: ["namespace": "\(secret.namespace)", "secret": "\(secret.name)", "problem": "\(problem)"])
            result = .failure(UpstreamError(.backendTLSFailed, problem))
        }
        let waiting = state.withLock { state in
            guard case .asked(let promises) = state.entries[secret] else { return [EventLoopPromise<String>]() }
            // Found once, it is known for a while to whoever asked.
            if case .failure(let error) = result {
                state.entries[secret] = .failed(error, at: .now())
            } else {
                state.entries[secret] = nil
            }
            return promises
        }
        for promise in waiting { promise.completeWith(result.mapError { $0 }) }
    }

    /// What is wrong with the Secret, and what to do about it where that is known.
    static func problem(_ secret: ObjectKey, _ error: any Error) -> String {
        switch (error as? KubernetesError)?.kind {
        case .notFound: "Secret \(secret) does not exist"
        case .forbidden:
            "the agent may not read Secret \(secret); a Role of the namespace must let its service account get it"
        default: "Secret \(secret): \(error)"
        }
    }
}

/// A Secret, as far as it is anybody's business here: what else is in it, such as a key, is not decoded.
struct AuthoritySecret: KubernetesResource {
    static let definition = ResourceDefinition(group: "", version: "v1", plural: "secrets", kind: "Secret")

    struct Contents: Codable {
        enum CodingKeys: String, CodingKey { case authority = "ca.crt" }
        var authority: String?
    }

    var metadata: ObjectMeta
    var data: Contents?

    func certificates() throws -> String {
        guard let encoded = data?.authority, let bytes = Data(base64Encoded: encoded) else { throw NoAuthority() }
        return String(decoding: bytes, as: UTF8.self)
    }

    private struct NoAuthority: Error, CustomStringConvertible {
        let description = "it has no ca.crt"
    }
}
