import Foundation
package import JWTKit

/// The keys that sign tokens, from a JSON Web Key Set (RFC 7517 §5): EdDSA with Ed25519, ES256 and RS256, found by
/// `kid`. Only public keys are taken.
package struct TokenKeys: Sendable {
    package struct Key: Sendable {
        package var id: TokenKeyID
        package var algorithm: any JWTAlgorithm
    }

    private var keys: [String: Key] = [:]
    /// Keys that are left out, and why: of a kind that the gateway does not take (RFC 7517 §5 wants them ignored).
    package private(set) var skipped: [String] = []

    /// Reads the file.
    ///
    /// - Throws: `CredentialFileError`, one line that names the file and the entry.
    package init(path: String) async throws {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw CredentialFileError(setting: "jwks-file", path: path, problem: "cannot be read")
        }
        try await self.init(data, path: path)
    }

    init(_ data: Data, path: String) async throws {
        func defect(_ problem: String) -> CredentialFileError {
            CredentialFileError(setting: "jwks-file", path: path, problem: problem)
        }
        guard let set = try? JSONDecoder().decode(KeySet.self, from: data) else {
            throw defect("is not a JSON Web Key Set, an object with a list of keys")
        }
        for (index, entry) in set.keys.enumerated() {
            if entry.d != nil { throw defect("keys[\(index)] is a private key, and belongs where tokens are signed") }
            guard let kind = entry.kind else {
                skipped.append("keys[\(index)] is no EdDSA (Ed25519), ES256 or RS256 key for signatures")
                continue
            }
            guard let kid = entry.kid, !kid.isEmpty else { throw defect("keys[\(index)].kid is missing") }
            let algorithm: any JWTAlgorithm
            do {
                algorithm = try await kind.algorithm(kid: kid)
            } catch {
                throw defect("keys[\(index)] is no usable \(kind.name) key\(kind.condition)")
            }
            let key = Key(id: TokenKeyID(kid: kid, material: kind.digest), algorithm: algorithm)
            guard keys.updateValue(key, forKey: kid) == nil else {
                throw defect("keys[\(index)].kid stands there twice")
            }
        }
    }

    /// The key a token's header names.
    package func key(_ kid: String) -> Key? { keys[kid] }

    /// Whether this very key still is in the set.
    package func contains(_ id: TokenKeyID) -> Bool { keys[id.kid]?.id == id }

    private struct KeySet: Decodable {
        var keys: [Entry]
    }

    private struct Entry: Decodable {
        var kty: String
        var crv: String?
        var alg: String?
        var use: String?
        var kid: String?
        var n: String?
        var e: String?
        var x: String?
        var y: String?
        /// Only a private key has it (RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2).
        var d: String?

        var kind: Kind? {
            guard use == nil || use == "sig" else { return nil }
            return switch (kty, crv, alg) {
            case ("OKP", "Ed25519", nil), ("OKP", "Ed25519", "EdDSA"): .edDSA(x: x ?? "")
            case ("EC", "P-256", nil), ("EC", "P-256", "ES256"): .es256(x: x ?? "", y: y ?? "")
            case ("RSA", _, nil), ("RSA", _, "RS256"): .rs256(n: n ?? "", e: e ?? "")
            default: nil
            }
        }
    }

    private enum Kind {
        case edDSA(x: String)
        case es256(x: String, y: String)
        case rs256(n: String, e: String)

        var name: String {
            switch self {
            case .edDSA: "EdDSA"
            case .es256: "ES256"
            case .rs256: "RS256"
            }
        }

        var condition: String {
            if case .rs256 = self { " of 2048 bits or more" } else { "" }
        }

        var digest: TokenDigest {
            switch self {
            case .edDSA(let x): TokenDigest(of: "EdDSA \(x)")
            case .es256(let x, let y): TokenDigest(of: "ES256 \(x) \(y)")
            case .rs256(let n, let e): TokenDigest(of: "RS256 \(n) \(e)")
            }
        }

        func algorithm(kid: String) async throws -> any JWTAlgorithm {
            let identifier = JWKIdentifier(string: kid)
            let key: JWK =
                switch self {
                case .edDSA(let x): .octetKeyPair(.eddsa, identifier: identifier, x: x, y: nil, curve: .ed25519)
                case .es256(let x, let y): .ecdsa(.es256, identifier: identifier, x: x, y: y, curve: .p256)
                case .rs256(let n, let e): .rsa(.rs256, identifier: identifier, modulus: n, exponent: e)
                }
            // A collection of its own for each key: with several, an unknown `kid` would fall to the first of them.
            return try await JWTKeyCollection().add(jwk: key).getKey(for: identifier)
        }
    }
}
