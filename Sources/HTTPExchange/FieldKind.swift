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

    /// By length first: most names are decided without looking at their bytes.
    package init(_ name: UnsafeRawBufferPointer) {
        func isNamed(_ text: StaticString) -> Bool { name.equalsIgnoringCase(text) }
        switch name.count {
        case 2: self = isNamed("te") ? .te : .other
        case 4: self = isNamed("host") ? .host : .other
        case 7: self = isNamed("upgrade") ? .hopByHop : .other
        case 9: self = isNamed("x-real-ip") || isNamed("forwarded") ? .forwarding : .other
        case 10: self = isNamed("connection") ? .connection : isNamed("keep-alive") ? .hopByHop : .other
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

    private static func forwarded(_ name: UnsafeRawBufferPointer) -> Self {
        let prefix: StaticString = "x-forwarded-"
        guard name.count >= prefix.utf8CodeUnitCount, name[0] | 0x20 == UInt8(ascii: "x"), name[1] == UInt8(ascii: "-")
        else { return .other }
        let start = UnsafeRawBufferPointer(rebasing: name[..<prefix.utf8CodeUnitCount])
        return start.equalsIgnoringCase(prefix) ? .forwarding : .other
    }
}
