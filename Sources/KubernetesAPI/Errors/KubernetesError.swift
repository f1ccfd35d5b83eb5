import struct Foundation.Date

/// A request that the API server did not answer with success.
///
/// Everything a caller decides by is a value here; `message` is for people only.
package struct KubernetesError: Error, Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// 404: no such object, or no such resource type.
        case notFound
        /// 409 `AlreadyExists`.
        case alreadyExists
        /// 409: somebody else changed the object, or owns the field.
        case conflict
        /// 410: the resource version or continue token is too old; list again.
        case gone
        /// 401: the credentials were not accepted.
        case unauthorized
        /// 403: the credentials do not allow this request.
        case forbidden
        /// 429, with the wait that the server asked for.
        case tooManyRequests(retryAfter: Duration?)
        /// 400 and other 4xx: the server does not take the request as it is.
        case badRequest
        /// 422: the object breaks a rule of its type.
        case invalid
        /// 405, 406 or 415: the server does not know this verb or content type here.
        case unsupported
        /// 5xx.
        case server
        /// The connection could not be made, or broke before the answer was complete.
        case connection
        /// No answer in time.
        case timeout
        /// The answer was not what the API defines.
        case decoding
        /// The answer was longer than the client accepts.
        case responseTooLarge
        /// The credentials could not be obtained (token file, exec plugin).
        case credentials
    }

    package enum Verb: String, Hashable, Sendable {
        case list, watch, get, create, apply, patch, delete
    }

    package var kind: Kind
    package var verb: Verb
    /// The path of the request, without its query.
    package var path: String
    /// The HTTP status, where there was an answer.
    package var httpStatus: Int?
    /// The server's own words, where it sent any.
    package var status: KubernetesStatus?
    /// What happened, for people.
    package var message: String
    /// False if the server certainly did not act on the request, so that repeating it is safe whatever it was.
    package var mayHaveBeenProcessed: Bool

    package init(
        kind: Kind, verb: Verb, path: String, httpStatus: Int? = nil, status: KubernetesStatus? = nil, message: String,
        mayHaveBeenProcessed: Bool = false
    ) {
        self.kind = kind
        self.verb = verb
        self.path = path
        self.httpStatus = httpStatus
        self.status = status
        self.message = message
        self.mayHaveBeenProcessed = mayHaveBeenProcessed
    }

    /// Whether the same request may succeed later without anybody changing anything.
    package var isRetryable: Bool {
        switch kind {
        case .tooManyRequests, .connection, .timeout: true
        case .server: httpStatus != 501
        case .notFound, .alreadyExists, .conflict, .gone, .unauthorized, .forbidden, .badRequest, .invalid,
            .unsupported, .decoding, .responseTooLarge, .credentials:
            false
        }
    }

    /// How long the server asked to wait, if it did.
    package var retryAfter: Duration? {
        if case .tooManyRequests(let wait) = kind, let wait { return wait }
        return status?.details?.retryAfterSeconds.map { .seconds($0) }
    }

    /// A short word for the kind, bounded in number: fit for a log field or a metric label.
    package var kindName: String {
        switch kind {
        case .notFound: "not_found"
        case .alreadyExists: "already_exists"
        case .conflict: "conflict"
        case .gone: "gone"
        case .unauthorized: "unauthorized"
        case .forbidden: "forbidden"
        case .tooManyRequests: "too_many_requests"
        case .badRequest: "bad_request"
        case .invalid: "invalid"
        case .unsupported: "unsupported"
        case .server: "server"
        case .connection: "connection"
        case .timeout: "timeout"
        case .decoding: "decoding"
        case .responseTooLarge: "response_too_large"
        case .credentials: "credentials"
        }
    }
}

extension KubernetesError: CustomStringConvertible {
    package var description: String {
        "\(verb.rawValue) \(path): \(httpStatus.map { "\($0) " } ?? "")\(kindName): \(message)"
    }
}

extension KubernetesError {
    /// The error for an answer with `httpStatus` outside 2xx.
    package init(
        httpStatus: Int, status: KubernetesStatus?, retryAfterHeader: String?, verb: Verb, path: String, body: String
    ) {
        let wait = retryAfterHeader.flatMap { RetryAfter.seconds($0, now: Date()) }
        let message = status?.message ?? (body.isEmpty ? "HTTP status \(httpStatus)" : body)
        let kind: Kind
        switch httpStatus {
        case 401: kind = .unauthorized
        case 403: kind = .forbidden
        case 404: kind = .notFound
        case 405, 406, 415: kind = .unsupported
        case 408: kind = .timeout
        case 409: kind = status?.reason == "AlreadyExists" ? .alreadyExists : .conflict
        case 410: kind = .gone
        case 422: kind = .invalid
        case 429:
            let seconds = wait ?? status?.details?.retryAfterSeconds
            kind = .tooManyRequests(retryAfter: seconds.map { .seconds(min(max($0, 0), 3600)) })
        case 500...599:
            // A server that names a wait has shed the request, whatever number it chose for that.
            if let wait {
                kind = .tooManyRequests(retryAfter: .seconds(min(max(wait, 0), 3600)))
            } else {
                kind = .server
            }
        default: kind = .badRequest
        }
        let shed = if case .tooManyRequests = kind { true } else { false }
        self.init(
            kind: kind, verb: verb, path: path, httpStatus: httpStatus, status: status, message: message,
            mayHaveBeenProcessed: httpStatus >= 500 && !shed)
    }
}
