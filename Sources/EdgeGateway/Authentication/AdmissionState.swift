import Foundation
import NIOCore
import Settings

/// Decides about handshakes, one after the other.
///
/// ```
/// attempt ──► accept rate ──► certificate ──► listed token ──────────────► admitted
///                                                 └─ signed token: known ─► admitted
///                                                      └─ within limits ──► verify ──verified──► admitted
/// ```
/// A valid token passes whatever its address has done before, so that agents behind one address do not shut each other
/// out; only a signed token that has never been accepted here waits until its address is within the limit again,
/// because to look at it costs the verification that the limit is there to save.
///
/// An address beyond its limit has no part in the accept rate before its token has proved good: otherwise whoever sends
/// wrong tokens fast enough would keep every agent out.
struct AdmissionState {
    /// One handshake, as far as it concerns who it is.
    struct Attempt: Sendable {
        /// Nil where no bearer token came.
        var token: String?
        /// Nil where none came, or one that is too long.
        var digest: TokenDigest?
        var address: IPAddress?
        /// Nil where none came.
        var certificate: ClientCertificate?
        /// Whether the accept rate has taken it on already.
        var isTaken = true
    }

    enum Decision {
        case admitted(TunnelIdentity)
        /// - `retryAfter`: seconds, with `limited`.
        case failed(AuthenticationFailure, retryAfter: Int?)
        /// Verify the token, away from the event loop, and report with `verified`.
        case verify(TokenVerifier)
        /// The accept rate has no room; seconds.
        case comeAgain(after: Int)
        /// As many verifications are under way as allowed.
        case busy
    }

    /// Longer ones are refused unseen.
    static let longestToken = 8192
    /// Verifications under way at once.
    static let mostVerifications = 256

    private(set) var credentials: Credentials
    private var accepts: AcceptRate
    private var failures: FailureLimiter
    private var accepted = AcceptedTokens()
    private(set) var verifications = 0

    /// - Parameters:
    ///   - acceptRate: handshakes per second.
    ///   - failuresPerMinute: failed attempts per minute and address.
    init(credentials: Credentials, acceptRate: Int, failuresPerMinute: Int) {
        self.credentials = credentials
        accepts = AcceptRate(rate: acceptRate)
        failures = FailureLimiter(perMinute: failuresPerMinute)
    }

    mutating func replace(_ credentials: Credentials) { self.credentials = credentials }

    /// Asked first, before anything that costs; nil where the accept rate is to be asked later.
    mutating func take(from address: IPAddress?, now: NIODeadline) -> AcceptRate.Verdict? {
        failures.wait(address, now: now) == nil ? accepts.take(now: now) : nil
    }

    /// - Parameters:
    ///   - time: the wall clock's time, for what expires.
    ///   - now: the same moment, for the limits.
    mutating func attempt(_ attempt: Attempt, time: Date, now: NIODeadline) -> Decision {
        if let certificate = attempt.certificate, certificate.cluster == nil {
            return failed(.badCertificate, attempt, now)
        }
        guard let token = attempt.token else { return certificateAlone(attempt, time, now) }
        guard let digest = attempt.digest else { return failed(.malformed, attempt, now) }
        if let grant = credentials.directory.grant(for: digest) {
            let identity = TunnelIdentity(
                cluster: grant.cluster, hostnames: grant.hostnames, credential: .listedToken(digest))
            return settle(identity, attempt, time, now)
        }
        guard let verifier = credentials.verifier, TokenVerifier.isSigned(token) else {
            return failed(.unknownToken, attempt, now)
        }
        if let identity = accepted.identity(digest) {
            if case .valid = credentials.standing(of: identity, now: time) {
                return settle(identity, attempt, time, now)
            }
            accepted.forget(digest)
        }
        if let wait = failures.wait(attempt.address, now: now) { return .failed(.limited, retryAfter: wait) }
        guard verifications < Self.mostVerifications else { return .busy }
        verifications += 1
        return .verify(verifier)
    }

    /// A verification has ended.
    mutating func verified(
        _ result: Result<TunnelIdentity, AuthenticationFailure>, _ attempt: Attempt, time: Date, now: NIODeadline
    ) -> Decision {
        verifications -= 1
        switch result {
        case .failure(let failure): return failed(failure, attempt, now)
        case .success(let identity):
            // The keys may have changed meanwhile.
            guard case .valid = credentials.standing(of: identity, now: time) else {
                return settle(identity, attempt, time, now)
            }
            if let digest = attempt.digest { accepted.remember(identity, digest, now: time) }
            return settle(identity, attempt, time, now)
        }
    }

    /// A verification came to nothing, through no fault of the token.
    mutating func verificationAbandoned() { verifications -= 1 }

    private mutating func certificateAlone(_ attempt: Attempt, _ time: Date, _ now: NIODeadline) -> Decision {
        guard credentials.certificateAdmits, let cluster = attempt.certificate?.cluster else {
            return failed(.missing, attempt, now)
        }
        guard let grant = credentials.directory.grant(ofCluster: cluster) else {
            return failed(credentials.directory.isRevoked(cluster) ? .revoked : .badCertificate, attempt, now)
        }
        let identity = TunnelIdentity(cluster: cluster, hostnames: grant.hostnames, credential: .certificate)
        return settle(identity, attempt, time, now)
    }

    /// What is left to ask once an identity is proved.
    private mutating func settle(
        _ proved: TunnelIdentity, _ attempt: Attempt, _ time: Date, _ now: NIODeadline
    ) -> Decision {
        var identity = proved
        if let certificate = attempt.certificate {
            guard certificate.cluster == identity.cluster else { return failed(.otherCertificate, attempt, now) }
            identity.expires = min(identity.expires ?? .distantFuture, certificate.expires)
        }
        switch credentials.standing(of: identity, now: time) {
        case .valid:
            if !attempt.isTaken, case .comeAgain(let wait) = accepts.take(now: now) { return .comeAgain(after: wait) }
            return .admitted(identity)
        case .revoked: return failed(.revoked, attempt, now)
        case .expired: return failed(.expired, attempt, now)
        }
    }

    private mutating func failed(
        _ failure: AuthenticationFailure, _ attempt: Attempt, _ now: NIODeadline
    ) -> Decision {
        if let wait = failures.wait(attempt.address, now: now) { return .failed(.limited, retryAfter: wait) }
        failures.failed(attempt.address, now: now)
        return .failed(failure, retryAfter: nil)
    }
}
