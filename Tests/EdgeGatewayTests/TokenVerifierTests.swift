import Crypto
import Foundation
import Routing
import TestSupport
import Testing

@testable import EdgeGateway

@Suite("Signed tokens")
struct TokenVerifierTests {
    private typealias Claims = TokenSigner.Claims
    private static let now = Date(timeIntervalSince1970: 1_800_000_000)
    private static let later = 1_800_000_600.0

    private func verifier(
        _ set: String, issuer: String? = nil, audience: String? = nil
    ) async throws -> TokenVerifier {
        TokenVerifier(keys: try await TokenKeys(Data(set.utf8), path: "f"), issuer: issuer, audience: audience)
    }

    private func outcome(_ verifier: TokenVerifier, _ token: String) -> Result<TunnelIdentity, AuthenticationFailure> {
        do {
            return .success(try verifier.verify(token, now: Self.now))
        } catch {
            return .failure(error)
        }
    }

    private func part(_ json: String) -> String { TokenSigner.base64URL(Data(json.utf8)) }

    @Test(
        "a token of each kind of key is accepted, and names cluster, host names and end",
        arguments: TokenSigner.Kind.allCases)
    func accepted(kind: TokenSigner.Kind) async throws {
        let signer = try await TokenSigner(kind)
        let other = try await TokenSigner(.edDSA, kid: "k2")
        var claims = Claims(cluster: "Cluster-A", exp: Self.later)
        claims.hostnames = ["*.example.com"]
        let token = try await signer.sign(claims)
        #expect(TokenVerifier.isSigned(token))
        let identity = try await verifier(TokenSigner.set(other, signer)).verify(token, now: Self.now)
        #expect(identity.cluster == "cluster-a")
        #expect(identity.hostnames.allows(try Hostname("x.example.com")))
        #expect(!identity.hostnames.allows(try Hostname("example.org")))
        #expect(identity.expires == Date(timeIntervalSince1970: Self.later))
        guard case .signedToken(let key) = identity.credential else { return #expect(Bool(false)) }
        #expect(key.kid == "k1")
    }

    @Test("sub names the cluster where cluster_uuid does not, and without host names all are allowed")
    func subject() async throws {
        let signer = try await TokenSigner(.edDSA)
        var claims = Claims(cluster: nil, exp: Self.later)
        claims.sub = "b"
        let identity = try await verifier(TokenSigner.set(signer)).verify(signer.sign(claims), now: Self.now)
        #expect(identity.cluster == "b")
        #expect(identity.hostnames == .all)
    }

    @Test("claims that do not hold are refused by name")
    func claims() async throws {
        let signer = try await TokenSigner(.es256)
        let plain = try await verifier(TokenSigner.set(signer))
        let strict = try await verifier(TokenSigner.set(signer), issuer: "https://cp", audience: "gateway")
        func check(
            _ verifier: TokenVerifier, _ failure: AuthenticationFailure?, _ change: (inout Claims) -> Void
        ) async throws {
            var claims = Claims(cluster: "a", exp: Self.later)
            change(&claims)
            let outcome = outcome(verifier, try await signer.sign(claims))
            switch outcome {
            case .success: #expect(failure == nil, "\(claims)")
            case .failure(let found): #expect(found == failure, "\(claims)")
            }
        }
        let now = Self.now.timeIntervalSince1970
        try await check(plain, nil) { _ in }
        try await check(plain, .expired) { $0.exp = now }
        try await check(plain, nil) { $0.exp = now + 0.5 }
        try await check(plain, .badClaims) { $0.exp = nil }
        try await check(plain, .notYetValid) { $0.nbf = now + 61 }
        try await check(plain, nil) { $0.nbf = now + 59 }
        try await check(plain, .notYetValid) { $0.iat = now + 61 }
        try await check(plain, .badClaims) { $0.cluster_uuid = nil }
        try await check(plain, .badClaims) { $0.cluster_uuid = "a.b" }
        try await check(plain, .badClaims) { $0.hostnames = ["a..b"] }
        try await check(strict, .wrongIssuer) { $0.aud = ["gateway"] }
        try await check(strict, .wrongIssuer) { ($0.iss, $0.aud) = ("https://other", ["gateway"]) }
        try await check(strict, .wrongAudience) { $0.iss = "https://cp" }
        try await check(strict, .wrongAudience) { ($0.iss, $0.aud) = ("https://cp", ["x"]) }
        try await check(strict, nil) { ($0.iss, $0.aud) = ("https://cp", ["x", "gateway"]) }
    }

    @Test("tokens that nobody signed, or that claim another algorithm than their key's, are refused")
    func forged() async throws {
        let signer = try await TokenSigner(.rs256)
        let stranger = try await TokenSigner(.edDSA)
        let verifier = try await verifier(TokenSigner.set(signer))
        let good = try await signer.sign(Claims(cluster: "a", exp: Self.later))
        let parts = good.split(separator: ".")
        let claims = part(#"{"cluster_uuid":"b","exp":1900000000}"#)
        func signed(_ header: String) -> String { "\(part(header)).\(parts[1]).\(parts[2])" }
        // HMAC with the public key as its secret (RFC 8725 §2.1).
        let confused = part(#"{"alg":"HS256","kid":"k1"}"#) + "." + claims
        let mac = HMAC<SHA256>.authenticationCode(
            for: Data(confused.utf8), using: SymmetricKey(data: Data(signer.jwk.utf8)))
        for (token, failure) in [
            ("\(parts[0]).\(claims).\(parts[2])", .badSignature),
            ("\(parts[0]).\(parts[1]).", .badSignature),
            ("\(parts[0]).\(parts[1]).AAAA", .badSignature),
            ("\(part(#"{"alg":"none","kid":"k1"}"#)).\(claims).", .wrongAlgorithm),
            ("\(confused).\(TokenSigner.base64URL(Data(mac)))", .wrongAlgorithm),
            (signed(#"{"alg":"PS256","kid":"k1"}"#), .wrongAlgorithm),
            (signed(#"{"alg":"ES256","kid":"k1"}"#), .wrongAlgorithm),
            (signed(#"{"alg":"RS256","kid":"k2"}"#), .unknownKey),
            (signed(#"{"alg":"RS256"}"#), .unknownKey),
            (signed(#"{"alg":"RS256","kid":"k1","crit":["exp"]}"#), .malformed),
            (signed(#"{"kid":"k1"}"#), .malformed),
            (signed("[]"), .malformed),
            ("..", .malformed), ("a.b", .malformed), ("", .malformed), ("\(good).", .malformed),
            ("\(parts[0]).\(parts[1]).a=b", .malformed),
        ] as [(String, AuthenticationFailure)] {
            #expect(outcome(verifier, token) == .failure(failure), "\(token)")
        }
        let foreign = try await stranger.sign(Claims(cluster: "a", exp: Self.later))
        #expect(outcome(verifier, foreign) == .failure(.wrongAlgorithm), "the same kid on another key")
    }

    @Test("hostnames that are no list do not allow everything")
    func nullHostnames() async throws {
        // The signer writes no null, so the claims are checked through a key that signs any bytes.
        let key = Curve25519.Signing.PrivateKey()
        let x = TokenSigner.base64URL(key.publicKey.rawRepresentation)
        let verifier = try await verifier(#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"\#(x)"}]}"#)
        func token(_ claims: String) throws -> String {
            let text = part(#"{"alg":"EdDSA","kid":"k"}"#) + "." + part(claims)
            return text + "." + TokenSigner.base64URL(try key.signature(for: Data(text.utf8)))
        }
        let start = #"{"cluster_uuid":"a","exp":1900000000"#
        #expect(throws: Never.self) { try verifier.verify(token(start + #","aud":"x"}"#), now: Self.now) }
        for rest in [#","hostnames":null}"#, #","hostnames":"a.test"}"#, #","aud":5}"#, #","nbf":"now"}"#, ""] {
            #expect(outcome(verifier, try token(start + rest)) == .failure(.badClaims), "\(rest)")
        }
    }

    @Test("a set's defects are named; keys of other kinds are left out and reported")
    func keySets() async throws {
        let signer = try await TokenSigner(.edDSA)
        let without = signer.jwk.replacing(#","kid":"k1""#, with: "")
        let defects: [(String, String)] = [
            ("", "is not a JSON Web Key Set"), ("{}", "is not a JSON Web Key Set"), ("[]", "is not a JSON Web Key Set"),
            ("{\"keys\":[\(without)]}", "keys[0].kid is missing"),
            (TokenSigner.set(signer, signer), "keys[1].kid stands there twice"),
            (#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAA"}]}"#, "keys[0] is no usable EdDSA key"),
            (#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AAAA"}]}"#, "keys[0] is no usable ES256 key"),
            (#"{"keys":[{"kty":"RSA","kid":"a","n":"zzzz","e":"AQAB"}]}"#, "keys[0] is no usable RS256 key of 2048"),
            (
                #"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAA","d":"s3cret"}]}"#,
                "keys[0] is a private key"
            ),
        ]
        for (text, problem) in defects {
            let error = await #expect(throws: CredentialFileError.self) {
                try await TokenKeys(Data(text.utf8), path: "/etc/jwks.json")
            }
            let line = error?.description ?? ""
            #expect(line.hasPrefix("jwks-file /etc/jwks.json \(problem)"), "\(line)")
            #expect(!line.contains("s3cret") && !line.contains("\n"))
        }
        let text = """
            {"keys": [{"kty": "oct", "kid": "h", "k": "c2VjcmV0"}, {"kty": "EC", "crv": "P-384", "kid": "e"},
            {"kty": "RSA", "kid": "r", "alg": "PS256"}, {"kty": "RSA", "kid": "u", "use": "enc"}, \(signer.jwk)]}
            """
        let keys = try await TokenKeys(Data(text.utf8), path: "f")
        #expect(keys.skipped.count == 4)
        for kid in ["h", "e", "r", "u"] { #expect(keys.key(kid) == nil) }
        #expect(keys.key("k1") != nil)
        #expect(try await TokenKeys(Data(#"{"keys":[]}"#.utf8), path: "f").key("k1") == nil)
    }
}
