import CryptoExtras
package import Foundation
package import JWTKit

/// Signs tokens as a control plane does, and as nobody should.
package struct TokenSigner: Sendable {
    package enum Kind: String, CaseIterable, Sendable { case edDSA = "EdDSA", es256 = "ES256", rs256 = "RS256" }

    /// Claims as they stand in the token.
    package struct Claims: JWTPayload {
        package var cluster_uuid: String?
        package var sub: String?
        package var hostnames: [String]?
        package var exp: Double?
        package var nbf: Double?
        package var iat: Double?
        package var iss: String?
        package var aud: [String]?

        /// - Parameter exp: seconds since 1970; an hour from now unless given.
        package init(cluster: String?, exp: Double? = Date().timeIntervalSince1970 + 3600) {
            cluster_uuid = cluster
            self.exp = exp
        }

        package func verify(using algorithm: some JWTAlgorithm) {}
    }

    package let kid: String
    /// The public key as a JWK.
    package let jwk: String
    private let keys = JWTKeyCollection()

    /// Makes a fresh key; one RSA key serves a whole run.
    package init(_ kind: Kind, kid: String = "k1") async throws {
        self.kid = kid
        let identifier = JWKIdentifier(string: kid)
        switch kind {
        case .edDSA:
            let key = try EdDSA.PrivateKey()
            await keys.add(eddsa: key, kid: identifier)
            let x = Self.base64URL(key.publicKey.rawRepresentation)
            jwk = #"{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"\#(kid)","x":"\#(x)"}"#
        case .es256:
            let key = ES256PrivateKey()
            await keys.add(ecdsa: key, kid: identifier)
            let (x, y) = key.parameters ?? ("", "")
            jwk = #"{"kty":"EC","crv":"P-256","kid":"\#(kid)","x":"\#(Self.inURL(x))","y":"\#(Self.inURL(y))"}"#
        case .rs256:
            let key = try Self.rsa.get()
            await keys.add(rsa: key, digestAlgorithm: .sha256, kid: identifier)
            let (n, e) = try key.publicKey.getKeyPrimitives()
            jwk = #"{"kty":"RSA","kid":"\#(kid)","n":"\#(Self.base64URL(n))","e":"\#(Self.base64URL(e))"}"#
        }
    }

    private static let rsa = Result {
        try Insecure.RSA.PrivateKey(backing: _RSA.Signing.PrivateKey(keySize: .bits2048))
    }

    package func sign(_ claims: Claims) async throws -> String {
        try await keys.sign(claims, kid: JWKIdentifier(string: kid))
    }

    /// A JSON Web Key Set.
    package static func set(_ keys: TokenSigner...) -> String {
        "{\"keys\":[\(keys.map(\.jwk).joined(separator: ","))]}"
    }

    /// RFC 4648 §5, without padding.
    package static func base64URL(_ data: Data) -> String { inURL(data.base64EncodedString()) }

    private static func inURL(_ text: String) -> String {
        String(text.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }.filter { $0 != "=" })
    }
}
