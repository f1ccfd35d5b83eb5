import Foundation

/// Which API server to talk to, and as whom.
package struct KubernetesConfiguration: Hashable, Sendable {
    /// The server's address.
    package var server: ServerAddress
    /// Certificates, in PEM, of the authorities trusted to vouch for the server; nil for those of the system.
    package var certificateAuthority: [UInt8]?
    /// Accept any server certificate. For development only.
    package var insecureSkipTLSVerify: Bool
    /// The name the server's certificate must carry, where it differs from the host in the address.
    package var tlsServerName: String?
    package var clientCertificate: ClientCertificate?
    package var credentials: Credentials
    package var impersonation: Impersonation?
    /// A proxy on the way to the server.
    package var proxy: ProxyAddress?
    /// The namespace to work in where nothing else is said.
    package var namespace: String?
    /// Where this configuration came from, for logs: a file and context, or `in-cluster`.
    package var origin: String
    /// The field that names the token file or the plugin, for when it fails; nil where there is none.
    package var credentialsField: FieldReference?

    package init(
        server: ServerAddress, certificateAuthority: [UInt8]? = nil, insecureSkipTLSVerify: Bool = false,
        tlsServerName: String? = nil, clientCertificate: ClientCertificate? = nil, credentials: Credentials = .none,
        impersonation: Impersonation? = nil, proxy: ProxyAddress? = nil, namespace: String? = nil,
        origin: String = "explicit", credentialsField: FieldReference? = nil
    ) {
        self.server = server
        self.certificateAuthority = certificateAuthority
        self.insecureSkipTLSVerify = insecureSkipTLSVerify
        self.tlsServerName = tlsServerName
        self.clientCertificate = clientCertificate
        self.credentials = credentials
        self.impersonation = impersonation
        self.proxy = proxy
        self.namespace = namespace
        self.origin = origin
        self.credentialsField = credentialsField
    }

    /// A field of a kubeconfig, or what stands for one.
    package struct FieldReference: Hashable, Sendable {
        /// The file, or `in-cluster`.
        package var source: String
        package var context: String?
        package var field: String

        package init(source: String, context: String? = nil, field: String) {
            self.source = source
            self.context = context
            self.field = field
        }

        /// The error that says what is wrong with what the field names.
        func fault(_ problem: String) -> KubernetesConfigurationError {
            KubernetesConfigurationError(source: source, context: context, field: field, problem: problem)
        }
    }

    /// A client certificate and its key, in PEM.
    package struct ClientCertificate: Hashable, Sendable {
        package var certificate: [UInt8]
        package var key: [UInt8]

        package init(certificate: [UInt8], key: [UInt8]) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// How requests prove who sends them.
    package enum Credentials: Hashable, Sendable {
        case none
        case token(String)
        /// Read again as it rotates.
        case tokenFile(path: String)
        case basic(username: String, password: String)
        /// A program that prints an `ExecCredential`.
        case exec(ExecPlugin)
    }
}

/// `scheme://host:port/base`.
package struct ServerAddress: Hashable, Sendable, CustomStringConvertible {
    package var isTLS: Bool
    /// A name or an address, without brackets.
    package var host: String
    package var port: Int
    /// Empty, or a path that starts with a slash and does not end with one.
    package var basePath: String

    package init(isTLS: Bool, host: String, port: Int, basePath: String = "") {
        self.isTLS = isTLS
        self.host = host
        self.port = port
        self.basePath = basePath
    }

    /// Parses `https://host[:port][/base]`, `http://…`, or `host:port` (TLS); nil if it is none of these.
    package init?(_ text: String) {
        var rest = Substring(text)
        if let scheme = rest.range(of: "://") {
            switch rest[..<scheme.lowerBound].lowercased() {
            case "https": isTLS = true
            case "http": isTLS = false
            default: return nil
            }
            rest = rest[scheme.upperBound...]
        } else {
            isTLS = true
        }
        guard !rest.contains(where: { $0 == "@" || $0 == "?" || $0 == "#" || $0.isWhitespace }) else { return nil }
        var path = rest.firstIndex(of: "/").map { rest[$0...] } ?? ""
        rest = rest[..<(rest.firstIndex(of: "/") ?? rest.endIndex)]
        while path.hasSuffix("/") { path.removeLast() }
        basePath = String(path)
        var portText: Substring?
        if rest.hasPrefix("[") {
            guard let close = rest.firstIndex(of: "]") else { return nil }
            host = String(rest[rest.index(after: rest.startIndex)..<close])
            let tail = rest[rest.index(after: close)...]
            guard tail.isEmpty || tail.hasPrefix(":") else { return nil }
            portText = tail.isEmpty ? nil : tail.dropFirst()
        } else if let colon = rest.lastIndex(of: ":") {
            host = String(rest[..<colon])
            portText = rest[rest.index(after: colon)...]
            guard !host.contains(":") else { return nil }
        } else {
            host = String(rest)
        }
        guard !host.isEmpty else { return nil }
        if let portText {
            guard let number = Int(portText), (1...65_535).contains(number) else { return nil }
            port = number
        } else {
            port = isTLS ? 443 : 80
        }
    }

    /// `host:port`, an IPv6 address in brackets.
    package var hostAndPort: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    package var description: String { "\(isTLS ? "https" : "http")://\(hostAndPort)\(basePath)" }
}

/// The configuration cannot be used; says where the fault is and what to do.
package struct KubernetesConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file at fault, or `in-cluster`.
    package var source: String
    /// The context that was being used, where there is one.
    package var context: String?
    /// The field at fault, as in `clusters[dev].cluster.server`.
    package var field: String?
    package var problem: String

    package init(source: String, context: String? = nil, field: String? = nil, problem: String) {
        self.source = source
        self.context = context
        self.field = field
        self.problem = problem
    }

    package var description: String {
        let parts: [String] = [source] + (context.map { ["context \($0)"] } ?? []) + (field.map { [$0] } ?? [])
        return "\(parts.joined(separator: ": ")): \(problem)"
    }
}
