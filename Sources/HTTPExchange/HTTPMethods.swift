/// What is known of methods (RFC 9110 §9).
package enum HTTPMethods {
    /// Whether a request may be carried out twice as well as once (RFC 9110 §9.2.2).
    package static func isIdempotent(_ method: String) -> Bool {
        switch method {
        case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE": true
        default: false
        }
    }
}
