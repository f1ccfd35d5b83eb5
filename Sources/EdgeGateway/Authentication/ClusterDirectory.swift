import Foundation
import Routing
import Yams

/// The clusters that may connect, by the SHA-256 of their tokens. Tokens themselves are nowhere kept.
///
/// ```yaml
/// clusters:
///   - uuid: 6f1c…
///     # Or a list: while a token is changed, the old one and the new one both open tunnels.
///     tokenSHA256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
///     # Names the cluster may serve beside its own; all, if this is absent.
///     hostnames: [shop.example.com, "*.apps.example.com"]
///     # Requests per second, and at once; or off. What the setting rate-limit says, if this is absent.
///     rateLimit: 50:500
/// # Clusters that no token and no certificate admits.
/// revoked: []
/// ```
package struct ClusterDirectory: Sendable {
    /// What a cluster's entry gives to whoever proves to be the cluster.
    package struct Grant: Hashable, Sendable {
        package var cluster: String
        package var hostnames: AllowedHostnames
    }

    /// A directory without clusters, for a gateway that knows them by signed tokens only.
    package static let empty = ClusterDirectory()

    private var grants: [TokenDigest: Grant] = [:]
    private var clusters: [String: Grant] = [:]
    private var revoked: Set<String> = []
    /// Of the clusters that have limits of their own.
    package private(set) var rateLimits: [String: RateLimit] = [:]

    private init() {}

    /// Reads the file, YAML or JSON.
    ///
    /// - Throws: `CredentialFileError`, one line that names the file and the entry.
    package init(path: String) throws(CredentialFileError) {
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw Self.error(path, "cannot be read")
        }
        try self.init(text: text, path: path)
    }

    init(text: String, path: String) throws(CredentialFileError) {
        let file: File
        do {
            file = try YAMLDecoder().decode(File.self, from: text)
        } catch DecodingError.dataCorrupted(let context) where context.underlyingError is UnknownField {
            throw Self.error(path, (context.underlyingError as? UnknownField)?.problem ?? "")
        } catch {
            throw Self.error(path, "is not a list of clusters with uuid and tokenSHA256")
        }
        for (index, entry) in file.clusters.enumerated() {
            guard let uuid = ClusterName.canonical(entry.uuid) else {
                throw Self.error(path, "clusters[\(index)].uuid is not a DNS label of letters, digits and hyphens")
            }
            let grant: Grant
            do {
                grant = Grant(cluster: uuid, hostnames: try entry.hostnames.map(AllowedHostnames.init) ?? .all)
            } catch {
                throw Self.error(path, "clusters[\(index)].hostnames: \(error)")
            }
            guard clusters.updateValue(grant, forKey: uuid).map({ $0 == grant }) ?? true else {
                throw Self.error(path, "clusters[\(index)].hostnames are others than those of \(uuid) above")
            }
            if let text = entry.rateLimit {
                guard let limit = RateLimit(text) else {
                    throw Self.error(path, "clusters[\(index)].rateLimit must be \(RateLimit.expected)")
                }
                guard rateLimits.updateValue(limit, forKey: uuid).map({ $0 == limit }) ?? true else {
                    throw Self.error(path, "clusters[\(index)].rateLimit is another than that of \(uuid) above")
                }
            }
            for text in entry.tokens {
                guard let digest = TokenDigest(hex: text) else {
                    throw Self.error(path, "clusters[\(index)].tokenSHA256 is not 64 hexadecimal digits")
                }
                guard grants.updateValue(grant, forKey: digest) == nil else {
                    throw Self.error(path, "clusters[\(index)].tokenSHA256 stands there twice")
                }
            }
        }
        for (index, text) in (file.revoked ?? []).enumerated() {
            guard let uuid = ClusterName.canonical(text) else {
                throw Self.error(path, "revoked[\(index)] is not a cluster's uuid")
            }
            revoked.insert(uuid)
        }
    }

    /// What a token's digest opens.
    package func grant(for digest: TokenDigest) -> Grant? { grants[digest] }

    /// What a client certificate of the cluster opens.
    package func grant(ofCluster cluster: String) -> Grant? { clusters[cluster] }

    /// Whether nothing at all admits the cluster.
    package func isRevoked(_ cluster: String) -> Bool { revoked.contains(cluster) }

    private static func error(_ path: String, _ problem: String) -> CredentialFileError {
        CredentialFileError(setting: "clusters-file", path: path, problem: problem)
    }

    /// A field that is not known may be a restriction misspelt: it must not pass as none.
    private struct UnknownField: Error {
        var problem: String

        private struct Name: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        static func refuse<Known: CodingKey & CaseIterable>(in decoder: any Decoder, but known: Known.Type) throws {
            let names = Set(known.allCases.map(\.stringValue))
            let found = try decoder.container(keyedBy: Name.self).allKeys.map(\.stringValue).sorted()
            guard let unknown = found.first(where: { !names.contains($0) }) else { return }
            let place = decoder.codingPath.reduce(into: "") { place, key in
                place += key.intValue.map { "[\($0)]" } ?? key.stringValue
            }
            let allowed = known.allCases.map(\.stringValue).joined(separator: ", ")
            throw Self(problem: "\(place.isEmpty ? "" : place + ".")\(unknown) is not known; allowed are \(allowed)")
        }
    }

    private struct File: Decodable {
        var clusters: [Entry]
        var revoked: [String]?

        enum CodingKeys: String, CodingKey, CaseIterable { case clusters, revoked }

        init(from decoder: any Decoder) throws {
            try UnknownField.refuse(in: decoder, but: CodingKeys.self)
            let fields = try decoder.container(keyedBy: CodingKeys.self)
            clusters = try fields.decode([Entry].self, forKey: .clusters)
            revoked = try fields.decodeIfPresent([String].self, forKey: .revoked)
        }
    }

    private struct Entry: Decodable {
        var uuid: String
        var tokens: [String]
        var hostnames: [String]?
        var rateLimit: String?

        enum CodingKeys: String, CodingKey, CaseIterable { case uuid, tokenSHA256, hostnames, rateLimit }

        init(from decoder: any Decoder) throws {
            try UnknownField.refuse(in: decoder, but: CodingKeys.self)
            let fields = try decoder.container(keyedBy: CodingKeys.self)
            uuid = try fields.decode(String.self, forKey: .uuid)
            do {
                tokens = try fields.decode([String].self, forKey: .tokenSHA256)
            } catch {
                tokens = [try fields.decode(String.self, forKey: .tokenSHA256)]
            }
            // A field without a value is no list: it must not allow everything.
            if fields.contains(.rateLimit) { rateLimit = try fields.decode(String.self, forKey: .rateLimit) }
            if fields.contains(.hostnames) { hostnames = try fields.decode([String].self, forKey: .hostnames) }
        }
    }
}

/// A file with credentials that cannot be used.
package struct CredentialFileError: Error, Hashable, CustomStringConvertible {
    /// The name of the setting that gives the file's path.
    package var setting: String
    package var path: String
    /// The rest of a sentence; names the entry, and never holds a secret.
    package var problem: String

    package var description: String { "\(setting) \(path) \(problem)" }
}
