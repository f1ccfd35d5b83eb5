import TunnelTransport

/// Why a handshake proved nothing. The raw value is the label of the metric.
package enum AuthenticationFailure: String, Error, CaseIterable, Hashable, Sendable {
    /// Neither a token nor a certificate that admits.
    case missing
    /// A token that is too long, or a signed one whose header cannot be read.
    case malformed
    /// A token that is not in the clusters file, and no signed one that could be verified.
    case unknownToken = "unknown_token"
    /// A signed token whose `kid` is not in the JWKS file.
    case unknownKey = "unknown_key"
    /// A signed token whose `alg` is not that of its key; `none` and HMAC among them.
    case wrongAlgorithm = "wrong_algorithm"
    case badSignature = "bad_signature"
    case expired
    case notYetValid = "not_yet_valid"
    case wrongIssuer = "wrong_issuer"
    case wrongAudience = "wrong_audience"
    /// A claim is missing or cannot be used.
    case badClaims = "bad_claims"
    /// The cluster is on the clusters file's list `revoked`.
    case revoked
    /// A certificate that names no cluster, or one that is not in the clusters file.
    case badCertificate = "bad_certificate"
    /// Certificate and token name different clusters.
    case otherCertificate = "other_certificate"
    /// Too many failures from this address: whether this was one is not told.
    case limited

    /// For the answer and both logs; never anything of the token.
    var detail: String {
        switch self {
        case .missing: "a bearer token is required"
        case .malformed: "the token is malformed"
        case .unknownToken: "the token belongs to no cluster"
        case .unknownKey: "the token is signed with a key that is not known"
        case .wrongAlgorithm: "the token is signed with another algorithm than its key is for"
        case .badSignature: "the token's signature is not valid"
        case .expired: "the token or certificate has expired"
        case .notYetValid: "the token is not valid yet"
        case .wrongIssuer: "the token is from another issuer"
        case .wrongAudience: "the token is for another audience"
        case .badClaims: "the token lacks a claim, or has one that cannot be used"
        case .revoked: "the cluster is revoked"
        case .badCertificate: "the client certificate belongs to no cluster"
        case .otherCertificate: "the token and the client certificate belong to different clusters"
        case .limited: "too many failed attempts from this address"
        }
    }

    /// - Parameter retryAfter: seconds, for `limited`.
    func refusal(retryAfter: Int? = nil) -> TunnelRefusal {
        TunnelRefusal(self == .limited ? .tooManyAttempts : .unauthorized, detail, retryAfter: retryAfter)
    }
}
