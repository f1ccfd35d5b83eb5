package import NIOHTTP1

/// Fields that concern one connection and are never forwarded (RFC 9110 §7.6.1).
package enum HopByHop {
    private static let names: Set<String> = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
        "transfer-encoding", "upgrade",
    ]

    /// The fields to forward: all but the hop-by-hop ones and those that `Connection` names.
    ///
    /// `TE: trailers` survives, because trailers are carried end to end (gRPC requires it).
    package static func removed(from fields: HTTPHeaders, also isRemoved: (String) -> Bool = { _ in false })
        -> HTTPHeaders
    {
        var nominated: [Substring] = []
        for option in fields[canonicalForm: "connection"] where option.lowercased() != "te" { nominated.append(option) }
        var kept = HTTPHeaders()
        kept.reserveCapacity(fields.count + 4)
        for (name, value) in fields {
            if isHopByHop(name) || isRemoved(name) { continue }
            if !nominated.isEmpty, nominated.contains(where: { $0.lowercased() == name.lowercased() }) { continue }
            kept.add(name: name, value: value)
        }
        let te = fields[canonicalForm: "te"]
        if te.contains(where: { $0.lowercased() == "trailers" }) { kept.add(name: "TE", value: "trailers") }
        return kept
    }

    /// Fields that mean something only before the body: as trailers they could mislead whoever merges them
    /// (RFC 9110 §6.5.1).
    private static let notInTrailers: Set<String> = [
        "content-length", "content-encoding", "content-range", "content-type", "host", "set-cookie", "trailer",
        "authorization", "www-authenticate",
    ]

    /// The trailers to forward.
    package static func trailers(from fields: HTTPHeaders) -> HTTPHeaders {
        removed(from: fields) { notInTrailers.contains($0.lowercased()) }
    }

    private static func isHopByHop(_ name: String) -> Bool {
        // By length first: most names are decided without lower-casing them.
        switch name.utf8.count {
        case 2, 7, 10, 16, 17, 18, 19: names.contains(name.lowercased())
        default: false
        }
    }
}
