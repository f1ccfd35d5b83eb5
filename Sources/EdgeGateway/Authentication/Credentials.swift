import Foundation

/// All that decides who may open a tunnel, as it was read last: a value, swapped as a whole.
package struct Credentials: Sendable {
    /// What becomes of an identity that was proved before.
    enum Standing: Hashable {
        /// It holds, with these host names.
        case valid(AllowedHostnames)
        case revoked
        case expired
    }

    package var directory: ClusterDirectory
    /// Nil where signed tokens are not taken.
    package var verifier: TokenVerifier?
    /// Whether a client certificate admits without a token, if its cluster is in the clusters file.
    package var certificateAdmits: Bool

    package init(directory: ClusterDirectory, verifier: TokenVerifier? = nil, certificateAdmits: Bool = false) {
        self.directory = directory
        self.verifier = verifier
        self.certificateAdmits = certificateAdmits
    }

    /// - Parameter now: the wall clock's time.
    func standing(of identity: TunnelIdentity, now: Date) -> Standing {
        if directory.isRevoked(identity.cluster) { return .revoked }
        let hostnames: AllowedHostnames
        switch identity.credential {
        case .listedToken(let digest):
            guard let grant = directory.grant(for: digest), grant.cluster == identity.cluster else { return .revoked }
            hostnames = grant.hostnames
        case .certificate:
            guard certificateAdmits, let grant = directory.grant(ofCluster: identity.cluster) else { return .revoked }
            hostnames = grant.hostnames
        case .signedToken(let key):
            guard verifier?.keys.contains(key) == true else { return .revoked }
            hostnames = identity.hostnames
        }
        if let expires = identity.expires, expires <= now { return .expired }
        return .valid(hostnames)
    }
}
