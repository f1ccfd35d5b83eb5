package import Foundation

/// What a tunnel's handshake has proved: for which cluster it speaks, with which rights, and by what.
package struct TunnelIdentity: Hashable, Sendable {
    package var cluster: String
    package var hostnames: AllowedHostnames
    package var credential: Credential
    /// When the proof ends; nil if it does not by itself.
    package var expires: Date?
}

/// What proved an identity, so that the tunnel can be closed once it is withdrawn. Holds no secret.
package enum Credential: Hashable, Sendable {
    /// A token of the clusters file.
    case listedToken(TokenDigest)
    /// A token signed with this key.
    case signedToken(key: TokenKeyID)
    /// A client certificate alone.
    case certificate
}

/// A key that signs tokens: the same `kid` with other key material is another key.
package struct TokenKeyID: Hashable, Sendable {
    package var kid: String
    package var material: TokenDigest
}
