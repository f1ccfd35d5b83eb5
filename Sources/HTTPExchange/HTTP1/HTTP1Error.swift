/// Bytes that are not HTTP/1.1, or more of them than are taken, or too few in too long a time.
package enum HTTP1Error: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, for the other end: a sentence's end.
    case malformed(String)
    /// The request line is longer than allowed (RFC 9110 §15.5.15).
    case targetTooLong
    /// The head or the trailers are longer than allowed, or have more fields (RFC 6585 §5).
    case fieldsTooLarge
    /// The head did not come whole in time (RFC 9110 §15.5.9).
    case tooSlow
    /// Neither HTTP/1.0 nor HTTP/1.1 (RFC 9110 §15.6.6).
    case versionNotSupported

    package var description: String {
        switch self {
        case .malformed(let what): what
        case .targetTooLong: "its request line is too long"
        case .fieldsTooLarge: "its header fields are too large or too many"
        case .tooSlow: "its head did not come whole in time"
        case .versionNotSupported: "its version is neither HTTP/1.0 nor HTTP/1.1"
        }
    }

    /// The same of a request that cannot be answered otherwise.
    package var failure: ExchangeFailure {
        switch self {
        case .malformed(let what): .badRequest(what)
        case .targetTooLong: .targetTooLong
        case .fieldsTooLarge: .headerTooLarge
        case .tooSlow: .requestTimeout
        case .versionNotSupported: .versionNotSupported
        }
    }
}
