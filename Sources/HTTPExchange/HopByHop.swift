package import TunnelProtocol

/// Fields that concern one connection and are never forwarded (RFC 9110 §7.6.1).
package enum HopByHop {
    /// The fields to forward: all but the hop-by-hop ones and those that `Connection` names.
    ///
    /// `TE: trailers` survives, because trailers are carried end to end (gRPC requires it).
    ///
    /// - Parameter isRemoved: whether a field goes that is none of these.
    package static func removed(
        from fields: HeaderFields, also isRemoved: (HeaderField, FieldKind) -> Bool = { _, _ in false }
    ) -> HeaderFields {
        var nominated: [Substring]?
        var kept = HeaderFields(reserving: fields.byteCount + 128)
        var hasTE = false
        // `Connection` may stand behind what it names: then the fields are gone through again.
        fields.forEachField { field in
            switch FieldKind(field.name) {
            case .connection: if nominated == nil { nominated = self.nominated(by: fields) }
            case .te: hasTE = true
            case .hopByHop, .transferEncoding: break
            case let kind: if !isRemoved(field, kind) { kept.add(field) }
            }
        }
        if let nominated, !nominated.isEmpty {
            let all = kept
            kept = HeaderFields(reserving: all.byteCount + 128)
            all.forEachField { field in
                if !nominated.contains(where: { field.isNamed(String($0)) }) { kept.add(field) }
            }
        }
        if hasTE, fields.list("te").contains(where: { $0.lowercased() == "trailers" }) {
            kept.add(name: "TE", value: "trailers")
        }
        return kept
    }

    /// The names in `Connection`, but for those that are no fields or are dealt with anyway.
    private static func nominated(by fields: HeaderFields) -> [Substring] {
        fields.list("connection").filter { option in
            switch option.lowercased() {
            case "te", "close", "keep-alive", "upgrade": false
            default: true
            }
        }
    }

    /// Fields that mean something only before the body: as trailers they could mislead whoever merges them
    /// (RFC 9110 §6.5.1).
    private static let notInTrailers: Set<String> = [
        "content-length", "content-encoding", "content-range", "content-type", "host", "set-cookie", "trailer",
        "authorization", "www-authenticate",
    ]

    /// The trailers to forward.
    package static func trailers(from fields: HeaderFields) -> HeaderFields {
        removed(from: fields) { field, _ in notInTrailers.contains(field.nameText.lowercased()) }
    }
}
