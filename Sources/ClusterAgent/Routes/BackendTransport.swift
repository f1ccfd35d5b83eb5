package import KubernetesAPI

/// How a backend is spoken to.
package struct BackendTransport: Hashable, Sendable {
    /// HTTP/2, many exchanges on one connection; otherwise HTTP/1.1.
    package var usesHTTP2: Bool
    /// `nil` for plain text.
    package var tls: BackendTLS?

    package init(usesHTTP2: Bool = false, tls: BackendTLS? = nil) {
        self.usesHTTP2 = usesHTTP2
        self.tls = tls
    }

    /// HTTP/1.1 in plain text.
    package static let plain = BackendTransport()

    /// What is spoken, for people.
    var spoken: String { (usesHTTP2 ? "HTTP/2" : "HTTP/1.1") + (tls == nil ? "" : " over TLS") }

    /// The same for a request that wants to switch to another protocol, which is asked for by HTTP/1.1 alone.
    var upgradable: BackendTransport { BackendTransport(tls: tls) }
}

/// Whom to trust behind TLS.
package struct BackendTLS: Hashable, Sendable {
    /// Where the authorities come from that a backend's certificate may be issued by.
    package enum Authority: Hashable, Sendable {
        /// Those of the system, and of the agent's setting `backend-ca-file`.
        case agent
        /// Those in `ca.crt` of this Secret, and no others.
        case secret(ObjectKey)
    }

    /// The name that the certificate must have, and that is asked for (SNI); empty: the host of the request.
    package var serverName: String
    package var authority: Authority
    /// `false` takes any certificate.
    package var isVerified: Bool

    package init(serverName: String, authority: Authority = .agent, isVerified: Bool = true) {
        self.serverName = serverName
        self.authority = authority
        self.isVerified = isVerified
    }
}

/// What a Service's port, or an annotation, says that the backend speaks.
package enum BackendProtocol: String, Hashable, Sendable, CaseIterable {
    case http
    case https
    case h2c
    case h2
    /// HTTP/2 in plain text.
    case grpc
    /// HTTP/2 by TLS.
    case grpcs

    package var usesHTTP2: Bool { self != .http && self != .https }
    package var usesTLS: Bool { self == .https || self == .h2 || self == .grpcs }

    /// The annotation's values; case does not count.
    init?(annotation text: String) { self.init(rawValue: text.lowercased()) }

    /// What is known of `appProtocol`: the names of KEP-3726 and Gateway API, and those of the IANA's registry and of
    /// service meshes; `nil` for all others, which mean nothing here.
    init?(appProtocol text: String) {
        switch text.lowercased() {
        case "http", "kubernetes.io/ws", "ws": self = .http
        case "https", "kubernetes.io/wss", "wss": self = .https
        case "kubernetes.io/h2c", "h2c", "http2": self = .h2c
        case "h2", "kubernetes.io/h2": self = .h2
        case "grpc": self = .grpc
        case "grpcs": self = .grpcs
        default: return nil
        }
    }

    /// The values of ingress-nginx's own annotation that have a meaning without it.
    init?(ingressNginx text: String) {
        switch text.uppercased() {
        case "HTTP": self = .http
        case "HTTPS": self = .https
        case "GRPC": self = .grpc
        case "GRPCS": self = .grpcs
        default: return nil
        }
    }
}

/// What the annotations of an Ingress say about the way to its backends.
///
/// | annotation | |
/// |---|---|
/// | `gateway.pipeops.io/backend-protocol` | http, https, h2c, h2, grpc or grpcs; before the port's `appProtocol` |
/// | `nginx.ingress.kubernetes.io/backend-protocol` | the same, where the first is missing |
/// | `gateway.pipeops.io/backend-server-name` | the name that the backend's certificate must have |
/// | `gateway.pipeops.io/backend-ca-secret` | a Secret of the namespace, whose `ca.crt` has the authorities to trust |
/// | `gateway.pipeops.io/backend-tls-verify` | `"false"` takes any certificate |
package struct BackendAnnotations: Hashable, Sendable {
    package static let protocolName = "gateway.pipeops.io/backend-protocol"
    package static let serverName = "gateway.pipeops.io/backend-server-name"
    package static let authoritySecret = "gateway.pipeops.io/backend-ca-secret"
    package static let verification = "gateway.pipeops.io/backend-tls-verify"
    private static let ingressNginx = "nginx.ingress.kubernetes.io/backend-protocol"

    /// What the annotations say that the backend speaks, whatever its Service says.
    package private(set) var `protocol`: BackendProtocol?
    /// The Secret with the authorities.
    package private(set) var secret: ObjectKey?
    /// What is wrong, and what a person should know; sentences without their ends.
    package private(set) var remarks: [String] = []
    private var name: String?
    private var isVerified = true

    package init(_ annotations: [String: String], namespace: String) {
        if let text = annotations[Self.protocolName] {
            `protocol` = BackendProtocol(annotation: text)
            if `protocol` == nil {
                let known = BackendProtocol.allCases.map(\.rawValue).joined(separator: ", ")
                remarks.append("annotation \(Self.protocolName) is \"\(text)\", not one of \(known), and has no effect")
            }
        } else if let text = annotations[Self.ingressNginx] {
            `protocol` = BackendProtocol(ingressNginx: text)
        }
        if let text = annotations[Self.serverName] {
            if ObjectNames.isSubdomain(text) {
                name = text
            } else {
                remarks.append("annotation \(Self.serverName) is \"\(text)\", which is no DNS name, and has no effect")
            }
        }
        if let text = annotations[Self.authoritySecret] {
            if ObjectNames.isSubdomain(text) {
                secret = ObjectKey(namespace: namespace, name: text)
            } else {
                remarks.append(
                    "annotation \(Self.authoritySecret) is \"\(text)\", not the name of a Secret, and has no effect")
            }
        }
        switch annotations[Self.verification] {
        case nil, "true": break
        case "false":
            isVerified = false
            remarks.append(
                "annotation \(Self.verification) is \"false\": whoever answers for the backend is believed")
        case let text?:
            remarks.append(
                "annotation \(Self.verification) is \"\(text)\", not \"true\" or \"false\", and has no effect")
        }
    }

    /// How a backend is spoken to.
    ///
    /// - Parameters:
    ///   - appProtocol: of the Service's port.
    ///   - name: the name that its certificate has, where no annotation says.
    package func transport(appProtocol: String?, name: String) -> BackendTransport {
        let chosen = `protocol` ?? appProtocol.flatMap { BackendProtocol(appProtocol: $0) } ?? .http
        return BackendTransport(usesHTTP2: chosen.usesHTTP2, tls: chosen.usesTLS ? tls(name: name) : nil)
    }

    /// Whom to trust of what is reached by TLS under this name, where no annotation says another; empty: the host of the
    /// request.
    package func tls(name: String) -> BackendTLS {
        BackendTLS(
            serverName: self.name ?? name, authority: secret.map { .secret($0) } ?? .agent, isVerified: isVerified)
    }
}
