package import TunnelProtocol

/// Fields that concern one connection and are never forwarded (RFC 9110 §7.6.1).
package enum HopByHop {
    /// The fields to forward: all but the hop-by-hop ones and those that `Connection` names (with `_` read as `-`).
    ///
    /// `TE: trailers` survives, because trailers are carried end to end (gRPC requires it).
    ///
    /// - Parameter isRemoved: whether a field goes that is none of these.
    package static func removed(
        from fields: HeaderFields, also isRemoved: (HeaderField, FieldKind) -> Bool = { _, _ in false }
    ) -> HeaderFields {
        var nominated: Set<String> = []
        var kept = HeaderFields(choosingFrom: fields)
        var takesTrailers = false
        // `Connection` may stand behind what it names: then the fields are gone through again.
        fields.forEachField { field in
            switch FieldKind(field.name) {
            case .connection:
                field.forEachMember { option in
                    if Self.isField(option) {
                        nominated.insert(FieldKind.folded(String(decoding: option, as: UTF8.self)))
                    }
                }
            case .te: field.forEachMember { if $0.equalsIgnoringCase("trailers") { takesTrailers = true } }
            case .hopByHop, .transferEncoding: break
            case let kind: if !isRemoved(field, kind) { kept.add(field) }
            }
        }
        if !nominated.isEmpty {
            let all = kept
            kept = HeaderFields(choosingFrom: all)
            all.forEachField { field in
                if !nominated.contains(FieldKind.folded(field.nameText)) { kept.add(field) }
            }
        }
        if takesTrailers { kept.add(name: "TE", value: "trailers") }
        return kept
    }

    /// Whether an option of `Connection` may name a field that is not dealt with anyway. The request's name is one from
    /// end to end: the log and the application know it by that, whatever the client says.
    private static func isField(_ option: UnsafeRawBufferPointer) -> Bool {
        !option.equalsIgnoringCase("te") && !option.equalsIgnoringCase("close")
            && !option.equalsIgnoringCase("keep-alive") && !option.equalsIgnoringCase("upgrade")
            && !option.equalsIgnoringCase("x-request-id") && !option.equalsIgnoringCase("x_request_id")
    }

    /// Fields that mean something only before the body: as trailers they could mislead whoever merges them
    /// (RFC 9110 §6.5.1).
    private static let notInTrailers: Set<String> = [
        "content-length", "content-encoding", "content-range", "content-type", "host", "set-cookie", "trailer",
        "authorization", "www-authenticate",
    ]

    /// The trailers to forward.
    package static func trailers(from fields: HeaderFields) -> HeaderFields {
        removed(from: fields) { field, _ in isOutOfPlaceInTrailers(field.nameText.lowercased()) }
    }

    static func isOutOfPlaceInTrailers(_ name: String) -> Bool { notInTrailers.contains(name) }
}
