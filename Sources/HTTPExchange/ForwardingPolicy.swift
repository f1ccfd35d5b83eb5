package import TunnelProtocol

/// How the gateway rewrites a request's fields: ruling 1 of the design.
///
/// End-to-end fields pass untouched. Hop-by-hop fields go. What a client says about who it is and how it came
/// (`X-Forwarded-*`, `Forwarded`, `X-Real-IP`) is believed from trusted proxies only and replaced otherwise. A name that
/// equals one of these once `_` is read as `-` goes whoever sent it (`FieldKind.isLookAlike`).
package struct ForwardingPolicy: Sendable {
    /// Names removed from every request, by the operator's wish; as `FieldKind.folded` returns them.
    package var strippedRequestFields: Set<String>
    package var traces: TracePolicy

    package init(strippedRequestFields: Set<String> = [], traces: TracePolicy = .pass) {
        self.traces = traces
        self.strippedRequestFields = Set(strippedRequestFields.map(FieldKind.folded))
    }

    /// The fields of a request as the application will see them, without `Host`.
    ///
    /// - Parameters:
    ///   - client: the address of the public connection's peer.
    ///   - isTrusted: whether that peer is a proxy whose forwarding fields are believed.
    ///   - scheme: `http` or `https`, of that connection.
    ///   - authority: the `Host` field the client sent.
    ///   - requestID: the request's name; the client's own passes where it stands, any other takes its place.
    ///   - begunTrace: a trace that begins here, in place of whatever the client says of one.
    ///   - routeStrips: names the route asks to remove, as `FieldKind.folded` returns them.
    package func requestFields(
        _ fields: HeaderFields, client: String, isTrusted: Bool, scheme: String, authority: String,
        requestID: RequestID, begunTrace: TraceContext? = nil, routeStrips: Set<String> = []
    ) -> HeaderFields {
        let strips = !strippedRequestFields.isEmpty || !routeStrips.isEmpty
        var result = HopByHop.removed(from: fields) { field, kind in
            if Self.isReplaced(field, kind, isTrusted: isTrusted) { return true }
            if kind == .requestID, !requestID.isClients { return true }
            if begunTrace != nil, kind == .traceParent || kind == .traceState { return true }
            guard strips else { return false }
            let name = FieldKind.folded(field.nameText)
            return strippedRequestFields.contains(name) || routeStrips.contains(name)
        }
        if !requestID.isClients { result.add(name: "X-Request-Id", value: requestID.text) }
        if let begunTrace { result.add(name: "traceparent", value: begunTrace.parent) }
        guard isTrusted else {
            result.add(name: "X-Forwarded-For", value: client)
            result.add(name: "X-Forwarded-Proto", value: scheme)
            result.add(name: "X-Forwarded-Host", value: authority)
            return result
        }
        let chain = fields["X-Forwarded-For"]
        result.add(name: "X-Forwarded-For", value: (chain + [client]).joined(separator: ", "))
        if !result.contains(name: "X-Forwarded-Proto") { result.add(name: "X-Forwarded-Proto", value: scheme) }
        if !result.contains(name: "X-Forwarded-Host") { result.add(name: "X-Forwarded-Host", value: authority) }
        return result
    }

    /// The trailers of a request as the application will see them: nothing that its head may not say either, because
    /// some applications merge the two.
    package func requestTrailers(
        _ trailers: HeaderFields, isTrusted: Bool, routeStrips: Set<String> = []
    ) -> HeaderFields {
        HopByHop.removed(from: trailers) { field, kind in
            let name = FieldKind.folded(field.nameText)
            return HopByHop.isOutOfPlaceInTrailers(name) || Self.isReplaced(field, kind, isTrusted: isTrusted)
                || strippedRequestFields.contains(name) || routeStrips.contains(name)
        }
    }

    /// Whether a field says how the request came and is not believed, or stands elsewhere (`Host`). A trusted proxy's
    /// are, but its `X-Forwarded-For` is written anew with the proxy's own address at the end.
    private static func isReplaced(_ field: HeaderField, _ kind: FieldKind, isTrusted: Bool) -> Bool {
        switch kind {
        case .host, .forwardedFor: true
        case .forwardedProto, .forwardedHost, .forwarding: !isTrusted
        case .other: FieldKind.isLookAlike(field.name)
        default: false
        }
    }
}
