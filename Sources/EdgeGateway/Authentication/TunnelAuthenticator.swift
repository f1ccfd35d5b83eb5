import Foundation
package import NIOCore
import NIOHTTP1
package import NIOPosix
import Settings
import Synchronization
package import TunnelTransport

/// Finds out who dials. Called on event loops; a look at a table is made there, a signature is verified on a thread
/// apart.
package final class TunnelAuthenticator: Sendable {
    private let state: Mutex<AdmissionState>
    private let threads: NIOThreadPool
    let metrics = AdmissionMetrics()

    /// - Parameters:
    ///   - acceptRate: handshakes per second.
    ///   - failuresPerMinute: failed attempts per minute and address.
    ///   - threads: where signatures are verified.
    package init(
        credentials: Credentials, acceptRate: Int, failuresPerMinute: Int, threads: NIOThreadPool = .singleton
    ) {
        state = Mutex(
            AdmissionState(
                credentials: credentials, acceptRate: acceptRate, failuresPerMinute: failuresPerMinute))
        self.threads = threads
    }

    /// What is in force now.
    package var credentials: Credentials { state.withLock { $0.credentials } }

    /// From here on new handshakes are judged by these.
    package func replace(_ credentials: Credentials) { state.withLock { $0.replace(credentials) } }

    /// The host names an identity may serve now.
    func hostnames(of identity: TunnelIdentity) -> AllowedHostnames {
        guard case .valid(let hostnames) = credentials.standing(of: identity, now: Date()) else { return .none }
        return hostnames
    }

    /// The identity behind a handshake; fails with a `TunnelRefusal`.
    package func authenticate(_ request: TunnelRequest) -> EventLoopFuture<TunnelIdentity> {
        let loop = request.eventLoop
        let address = request.remote?.ipAddress.flatMap(IPAddress.init)
        let taken = state.withLock { $0.take(from: address, now: .now()) }
        if case .comeAgain(let seconds) = taken {
            return loop.makeCompletedFuture { try settle(.comeAgain(after: seconds)) }
        }
        let attempt = Self.attempt(request, from: address, isTaken: taken != nil)
        let decision = state.withLock { $0.attempt(attempt, time: Date(), now: .now()) }
        guard case .verify(let verifier) = decision, let token = attempt.token else {
            return loop.makeCompletedFuture { try settle(decision) }
        }
        return threads.runIfActive(eventLoop: loop) { () -> Result<TunnelIdentity, AuthenticationFailure> in
            do throws(AuthenticationFailure) {
                return .success(try verifier.verify(token, now: Date()))
            } catch {
                return .failure(error)
            }
        }.flatMapErrorThrowing { _ in
            // The threads have stopped, and so will the gateway.
            self.state.withLock { $0.verificationAbandoned() }
            throw TunnelRefusal(.overloaded, "the gateway is ending", retryAfter: 1)
        }.flatMapThrowing { result in
            try self.settle(self.state.withLock { $0.verified(result, attempt, time: Date(), now: .now()) })
        }
    }

    private func settle(_ decision: AdmissionState.Decision) throws(TunnelRefusal) -> TunnelIdentity {
        switch decision {
        case .admitted(let identity): return identity
        case .failed(let failure, let retryAfter):
            metrics.failed(failure)
            throw failure.refusal(retryAfter: retryAfter)
        case .comeAgain(let seconds):
            throw TunnelRefusal(.tooManyAtOnce, "many agents connect at this moment", retryAfter: seconds)
        case .busy, .verify:
            throw TunnelRefusal(.overloaded, "too many tokens are being verified", retryAfter: 1)
        }
    }

    private static func attempt(
        _ request: TunnelRequest, from address: IPAddress?, isTaken: Bool
    ) -> AdmissionState.Attempt {
        let token = TunnelHandshake.bearerToken(request.head.headers)
        let isReadable = (token?.utf8.count ?? 0) <= AdmissionState.longestToken
        return AdmissionState.Attempt(
            token: token, digest: isReadable ? token.map(TokenDigest.init(of:)) : nil,
            address: address,
            certificate: request.certificate.map {
                ClientCertificate($0) ?? .init(cluster: nil, expires: .distantPast)
            },
            isTaken: isTaken)
    }
}
