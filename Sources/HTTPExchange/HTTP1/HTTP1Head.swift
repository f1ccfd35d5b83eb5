package import TunnelProtocol

/// The head of a request as it came on a connection (RFC 9112 §3).
package struct HTTP1Request: Equatable, Sendable {
    package var method: String
    /// Exactly as the client sent it.
    package var target: String
    package var version: HTTP1Version
    /// All fields, hop-by-hop ones included.
    package var fields: HeaderFields

    package init(method: String, target: String, version: HTTP1Version = .http11, fields: HeaderFields) {
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
    }
}

/// The head of a response as it came on a connection (RFC 9112 §4). Its reason phrase is dropped: HTTP gives it no
/// meaning, and it could hold anything.
package struct HTTP1Response: Equatable, Sendable {
    package var status: UInt16
    package var version: HTTP1Version
    /// All fields, hop-by-hop ones included.
    package var fields: HeaderFields

    package init(status: UInt16, version: HTTP1Version = .http11, fields: HeaderFields) {
        self.status = status
        self.version = version
        self.fields = fields
    }
}

package enum HTTP1Version: Hashable, Sendable {
    case http10
    case http11

    /// Whether a connection stays open behind a message of this version with these fields (RFC 9112 §9.3).
    package func keepsAlive(_ fields: HeaderFields) -> Bool {
        var keepsAlive = self == .http11
        var closes = false
        fields.forEachField { field in
            guard FieldKind(field.name) == .connection else { return }
            field.forEachMember { option in
                if option.equalsIgnoringCase("close") { closes = true }
                if option.equalsIgnoringCase("keep-alive") { keepsAlive = true }
            }
        }
        return keepsAlive && !closes
    }
}

/// What is taken of one message, in bytes unless told otherwise.
package struct HTTP1Limits: Hashable, Sendable {
    /// The request line, or the status line.
    package var startLine = 32 * 1024
    /// The head as a whole, and the trailers as a whole.
    package var head = 64 * 1024
    /// How many fields each of them may have.
    package var fieldCount = Int.max
    /// The line before a chunk: its size and extensions, which mean nothing here.
    package var chunkLine = 1024

    package init() {}
}

/// Reads heads strictly: what two recipients could understand in two ways is refused (RFC 9112 §11.2).
enum HTTP1HeadParser {
    /// - Parameter bytes: the head with its empty line, as `HTTP1HeadFinder` found it.
    static func request(_ bytes: UnsafeRawBufferPointer, limits: HTTP1Limits) throws(HTTP1Error) -> HTTP1Request {
        let end = try lineEnd(bytes, 0)
        guard end <= limits.startLine else { throw .targetTooLong }
        let line = UnsafeRawBufferPointer(rebasing: bytes[..<end])
        // method SP target SP version
        guard let first = line.firstIndex(of: 0x20), let last = line.lastIndex(of: 0x20), first < last else {
            throw .malformed("its request line is not a method, a target and a version")
        }
        let method = UnsafeRawBufferPointer(rebasing: line[..<first])
        let target = UnsafeRawBufferPointer(rebasing: line[(first + 1)..<last])
        guard FieldSyntax.isName(method) else { throw .malformed("its method is not a token") }
        guard !target.isEmpty, FieldSyntax.isTarget(target) else {
            throw .malformed("its target is empty, or has a space or a control character")
        }
        // Bytes that no text can keep would reach the application as others.
        guard let targetText = String(validating: target, as: UTF8.self) else {
            throw .malformed("its target is not UTF-8")
        }
        let version = try version(UnsafeRawBufferPointer(rebasing: line[(last + 1)...]))
        return HTTP1Request(
            method: String(decoding: method, as: UTF8.self), target: targetText, version: version,
            fields: try fields(UnsafeRawBufferPointer(rebasing: bytes[(end + 2)...]), limits))
    }

    static func response(_ bytes: UnsafeRawBufferPointer, limits: HTTP1Limits) throws(HTTP1Error) -> HTTP1Response {
        let end = try lineEnd(bytes, 0)
        guard end <= limits.startLine else { throw .malformed("its status line is too long") }
        let line = UnsafeRawBufferPointer(rebasing: bytes[..<end])
        // version SP status SP [reason]; some servers leave the second space out where there is no reason.
        guard line.count >= 12, line[8] == 0x20, line.count == 12 || line[12] == 0x20 else {
            throw .malformed("its status line is not a version, a status and a reason")
        }
        let version = try version(UnsafeRawBufferPointer(rebasing: line[..<8]))
        guard let status = UnsafeRawBufferPointer(rebasing: line[9..<12]).decimalNumber, status >= 100 else {
            throw .malformed("its status is not a number of three digits")
        }
        guard FieldSyntax.isValue(UnsafeRawBufferPointer(rebasing: line[12...])) else {
            throw .malformed("its reason has a control character")
        }
        return HTTP1Response(
            status: UInt16(status), version: version,
            fields: try fields(UnsafeRawBufferPointer(rebasing: bytes[(end + 2)...]), limits))
    }

    /// - Parameter bytes: field lines and the empty line behind them.
    static func fields(
        _ bytes: UnsafeRawBufferPointer, _ limits: HTTP1Limits
    ) throws(HTTP1Error) -> HeaderFields {
        guard bytes.count > 2 else { return HeaderFields() }
        // On the wire a field takes four bytes beside its text; here a colon, a line's end and mostly a space.
        var fields = HeaderFields(reserving: bytes.count + 16)
        var start = 0
        var count = 0
        while bytes[start] != 0x0D {
            count += 1
            guard count <= limits.fieldCount else { throw .fieldsTooLarge }
            var colon = start
            while FieldSyntax.isTokenByte(bytes[colon]) { colon += 1 }
            guard bytes[colon] == UInt8(ascii: ":"), colon > start else {
                let first = bytes[start]
                throw .malformed(
                    first == 0x20 || first == 0x09 ? "a field line is folded" : "a field's name is not a token")
            }
            let end = try lineEnd(bytes, colon + 1)
            var (from, to) = (colon + 1, end)
            while from < to, bytes[from] == 0x20 || bytes[from] == 0x09 { from += 1 }
            while to > from, bytes[to - 1] == 0x20 || bytes[to - 1] == 0x09 { to -= 1 }
            let field = HeaderField(
                name: UnsafeRawBufferPointer(rebasing: bytes[start..<colon]),
                value: UnsafeRawBufferPointer(rebasing: bytes[from..<to]))
            guard FieldSyntax.isValue(field.value) else { throw .malformed("a field's value has a control character") }
            guard max(field.name.count, field.value.count) <= HeaderFields.longestValue else { throw .fieldsTooLarge }
            fields.add(field)
            start = end + 2
        }
        // Behind the empty line there is nothing: it was found as the head's end.
        guard start + 2 == bytes.count else { throw .malformed("a carriage return stands alone") }
        return fields
    }

    /// Where the line that begins at `start` ends, before its CRLF. There is one: the head ends with an empty line.
    private static func lineEnd(_ bytes: UnsafeRawBufferPointer, _ start: Int) throws(HTTP1Error) -> Int {
        var index = start
        while bytes[index] != 0x0D, bytes[index] != 0x0A { index += 1 }
        guard bytes[index] == 0x0D, bytes[index + 1] == 0x0A else {
            throw .malformed("a line does not end with CR and LF")
        }
        return index
    }

    private static func version(_ bytes: UnsafeRawBufferPointer) throws(HTTP1Error) -> HTTP1Version {
        guard bytes.count == 8, bytes.starts(with: "HTTP/".utf8), bytes[6] == UInt8(ascii: "."),
            (0x30...0x39).contains(bytes[5]), (0x30...0x39).contains(bytes[7])
        else { throw .malformed("its version is not HTTP's") }
        switch (bytes[5], bytes[7]) {
        case (0x31, 0x30): return .http10
        case (0x31, 0x31...): return .http11
        default: throw .versionNotSupported
        }
    }
}
