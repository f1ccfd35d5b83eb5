import HTTPExchange
import Routing
import TunnelProtocol

/// Where a request wants to go (RFC 9112 §3.2, §3.2.2).
struct RequestTarget {
    /// As the client sent it; what the application sees as `Host`.
    var authority: String
    /// As routes are looked up.
    var host: String
    /// Path and query, untouched.
    var target: String

    init(_ request: HTTP1Request) throws(ExchangeFailure) {
        var hosts = 0
        var host = ""
        request.fields.forEachField { field in
            guard FieldKind(field.name) == .host else { return }
            hosts += 1
            host = field.valueText
        }
        guard hosts <= 1 else { throw .badRequest("it has more than one Host field") }
        // Optional only where a URL names the host and the client is older than the field.
        guard hosts == 1 || request.version == .http10 else { throw .badRequest("it has no Host field") }
        guard request.method != "CONNECT" else { throw .badRequest("a tunnel to a host is not to be had here") }
        // Where a path ends and a fragment begins, two recipients could see differently.
        guard !request.target.utf8.contains(UInt8(ascii: "#")) else { throw .badRequest("its target has a fragment") }
        if request.target.utf8.first == UInt8(ascii: "/") || request.target == "*" && request.method == "OPTIONS" {
            guard hosts == 1 else { throw .badRequest("it has no Host field") }
            authority = host
            target = request.target
        } else if let rest = request.target.behindScheme {
            guard Self.isAuthority(host) else { throw .badRequest("its Host is not a host with an optional port") }
            let end = rest.utf8.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
            authority = String(rest[..<end])
            let path = rest[end...]
            target = path.utf8.first == UInt8(ascii: "/") ? String(path) : "/" + path
        } else {
            throw .badRequest("its target is neither a path nor a URL of HTTP")
        }
        self.host = RequestHost.normalize(authority)
        guard !self.host.isEmpty else { throw .badRequest("it names no host") }
        guard Self.isAuthority(authority) else { throw .badRequest("its Host is not a host with an optional port") }
    }

    /// `host [":" port]` (RFC 9110 §7.2): what is looked up must be all there is.
    private static func isAuthority(_ authority: String) -> Bool {
        var rest = authority.utf8[...]
        if rest.first == UInt8(ascii: "[") {
            guard let end = rest.firstIndex(of: UInt8(ascii: "]")) else { return false }
            rest = rest[rest.index(after: end)...]
        } else {
            rest = rest.drop { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                    UInt8(ascii: "*"):
                    true
                default: false
                }
            }
        }
        guard rest.first == UInt8(ascii: ":") else { return rest.isEmpty }
        return rest.count <= 6 && rest.dropFirst().allSatisfy { (0x30...0x39).contains($0) }
    }

    /// Without the query.
    var path: Substring {
        guard let query = target.utf8.firstIndex(of: UInt8(ascii: "?")) else { return target[...] }
        return target[..<query]
    }
}

extension String {
    /// What follows `http://` or `https://`, in letters of either case; `nil` where the text begins otherwise.
    fileprivate var behindScheme: Substring? {
        for scheme in ["http://", "https://"] where utf8.starts(with: scheme.utf8, by: { $0 | 0x20 == $1 }) {
            return self[utf8.index(startIndex, offsetBy: scheme.utf8.count)...]
        }
        return nil
    }
}
