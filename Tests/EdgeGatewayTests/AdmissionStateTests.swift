import Foundation
import NIOCore
import Settings
import TestSupport
import Testing

@testable import EdgeGateway

/// Transcripts: who comes, and what becomes of it.
@Suite("Whom the gateway lets in")
struct AdmissionStateTests {
    private static let time = Date(timeIntervalSince1970: 1_800_000_000)
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private static let bad = IPAddress("192.0.2.1")
    private static let signed = "e30.e30.c2ln"

    private let signer: TokenSigner
    private let verifier: TokenVerifier
    private var state: AdmissionState

    init() async throws {
        signer = try await TokenSigner(.edDSA)
        verifier = TokenVerifier(
            keys: try await TokenKeys(Data(TokenSigner.set(signer).utf8), path: "f"), issuer: nil, audience: nil)
        state = AdmissionState(
            credentials: Credentials(directory: try Self.directory("a", "b"), verifier: verifier), acceptRate: 100,
            failuresPerMinute: 3)
    }

    /// Each cluster's token is its own name.
    private static func directory(_ clusters: String..., revoked: [String] = []) throws -> ClusterDirectory {
        let entries = clusters.map { name in
            "{uuid: \(name), tokenSHA256: \(SHA256Hex.text(name)), hostnames: [\(name).test]}"
        }
        return try ClusterDirectory(
            text: "clusters: [\(entries.joined(separator: ", "))]\nrevoked: [\(revoked.joined(separator: ", "))]",
            path: "f")
    }

    private mutating func attempt(
        _ token: String?, _ certificate: String?? = nil, from address: IPAddress? = bad, at seconds: Int64 = 0,
        expires: TimeInterval = 1000
    ) -> String {
        let attempt = Self.attempt(token, certificate, from: address, expires: expires)
        return Self.text(state.attempt(attempt, time: Self.time + Double(seconds), now: Self.start + .seconds(seconds)))
    }

    private static func attempt(
        _ token: String?, _ certificate: String?? = nil, from address: IPAddress? = bad, expires: TimeInterval = 1000
    ) -> AdmissionState.Attempt {
        AdmissionState.Attempt(
            token: token, digest: token.map(TokenDigest.init(of:)), address: address,
            certificate: certificate.map { ClientCertificate(cluster: $0, expires: Self.time + expires) })
    }

    private static func text(_ decision: AdmissionState.Decision) -> String {
        switch decision {
        case .admitted(let identity): "admitted \(identity.cluster)"
        case .failed(let failure, let wait): failure.rawValue + (wait.map { " \($0)" } ?? "")
        case .verify: "verify"
        case .comeAgain(let wait): "come again \(wait)"
        case .busy: "busy"
        }
    }

    private mutating func verified(_ token: String, _ result: Result<TunnelIdentity, AuthenticationFailure>) -> String {
        Self.text(state.verified(result, Self.attempt(token), time: Self.time, now: Self.start))
    }

    private func identity(_ cluster: String = "j", lasting seconds: TimeInterval = 100) throws -> TunnelIdentity {
        TunnelIdentity(
            cluster: cluster, hostnames: .all, credential: .signedToken(key: try #require(verifier.keys.key("k1")).id),
            expires: Self.time + seconds)
    }

    @Test("a listed token is admitted, another is not, and a missing one is named so")
    mutating func listed() {
        #expect(attempt("a") == "admitted a")
        #expect(attempt("c") == "unknown_token")
        #expect(attempt(nil) == "missing")
    }

    @Test("failures beyond the limit are told no reason and cost no verification; a good token still passes")
    mutating func limited() throws {
        #expect(attempt(Self.signed) == "verify")
        #expect(verified(Self.signed, .success(try identity())) == "admitted j")
        for _ in 0..<3 { #expect(attempt("wrong") == "unknown_token") }
        #expect(attempt("wrong") == "limited 20")
        #expect(attempt(nil) == "limited 20")
        #expect(attempt("a.b.c") == "limited 20", "not verified")
        #expect(attempt("a") == "admitted a", "the neighbour's token is good")
        #expect(attempt(Self.signed) == "admitted j", "and so is a signed one that was verified before")
        #expect(attempt("wrong", from: IPAddress("192.0.2.2")) == "unknown_token", "another address is not concerned")
        #expect(attempt("a.b.c", at: 20) == "verify")
    }

    @Test("an address beyond its limit uses up nothing of the accept rate, unless its token is good")
    mutating func starvation() throws {
        #expect(state.take(from: Self.bad, now: Self.start) == .accepted)
        for _ in 0..<3 { _ = attempt("wrong") }
        for _ in 0..<1000 {
            #expect(state.take(from: Self.bad, now: Self.start) == nil)
            #expect(attempt("wrong") == "limited 20")
        }
        let elsewhere = IPAddress("192.0.2.9")
        for _ in 0..<23 { #expect(state.take(from: elsewhere, now: Self.start) == .accepted) }
        var good = Self.attempt("a")
        good.isTaken = false
        #expect(Self.text(state.attempt(good, time: Self.time, now: Self.start)) == "admitted a")
        #expect(Self.text(state.attempt(good, time: Self.time, now: Self.start)) == "come again 1")
    }

    @Test("a verified token is not verified again until it ends, or its key is gone")
    mutating func remembered() async throws {
        #expect(attempt(Self.signed) == "verify")
        #expect(verified(Self.signed, .success(try identity())) == "admitted j")
        #expect(state.verifications == 0)
        #expect(attempt(Self.signed, at: 99) == "admitted j")
        #expect(attempt(Self.signed, at: 100) == "verify")
        _ = verified(Self.signed, .success(try identity()))
        let others = try await TokenKeys(Data(TokenSigner.set(TokenSigner(.edDSA, kid: "k1")).utf8), path: "f")
        var credentials = state.credentials
        credentials.verifier = TokenVerifier(keys: others, issuer: nil, audience: nil)
        state.replace(credentials)
        #expect(attempt(Self.signed) == "verify", "the key of that name is another one now")
        #expect(verified(Self.signed, .success(try identity())) == "revoked", "verified before the change")
        #expect(attempt(Self.signed) == "verify", "and not remembered")
    }

    @Test("a failed verification counts as a failure, and there are never too many at once")
    mutating func verifications() throws {
        for _ in 0..<3 {
            #expect(attempt(Self.signed) == "verify")
            #expect(verified(Self.signed, .failure(.badSignature)) == "bad_signature")
        }
        #expect(attempt(Self.signed).hasPrefix("limited"))
        let elsewhere = IPAddress("192.0.2.9")
        for _ in 0..<AdmissionState.mostVerifications { #expect(attempt(Self.signed, from: elsewhere) == "verify") }
        #expect(attempt(Self.signed, from: elsewhere) == "busy")
        #expect(attempt("a") == "admitted a")
        state.verificationAbandoned()
        #expect(attempt(Self.signed, from: elsewhere) == "verify")
    }

    @Test("a token too long is refused unread; no verifier, no signed tokens")
    mutating func unread() throws {
        let long = AdmissionState.Attempt(token: "a", digest: nil, address: nil, certificate: nil)
        #expect(Self.text(state.attempt(long, time: Self.time, now: Self.start)) == "malformed")
        state.replace(Credentials(directory: try Self.directory("a")))
        #expect(attempt(Self.signed) == "unknown_token")
    }

    @Test("a revoked cluster gets in by nothing")
    mutating func revoked() throws {
        state.replace(
            Credentials(
                directory: try Self.directory("a", revoked: ["a", "j"]), verifier: verifier, certificateAdmits: true))
        #expect(attempt("a") == "revoked")
        #expect(attempt(nil, "a") == "revoked")
        #expect(attempt(Self.signed, from: nil) == "verify")
        #expect(verified(Self.signed, .success(try identity())) == "revoked")
    }

    @Test("certificate and token must name the same cluster; a certificate alone admits only where that is set")
    mutating func certificates() throws {
        #expect(attempt("a", "a") == "admitted a")
        #expect(attempt("a", "b") == "other_certificate")
        #expect(attempt("a", .some(nil), from: nil) == "bad_certificate")
        #expect(attempt(nil, "a", from: nil) == "missing")
        var credentials = state.credentials
        credentials.certificateAdmits = true
        state.replace(credentials)
        #expect(attempt(nil, "a", from: nil) == "admitted a")
        #expect(attempt(nil, "stranger", from: nil) == "bad_certificate")
        #expect(attempt(nil, from: nil) == "missing")
        #expect(attempt("a", "a", from: nil, expires: 0) == "expired")
    }

    @Test("an identity ends with its token or its certificate, whichever is first, and has its entry's host names")
    mutating func ends() throws {
        func admitted(_ decision: AdmissionState.Decision) throws -> TunnelIdentity {
            guard case .admitted(let identity) = decision else { throw NeverHappened() }
            return identity
        }
        let listed = try admitted(
            state.attempt(Self.attempt("a", "a", expires: 50), time: Self.time, now: Self.start))
        #expect(listed.expires == Self.time + 50)
        #expect(listed.hostnames == (try AllowedHostnames(["a.test"])))
        #expect(try admitted(state.attempt(Self.attempt("a"), time: Self.time, now: Self.start)).expires == nil)
    }
}
