import Foundation

/// A proxy on the way to the API server, as `proxy-url` of a kubeconfig names it.
package struct ProxyAddress: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// Speaks HTTP, and connects on `CONNECT`.
        case http
        /// Speaks SOCKS 5 (RFC 1928), without authentication.
        case socks
    }

    /// What an HTTP proxy is told about who asks (`Proxy-Authorization: Basic`).
    package struct Login: Hashable, Sendable {
        package var name: String
        package var password: String

        package init(name: String, password: String) {
            self.name = name
            self.password = password
        }
    }

    /// Why a `proxy-url` cannot be used, as a sentence. Never tells a password.
    package struct Problem: Error, Hashable, CustomStringConvertible {
        package var description: String
    }

    package var kind: Kind
    /// A name or an address, without brackets.
    package var host: String
    package var port: Int
    package var login: Login?

    package init(kind: Kind, host: String, port: Int, login: Login? = nil) {
        self.kind = kind
        self.host = host
        self.port = port
        self.login = login
    }

    /// Parses `http://[name[:password]@]host[:port]` or `socks5://host[:port]`.
    package init(_ text: String) throws(Problem) {
        guard let scheme = text.range(of: "://") else {
            throw Problem(description: "must begin with http:// or socks5://")
        }
        let name = text[..<scheme.lowerBound].lowercased()
        switch name {
        case "http": kind = .http
        case "socks5", "socks5h": kind = .socks
        case "https":
            throw Problem(
                description: "a proxy that is itself spoken to with TLS is not supported; use http:// or socks5://")
        default: throw Problem(description: "must begin with http:// or socks5://, not \(name)://")
        }
        var rest = text[scheme.upperBound...]
        rest = rest[..<(rest.firstIndex(where: { "/?#".contains($0) }) ?? rest.endIndex)]
        if let at = rest.lastIndex(of: "@") {
            let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                .map { $0.removingPercentEncoding ?? String($0) }
            login = Login(name: parts.first ?? "", password: parts.count > 1 ? parts[1] : "")
            rest = rest[rest.index(after: at)...]
        }
        if kind == .socks, login != nil {
            throw Problem(description: "a SOCKS proxy that asks for a name and a password is not supported")
        }
        // The same rules as for a server's address, but for the port where none is given.
        guard let address = ServerAddress("http://\(rest)") else {
            throw Problem(description: "not the address of a proxy: \(name)://\(rest)")
        }
        host = address.host
        let hasPort = rest.hasSuffix(":\(address.port)")
        port = kind == .socks && !hasPort ? 1080 : address.port
    }
}
