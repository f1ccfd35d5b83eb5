import Foundation
import Yams

/// A kubeconfig file, or several merged, as far as this client uses it.
struct Kubeconfig: Sendable {
    /// An entry and the file it came from: relative paths in it are relative to that file.
    struct Sourced<Value: Sendable>: Sendable {
        var value: Value
        var file: String
    }

    struct Cluster: Decodable, Sendable {
        var server: String?
        var certificateAuthority: String?
        var certificateAuthorityData: String?
        var insecureSkipTLSVerify: Bool?
        var tlsServerName: String?
        var proxyURL: String?
        var extensions: [Extension]?

        enum CodingKeys: String, CodingKey {
            case server, extensions
            case certificateAuthority = "certificate-authority"
            case certificateAuthorityData = "certificate-authority-data"
            case insecureSkipTLSVerify = "insecure-skip-tls-verify"
            case tlsServerName = "tls-server-name"
            case proxyURL = "proxy-url"
        }
    }

    /// What others have left in the file.
    struct Extension: Decodable, Sendable {
        var name: String
        var `extension`: OpaqueJSON?
    }

    struct User: Decodable, Sendable {
        var clientCertificate: String?
        var clientCertificateData: String?
        var clientKey: String?
        var clientKeyData: String?
        var token: String?
        var tokenFile: String?
        var username: String?
        var password: String?
        var exec: Exec?
        var authProvider: AuthProvider?
        var impersonate: String?
        var impersonateUID: String?
        var impersonateGroups: [String]?
        var impersonateExtra: [String: [String]]?

        enum CodingKeys: String, CodingKey {
            case token, tokenFile, username, password, exec
            case authProvider = "auth-provider"
            case impersonate = "as"
            case impersonateUID = "as-uid"
            case impersonateGroups = "as-groups"
            case impersonateExtra = "as-user-extra"
            case clientCertificate = "client-certificate"
            case clientCertificateData = "client-certificate-data"
            case clientKey = "client-key"
            case clientKeyData = "client-key-data"
        }
    }

    /// What plugins have replaced; only to say so.
    struct AuthProvider: Decodable, Sendable {
        var name: String?
    }

    struct Exec: Decodable, Sendable {
        struct Variable: Decodable, Sendable {
            var name: String
            var value: String
        }
        var apiVersion: String?
        var command: String
        var args: [String]?
        var env: [Variable]?
        var provideClusterInfo: Bool?
        var interactiveMode: String?
        /// How to get the command where it is missing.
        var installHint: String?
    }

    struct Context: Decodable, Sendable {
        var cluster: String?
        var user: String?
        var namespace: String?
    }

    var currentContext: Sourced<String>?
    var clusters: [String: Sourced<Cluster>] = [:]
    var users: [String: Sourced<User>] = [:]
    var contexts: [String: Sourced<Context>] = [:]

    /// Adds a file's entries; those already there win, as kubectl merges `KUBECONFIG` lists.
    mutating func merge(yaml: String, file: String) throws(KubernetesConfigurationError) {
        let parsed: File
        do {
            // An empty file is an empty configuration.
            let isEmpty = yaml.allSatisfy { $0.isWhitespace }
            parsed = isEmpty ? File() : try YAMLDecoder().decode(File.self, from: yaml)
        } catch let error as DecodingError {
            throw KubernetesConfigurationError(source: file, problem: describe(decodingFailure: error))
        } catch {
            throw KubernetesConfigurationError(source: file, problem: "not valid YAML: \(error)")
        }
        if currentContext == nil, let name = parsed.currentContext, !name.isEmpty {
            currentContext = Sourced(value: name, file: file)
        }
        for entry in parsed.clusters ?? [] where clusters[entry.name] == nil {
            clusters[entry.name] = Sourced(value: entry.cluster, file: file)
        }
        for entry in parsed.users ?? [] where users[entry.name] == nil {
            users[entry.name] = Sourced(value: entry.user ?? User(), file: file)
        }
        for entry in parsed.contexts ?? [] where contexts[entry.name] == nil {
            contexts[entry.name] = Sourced(value: entry.context, file: file)
        }
    }

    private struct File: Decodable {
        struct NamedCluster: Decodable {
            var name: String
            var cluster: Cluster
        }
        struct NamedUser: Decodable {
            var name: String
            var user: User?
        }
        struct NamedContext: Decodable {
            var name: String
            var context: Context
        }
        var currentContext: String?
        var clusters: [NamedCluster]?
        var users: [NamedUser]?
        var contexts: [NamedContext]?

        enum CodingKeys: String, CodingKey {
            case clusters, users, contexts
            case currentContext = "current-context"
        }
    }
}
