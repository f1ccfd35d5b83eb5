import TunnelProtocol

/// The fields that a proxy has something to do with; all others pass.
package enum FieldKind: Hashable, Sendable {
    case other
    case host
    case contentLength
    case transferEncoding
    case connection
    case te
    /// Concerns one connection and is never forwarded (RFC 9110 §7.6.1): `Keep-Alive`, `Proxy-Connection`, `Upgrade`,
    /// `Proxy-Authenticate`, `Proxy-Authorization`.
    case hopByHop
    case forwardedFor
    case forwardedProto
    case forwardedHost
    /// What else a client may claim about how it came: `Forwarded`, `X-Real-IP`, other `X-Forwarded-…`.
    case forwarding
    /// `X-Request-Id`, which names the request.
    case requestID
    /// `traceparent` and `tracestate`, which name the request's place in a trace (W3C Trace Context).
    case traceParent
    case traceState

    /// By length first: most names are decided without looking at their bytes.
    package init(_ name: UnsafeRawBufferPointer) {
        func isNamed(_ text: StaticString) -> Bool { name.equalsIgnoringCase(text) }
        switch name.count {
        case 2: self = isNamed("te") ? .te : .other
        case 4: self = isNamed("host") ? .host : .other
        case 7: self = isNamed("upgrade") ? .hopByHop : .other
        case 9: self = isNamed("x-real-ip") || isNamed("forwarded") ? .forwarding : .other
        case 10:
            self =
                isNamed("connection")
                ? .connection : isNamed("keep-alive") ? .hopByHop : isNamed("tracestate") ? .traceState : .other
        case 11: self = isNamed("traceparent") ? .traceParent : .other
        case 12: self = isNamed("x-request-id") ? .requestID : Self.forwarded(name)
        case 14: self = isNamed("content-length") ? .contentLength : Self.forwarded(name)
        case 15: self = isNamed("x-forwarded-for") ? .forwardedFor : Self.forwarded(name)
        case 16:
            self =
                isNamed("proxy-connection")
                ? .hopByHop : isNamed("x-forwarded-host") ? .forwardedHost : Self.forwarded(name)
        case 17:
            self =
                isNamed("transfer-encoding")
                ? .transferEncoding : isNamed("x-forwarded-proto") ? .forwardedProto : Self.forwarded(name)
        case 18: self = isNamed("proxy-authenticate") ? .hopByHop : Self.forwarded(name)
        case 19: self = isNamed("proxy-authorization") ? .hopByHop : Self.forwarded(name)
        case 12...: self = Self.forwarded(name)
        default: self = .other
        }
    }

    /// Whether a name is that of a field with a meaning here once `_` is read as `-`, and not before.
    ///
    /// Applications that get fields as CGI variables (RFC 3875 §4.1.18) cannot tell the two apart: what a client says
    /// under such a name would be taken for what the gateway says.
    package static func isLookAlike(_ name: UnsafeRawBufferPointer) -> Bool {
        guard name.contains(UInt8(ascii: "_")), FieldKind(name) == .other else { return false }
        return withUnsafeTemporaryAllocation(byteCount: name.count, alignment: 1) { folded in
            for index in name.indices { folded[index] = foldUnderscore(name[index]) }
            return FieldKind(UnsafeRawBufferPointer(folded)) != .other
        }
    }

    /// A name in lower case, with `_` read as `-`: equal for two names that an application may take for one.
    package static func folded(_ name: String) -> String {
        String(decoding: name.lowercased().utf8.map(foldUnderscore), as: UTF8.self)
    }

    private static func foldUnderscore(_ byte: UInt8) -> UInt8 { byte == UInt8(ascii: "_") ? UInt8(ascii: "-") : byte }

    private static func forwarded(_ name: UnsafeRawBufferPointer) -> Self {
        let prefix: StaticString = "x-forwarded-"
        guard name.count >= prefix.utf8CodeUnitCount, name[0] | 0x20 == UInt8(ascii: "x"), name[1] == UInt8(ascii: "-")
        else { return .other }
        let start = UnsafeRawBufferPointer(rebasing: name[..<prefix.utf8CodeUnitCount])
        return start.equalsIgnoringCase(prefix) ? .forwarding : .other
    }
}
