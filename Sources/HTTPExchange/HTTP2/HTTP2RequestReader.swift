package import NIOHPACK
package import TunnelProtocol

/// The head of a request as it came on a stream of HTTP/2 (RFC 9113 §8.3.1), put as one of HTTP/1.1: `Host` stands for
/// `:authority`.
package struct HTTP2Request: Equatable, Sendable {
    package var request: HTTP1Request
    /// The protocol that the stream shall speak, where that is not HTTP (`:protocol`, RFC 8441 §4).
    package var connectProtocol: String?
}

/// Reads the frames of one stream of a client's connection as one request (RFC 9113 §8.1).
///
/// The codec has refused what no stream may carry: names in upper case, pseudo-header fields that are missing, twice, or
/// behind others, fields of a connection, `TE` but for `trailers`, and line breaks. The rest is looked at here.
package struct HTTP2RequestReader: Sendable {
    private enum State {
        /// Next: `body`, `ended`.
        case head
        /// Next: `ended`.
        case body(BodyFraming)
        case ended
    }

    private let limits: HTTP1Limits
    private var state = State.head
    /// How long the body is, where the head says so.
    package private(set) var announcedLength: Int?

    package init(limits: HTTP1Limits = HTTP1Limits()) { self.limits = limits }

    /// The first HEADERS came.
    package mutating func received(head block: HPACKHeaders, endStream: Bool) throws(HTTP1Error) -> HTTP2Request {
        var pseudo = PseudoFields()
        let fields = try fields(of: block, limits) { name, value in pseudo.take(name, value) }
        let request = try pseudo.request(fields, limits)
        if request.connectProtocol == nil {
            let framing = try Self.framing(request.request.fields, endStream: endStream)
            announcedLength = framing.remaining
            state = endStream ? .ended : .body(framing)
        } else {
            // What follows is another protocol's, whatever the head says of its length (RFC 9110 §9.3.6).
            state = endStream ? .ended : .body(.untilEnd)
        }
        return request
    }

    /// DATA came, of that many bytes.
    package mutating func received(_ bytes: Int, endStream: Bool) throws(HTTP1Error) {
        guard case .body(var framing) = state else { throw .malformed("there is something behind its end") }
        guard framing.pass(bytes), !endStream || framing.mayEnd else {
            throw .malformed("the body is not as long as announced")
        }
        state = endStream ? .ended : .body(framing)
    }

    /// HEADERS came behind the first: trailers.
    package mutating func received(trailers block: HPACKHeaders) throws(HTTP1Error) -> HeaderFields {
        guard case .body(let framing) = state else { throw .malformed("there is something behind its end") }
        guard framing.mayEnd else { throw .malformed("the body is not as long as announced") }
        state = .ended
        return try fields(of: block, limits) { _, _ in }
    }

    private static func framing(_ fields: HeaderFields, endStream: Bool) throws(HTTP1Error) -> BodyFraming {
        do throws(BodyFraming.Invalid) {
            return try BodyFraming(request: fields, endStream: endStream)
        } catch {
            throw .malformed(error.description)
        }
    }
}

/// The fields of a block within the limits, with the crumbs of a cookie put together (RFC 9113 §8.2.3).
///
/// - Parameter pseudo: is given those whose names begin with a colon.
private func fields(
    of block: HPACKHeaders, _ limits: HTTP1Limits, pseudo: (_ name: String, _ value: String) -> Void
) throws(HTTP1Error) -> HeaderFields {
    guard block.count <= limits.fieldCount else { throw .fieldsTooLarge }
    var size = 0
    for (name, value, _) in block { size += name.utf8.count + value.utf8.count + 4 }
    guard size <= limits.head else { throw .fieldsTooLarge }
    // Room for what the gateway adds, too.
    var fields = HeaderFields(reserving: size + 128)
    var cookie: String?
    for (name, value, _) in block {
        if name.utf8.first == UInt8(ascii: ":") {
            pseudo(name, value)
            continue
        }
        guard value.utf8.count <= HeaderFields.longestValue else { throw .fieldsTooLarge }
        // The codec makes this of bytes that are not UTF-8: they would reach the application as others.
        guard value.utf8.allSatisfy({ $0 < 0x80 }) || !value.unicodeScalars.contains("\u{FFFD}") else {
            throw .malformed("a field's value is not UTF-8")
        }
        if name == "cookie" {
            cookie = cookie.map { "\($0); \(value)" } ?? value
        } else {
            fields.add(name: name, value: value)
        }
        // Who removes it and who does not would see two values (RFC 9113 §8.2.1).
        guard !value.isSurroundedBySpace else { throw .malformed("a field's value begins or ends with white space") }
    }
    if let cookie { fields.add(name: "cookie", value: cookie) }
    guard (cookie?.utf8.count ?? 0) <= HeaderFields.longestValue else { throw .fieldsTooLarge }
    guard fields.isSound else { throw .malformed("a field's value has a control character") }
    return fields
}

/// What the pseudo-header fields of a request say.
private struct PseudoFields {
    private var method = ""
    private var scheme = ""
    private var path: String?
    private var authority: String?
    private var connectProtocol: String?

    mutating func take(_ name: String, _ value: String) {
        switch name {
        case ":method": method = value
        case ":scheme": scheme = value
        case ":path": path = value
        case ":authority": authority = value
        case ":protocol": connectProtocol = value
        default: break
        }
    }

    func request(_ fields: HeaderFields, _ limits: HTTP1Limits) throws(HTTP1Error) -> HTTP2Request {
        guard FieldSyntax.isName(method) else { throw .malformed("its method is not a token") }
        // No CONNECT but the extended one has a path and a scheme.
        guard let path else { throw .malformed("a tunnel to a host is not to be had here") }
        guard connectProtocol == nil || method == "CONNECT" else {
            throw .malformed("only CONNECT may ask for another protocol")
        }
        guard scheme == "http" || scheme == "https" else { throw .malformed("its scheme is neither http nor https") }
        guard path.utf8.count <= limits.startLine else { throw .targetTooLong }
        guard path.utf8.first == UInt8(ascii: "/") || path == "*" && method == "OPTIONS" else {
            throw .malformed("its path does not begin with a slash")
        }
        // The codec makes this of bytes that are not UTF-8: they would reach the application as others.
        guard FieldSyntax.isTarget(path), !path.unicodeScalars.contains("\u{FFFD}") else {
            throw .malformed("its path has a space or a control character, or is not UTF-8")
        }
        var named: HeaderFields = [:]
        if let authority {
            // Where both stand they are to be the same (RFC 9113 §8.3.1): who looks at the other would see another host.
            for host in fields["Host"] where host.lowercased() != authority.lowercased() {
                throw .malformed("its Host is not its :authority")
            }
            named = fields.settingHost(authority)
        } else {
            named = fields
        }
        return HTTP2Request(
            request: HTTP1Request(method: method, target: path, fields: named), connectProtocol: connectProtocol)
    }
}

extension HeaderFields {
    /// The same with one `Host`.
    fileprivate func settingHost(_ authority: String) -> HeaderFields {
        var fields = HeaderFields(choosingFrom: self)
        fields.add(name: "host", value: authority)
        forEachField { field in if FieldKind(field.name) != .host { fields.add(field) } }
        return fields
    }
}

extension String {
    fileprivate var isSurroundedBySpace: Bool {
        guard let first = utf8.first, let last = utf8.last else { return false }
        return first == 0x20 || first == 0x09 || last == 0x20 || last == 0x09
    }
}
