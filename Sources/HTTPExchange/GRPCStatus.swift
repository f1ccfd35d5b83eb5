import TunnelProtocol

/// How a failure is told to a client of gRPC, which looks at no status of HTTP but 200.
///
/// The answer is one head without a body that has the fields of trailers ("Trailers-Only" in gRPC over HTTP/2).
enum GRPCStatus {
    /// Whether a request is a call of gRPC: `application/grpc`, perhaps with a format behind `+`. Not gRPC-Web, which is
    /// for clients that cannot see trailers.
    static func isCall(_ fields: HeaderFields) -> Bool {
        guard let type = fields.first(name: "Content-Type")?.lowercased(), type.hasPrefix("application/grpc") else {
            return false
        }
        let rest = type.dropFirst("application/grpc".count).first
        return rest == nil || rest == "+" || rest == ";" || rest == " "
    }

    /// The code for a status of HTTP, as gRPC's own clients choose it ("HTTP to gRPC Status Code Mapping").
    static func code(for status: UInt16) -> Int {
        switch status {
        case 400: 13
        case 401: 16
        case 403: 7
        case 404: 12
        case 429, 502, 503, 504: 14
        default: 2
        }
    }

    /// A text as `grpc-message` has it: bytes that are not printable ASCII, and `%`, as `%` and two digits.
    static func message(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            if (0x20...0x7E).contains(byte), byte != UInt8(ascii: "%") {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                result += digits.utf8.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return result
    }
}
