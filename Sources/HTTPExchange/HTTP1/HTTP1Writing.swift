package import NIOCore
package import TunnelProtocol

extension ByteBuffer {
    /// Appends a request line (RFC 9112 §3). Field lines must follow.
    package mutating func writeHTTP1RequestLine(method: String, target: String) {
        writeString(method)
        writeInteger(UInt8(ascii: " "))
        writeString(target)
        writeStaticString(" HTTP/1.1\r\n")
    }

    /// Appends a status line (RFC 9112 §4). Field lines must follow.
    package mutating func writeHTTP1StatusLine(_ status: UInt16) {
        writeStaticString("HTTP/1.1 ")
        let digits = (UInt8(status / 100 % 10), UInt8(status / 10 % 10), UInt8(status % 10))
        writeMultipleIntegers(0x30 + digits.0, 0x30 + digits.1, 0x30 + digits.2, UInt8(ascii: " "))
        writeString(ReasonPhrase(status).text)
        writeStaticString("\r\n")
    }

    /// Appends one field line.
    package mutating func writeHTTP1Field(_ name: StaticString, _ value: String) {
        writeStaticString(name)
        writeStaticString(": ")
        writeString(value)
        writeStaticString("\r\n")
    }

    /// Appends the field lines that `isKept` lets through. The empty line must follow.
    package mutating func writeHTTP1Fields(
        _ fields: HeaderFields, where isKept: (HeaderField) -> Bool = { _ in true }
    ) {
        reserveCapacity(minimumWritableBytes: fields.byteCount + 2)
        fields.forEachField { field in
            guard isKept(field) else { return }
            let size = field.name.count + field.value.count + 4
            writeWithUnsafeMutableBytes(minimumWritableBytes: size) { space in
                let separator = field.name.count
                let end = separator + 2 + field.value.count
                space.copy(field.name, separator, to: 0)
                space[separator] = UInt8(ascii: ":")
                space[separator + 1] = UInt8(ascii: " ")
                space.copy(field.value, field.value.count, to: separator + 2)
                space[end] = 0x0D
                space[end + 1] = 0x0A
                return size
            }
        }
    }

    /// Appends the empty line that ends a head or trailers.
    package mutating func writeHTTP1HeadEnd() { writeStaticString("\r\n") }

    /// Appends the line before a chunk (RFC 9112 §7.1); the chunk and CRLF must follow.
    package mutating func writeHTTP1ChunkLine(_ size: Int) {
        var digits = 1
        while size >> (digits * 4) > 0 { digits += 1 }
        for digit in stride(from: digits - 1, through: 0, by: -1) {
            let value = UInt8(size >> (digit * 4) & 0xF)
            writeInteger(value < 10 ? 0x30 + value : 0x57 + value)
        }
        writeStaticString("\r\n")
    }

    /// Appends the end of a chunked body, with its trailers.
    package mutating func writeHTTP1LastChunk(trailers: HeaderFields?) {
        writeStaticString("0\r\n")
        if let trailers { writeHTTP1Fields(trailers) }
        writeHTTP1HeadEnd()
    }
}

/// What stands behind a status for people (RFC 9110 §15); programs are not to look at it.
package struct ReasonPhrase: CustomStringConvertible {
    package let text: String

    package var description: String { text }

    package init(_ status: UInt16) {
        text =
            switch status {
            case 100: "Continue"
            case 101: "Switching Protocols"
            case 102: "Processing"
            case 103: "Early Hints"
            case 200: "OK"
            case 201: "Created"
            case 202: "Accepted"
            case 203: "Non-Authoritative Information"
            case 204: "No Content"
            case 205: "Reset Content"
            case 206: "Partial Content"
            case 207: "Multi-Status"
            case 208: "Already Reported"
            case 226: "IM Used"
            case 300: "Multiple Choices"
            case 301: "Moved Permanently"
            case 302: "Found"
            case 303: "See Other"
            case 304: "Not Modified"
            case 305: "Use Proxy"
            case 307: "Temporary Redirect"
            case 308: "Permanent Redirect"
            case 400: "Bad Request"
            case 401: "Unauthorized"
            case 402: "Payment Required"
            case 403: "Forbidden"
            case 404: "Not Found"
            case 405: "Method Not Allowed"
            case 406: "Not Acceptable"
            case 407: "Proxy Authentication Required"
            case 408: "Request Timeout"
            case 409: "Conflict"
            case 410: "Gone"
            case 411: "Length Required"
            case 412: "Precondition Failed"
            case 413: "Content Too Large"
            case 414: "URI Too Long"
            case 415: "Unsupported Media Type"
            case 416: "Range Not Satisfiable"
            case 417: "Expectation Failed"
            case 418: "I'm a teapot"
            case 421: "Misdirected Request"
            case 422: "Unprocessable Content"
            case 423: "Locked"
            case 424: "Failed Dependency"
            case 425: "Too Early"
            case 426: "Upgrade Required"
            case 428: "Precondition Required"
            case 429: "Too Many Requests"
            case 431: "Request Header Fields Too Large"
            case 451: "Unavailable For Legal Reasons"
            case 500: "Internal Server Error"
            case 501: "Not Implemented"
            case 502: "Bad Gateway"
            case 503: "Service Unavailable"
            case 504: "Gateway Timeout"
            case 505: "HTTP Version Not Supported"
            case 506: "Variant Also Negotiates"
            case 507: "Insufficient Storage"
            case 508: "Loop Detected"
            case 510: "Not Extended"
            case 511: "Network Authentication Required"
            default: ""
            }
    }
}
