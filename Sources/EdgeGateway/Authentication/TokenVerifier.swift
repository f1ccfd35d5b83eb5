package import Foundation
import JWTKit

/// Verifies signed tokens (RFC 7519) against a set of keys. CPU work, up to a tenth of a millisecond: never on an event
/// loop.
package struct TokenVerifier: Sendable {
    /// What `nbf` and `iat` may lie in the future, in seconds, because clocks differ.
    static let leeway = 60.0

    package let keys: TokenKeys
    private let issuer: String?
    private let audience: String?

    /// - Parameters:
    ///   - issuer: what `iss` must be, if anything.
    ///   - audience: what must be among `aud`, if anything.
    package init(keys: TokenKeys, issuer: String?, audience: String?) {
        self.keys = keys
        self.issuer = issuer
        self.audience = audience
    }

    /// Whether a text has the shape of a signed token in compact form (RFC 7515 §7.1): three parts of base64url.
    package static func isSigned(_ token: String) -> Bool {
        var dots = 0
        for byte in token.utf8 {
            if byte == UInt8(ascii: ".") {
                dots += 1
            } else if !Base64URL.isDigit(byte) {
                return false
            }
        }
        return dots == 2
    }

    /// Checks header, key, signature and claims, in this order: nothing is read from claims that nobody signed.
    ///
    /// - Parameter now: the wall clock's time.
    package func verify(_ token: String, now: Date) throws(AuthenticationFailure) -> TunnelIdentity {
        let parts = token.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let header: Header = Self.decode(parts[0]), header.crit == nil,
            let signature = Base64URL.decode(parts[2])
        else { throw .malformed }
        guard let kid = header.kid, let key = keys.key(kid) else { throw .unknownKey }
        // The key decides what it is for, never the token (RFC 8725 §3.1).
        guard header.alg == key.algorithm.name else { throw .wrongAlgorithm }
        let signed = Array(token.utf8.prefix(parts[0].count + 1 + parts[1].count))
        guard (try? key.algorithm.verify(signature, signs: signed)) == true else { throw .badSignature }
        guard let claims: Claims = Self.decode(parts[1]) else { throw .badClaims }
        return try identity(claims, key.id, now.timeIntervalSince1970)
    }

    private func identity(
        _ claims: Claims, _ key: TokenKeyID, _ now: Double
    ) throws(AuthenticationFailure) -> TunnelIdentity {
        guard claims.exp > now else { throw .expired }
        guard (claims.nbf ?? now) <= now + Self.leeway, (claims.iat ?? now) <= now + Self.leeway else {
            throw .notYetValid
        }
        if let issuer, claims.iss != issuer { throw .wrongIssuer }
        if let audience, !claims.aud.contains(audience) { throw .wrongAudience }
        guard let cluster = (claims.cluster ?? claims.sub).flatMap(ClusterName.canonical) else { throw .badClaims }
        var hostnames = AllowedHostnames.all
        if let patterns = claims.hostnames {
            do {
                hostnames = try AllowedHostnames(patterns)
            } catch {
                throw .badClaims
            }
        }
        return TunnelIdentity(
            cluster: cluster, hostnames: hostnames, credential: .signedToken(key: key),
            expires: Date(timeIntervalSince1970: claims.exp))
    }

    private static func decode<Part: Decodable>(_ text: Substring.UTF8View) -> Part? {
        Base64URL.decode(text).flatMap { try? JSONDecoder().decode(Part.self, from: $0) }
    }

    private struct Header: Decodable {
        var alg: String
        var kid: String?
        /// Extensions that must be understood (RFC 7515 §4.1.11): none is.
        var crit: [String]?
    }

    private struct Claims: Decodable {
        var cluster: String?
        var sub: String?
        var hostnames: [String]?
        var exp: Double
        var nbf: Double?
        var iat: Double?
        var iss: String?
        var aud: [String]

        enum CodingKeys: String, CodingKey {
            case cluster = "cluster_uuid"
            case sub, hostnames, exp, nbf, iat, iss, aud
        }

        init(from decoder: any Decoder) throws {
            let fields = try decoder.container(keyedBy: CodingKeys.self)
            cluster = try fields.decodeIfPresent(String.self, forKey: .cluster)
            sub = try fields.decodeIfPresent(String.self, forKey: .sub)
            // `null` is no list: it must not allow everything.
            if fields.contains(.hostnames) { hostnames = try fields.decode([String].self, forKey: .hostnames) }
            exp = try fields.decode(Double.self, forKey: .exp)
            nbf = try fields.decodeIfPresent(Double.self, forKey: .nbf)
            iat = try fields.decodeIfPresent(Double.self, forKey: .iat)
            iss = try fields.decodeIfPresent(String.self, forKey: .iss)
            // One text, or several (RFC 7519 §4.1.3).
            if let one = try? fields.decode(String.self, forKey: .aud) {
                aud = [one]
            } else {
                aud = try fields.decodeIfPresent([String].self, forKey: .aud) ?? []
            }
        }
    }
}

/// Base64 with the alphabet for URLs and without padding (RFC 4648 §5, RFC 7515 §2).
private enum Base64URL {
    static func isDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// Nil for anything but digits of the alphabet.
    static func decode(_ text: Substring.UTF8View) -> Data? {
        guard text.allSatisfy(isDigit) else { return nil }
        var digits = text.map {
            $0 == UInt8(ascii: "-") ? UInt8(ascii: "+") : $0 == UInt8(ascii: "_") ? UInt8(ascii: "/") : $0
        }
        while !digits.count.isMultiple(of: 4) { digits.append(UInt8(ascii: "=")) }
        return Data(base64Encoded: Data(digits))
    }
}
