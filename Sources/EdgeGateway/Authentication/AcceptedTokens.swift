import Foundation

/// The signed tokens that were accepted lately, by their digest: an agent that comes back is let in without another
/// verification, also while its address is limited because of a neighbour's failures.
struct AcceptedTokens {
    /// Tokens remembered.
    static let most = 16_384

    private var identities: [TokenDigest: TunnelIdentity] = [:]

    var count: Int { identities.count }

    func identity(_ digest: TokenDigest) -> TunnelIdentity? { identities[digest] }

    mutating func remember(_ identity: TunnelIdentity, _ digest: TokenDigest, now: Date) {
        if identities[digest] == nil, identities.count >= Self.most {
            identities = identities.filter { ($0.value.expires ?? .distantFuture) > now }
            // Which ones go does not matter: they are verified once more.
            while identities.count > Self.most / 2 { identities.remove(at: identities.startIndex) }
        }
        identities[digest] = identity
    }

    mutating func forget(_ digest: TokenDigest) { identities[digest] = nil }
}
