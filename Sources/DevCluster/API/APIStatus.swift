/// A refusal in the form in which the Kubernetes API reports it: a `meta.k8s.io/v1` Status.
package struct APIStatus: Error, Hashable, Sendable {
    /// One reason among several, about one field.
    package struct Cause: Hashable, Sendable {
        package var reason: String
        package var message: String
        package var field: String

        package init(reason: String, message: String, field: String) {
            self.reason = reason
            self.message = message
            self.field = field
        }
    }

    /// The HTTP status code.
    package var code: Int
    /// The machine-readable reason, such as `NotFound`.
    package var reason: String
    package var message: String
    /// The `details` object, without causes.
    package var details: [String: JSONValue] = [:]
    package var causes: [Cause] = []

    package init(
        code: Int, reason: String, message: String, details: [String: JSONValue] = [:], causes: [Cause] = []
    ) {
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.causes = causes
    }

    /// The Status object.
    package var json: JSONValue {
        var details = self.details
        if !causes.isEmpty {
            details["causes"] = .array(
                causes.map { cause in
                    var members: [String: JSONValue] = ["message": .string(cause.message)]
                    if !cause.reason.isEmpty { members["reason"] = .string(cause.reason) }
                    if !cause.field.isEmpty { members["field"] = .string(cause.field) }
                    return .object(members)
                })
        }
        var status: JSONValue = [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure",
            "message": .string(message), "code": .integer(Int64(code)),
        ]
        if !reason.isEmpty { status["reason"] = .string(reason) }
        if !details.isEmpty { status["details"] = .object(details) }
        return status
    }
}

extension APIStatus {
    /// 400: the request itself is wrong.
    package static func badRequest(_ message: String) -> APIStatus {
        APIStatus(code: 400, reason: "BadRequest", message: message)
    }

    /// 401: no token, or one this server does not know.
    package static var unauthorized: APIStatus {
        APIStatus(code: 401, reason: "Unauthorized", message: "Unauthorized")
    }

    /// 403: this server's rules forbid it.
    package static func forbidden(_ resource: APIResource, _ name: String, _ message: String) -> APIStatus {
        APIStatus(
            code: 403, reason: "Forbidden",
            message: "\(resource.qualifiedName) \"\(name)\" is forbidden: \(message)", details: resource.details(name))
    }

    /// 404: there is no such object.
    package static func notFound(_ resource: APIResource, _ name: String) -> APIStatus {
        APIStatus(
            code: 404, reason: "NotFound", message: "\(resource.qualifiedName) \"\(name)\" not found",
            details: resource.details(name))
    }

    /// 404: there is no such path or resource type.
    package static var noSuchPath: APIStatus {
        APIStatus(code: 404, reason: "NotFound", message: "the server could not find the requested resource")
    }

    /// 405: this resource does not know the verb.
    package static func methodNotAllowed(_ message: String) -> APIStatus {
        APIStatus(code: 405, reason: "MethodNotAllowed", message: message)
    }

    /// 409: an object of this name exists.
    package static func alreadyExists(_ resource: APIResource, _ name: String) -> APIStatus {
        APIStatus(
            code: 409, reason: "AlreadyExists", message: "\(resource.qualifiedName) \"\(name)\" already exists",
            details: resource.details(name))
    }

    /// 409: the object is not the one the caller has seen.
    package static func conflict(
        _ resource: APIResource, _ name: String,
        _ message: String =
            "the object has been modified; please apply your changes to the latest version and try again"
    ) -> APIStatus {
        APIStatus(
            code: 409, reason: "Conflict",
            message: "Operation cannot be fulfilled on \(resource.qualifiedName) \"\(name)\": \(message)",
            details: resource.details(name))
    }

    /// 409: an applied field belongs to another field manager.
    package static func applyConflict(message: String, causes: [Cause]) -> APIStatus {
        APIStatus(code: 409, reason: "Conflict", message: message, causes: causes)
    }

    /// 410: the resource version asked for is no longer in the history.
    package static func expired(requested: Int64, oldest: Int64) -> APIStatus {
        APIStatus(
            code: 410, reason: "Expired", message: "too old resource version: \(requested) (\(oldest))")
    }

    /// 410: a list's continue token points to a version that is no longer in the history.
    package static var expiredContinueToken: APIStatus {
        APIStatus(
            code: 410, reason: "Expired",
            message: "The provided continue parameter is too old to display a consistent list result. You must start a "
                + "new list without the continue parameter.")
    }

    /// 413: the body is longer than the server reads.
    package static func bodyTooLarge(limit: Int) -> APIStatus {
        APIStatus(
            code: 413, reason: "RequestEntityTooLarge",
            message: "Request entity too large: limit is \(limit)")
    }

    /// 415: the body is of a type the server does not read.
    package static func unsupportedMediaType(_ accepted: [String]) -> APIStatus {
        APIStatus(
            code: 415, reason: "UnsupportedMediaType",
            message: "the body of the request was in an unknown format - accepted media types include: "
                + accepted.joined(separator: ", "))
    }

    /// 406: none of the accepted types can be produced.
    package static func notAcceptable(_ offered: [String]) -> APIStatus {
        APIStatus(
            code: 406, reason: "NotAcceptable",
            message: "only the following media types are accepted: " + offered.joined(separator: ", "))
    }

    /// 422: the object breaks a rule of its type.
    package static func invalid(kind: String, group: String, name: String, _ causes: [Cause]) -> APIStatus {
        let full = group.isEmpty ? kind : "\(kind).\(group)"
        let texts = causes.map { "\($0.field): \($0.message)" }
        let message = texts.count == 1 ? texts[0] : "[" + texts.joined(separator: ", ") + "]"
        var details: [String: JSONValue] = ["kind": .string(kind)]
        if !group.isEmpty { details["group"] = .string(group) }
        if !name.isEmpty { details["name"] = .string(name) }
        return APIStatus(
            code: 422, reason: "Invalid", message: "\(full) \"\(name)\" is invalid: \(message)", details: details,
            causes: causes)
    }

    /// 504: the caller asks for a version this server has not reached.
    package static func resourceVersionTooLarge(requested: Int64, current: Int64) -> APIStatus {
        APIStatus(
            code: 504, reason: "Timeout",
            message: "Timeout: Too large resource version: \(requested), current: \(current)",
            details: ["retryAfterSeconds": 1],
            causes: [
                Cause(reason: "ResourceVersionTooLarge", message: "Too large resource version", field: "")
            ])
    }
}

extension APIStatus.Cause {
    /// A value that breaks a rule.
    package static func invalid(_ field: String, _ value: JSONValue, _ message: String) -> Self {
        Self(reason: "FieldValueInvalid", message: "Invalid value: \(value.jsonText): \(message)", field: field)
    }

    /// A value that must be there and is not.
    package static func required(_ field: String, _ message: String = "") -> Self {
        Self(
            reason: "FieldValueRequired", message: message.isEmpty ? "Required value" : "Required value: \(message)",
            field: field)
    }

    /// A value that is none of the permitted ones.
    package static func notSupported(_ field: String, _ value: JSONValue, _ permitted: [String]) -> Self {
        let list = permitted.map { "\"\($0)\"" }.joined(separator: ", ")
        return Self(
            reason: "FieldValueNotSupported",
            message: "Unsupported value: \(value.jsonText): supported values: \(list)", field: field)
    }

    /// A value that may not be there, or may not change.
    package static func forbidden(_ field: String, _ message: String) -> Self {
        Self(reason: "FieldValueForbidden", message: "Forbidden: \(message)", field: field)
    }

    /// A value that stands twice where it may stand once.
    package static func duplicate(_ field: String, _ value: JSONValue) -> Self {
        Self(reason: "FieldValueDuplicate", message: "Duplicate value: \(value.jsonText)", field: field)
    }

    /// A value of the wrong JSON type.
    package static func wrongType(_ field: String, _ value: JSONValue, expected: String) -> Self {
        Self(
            reason: "FieldValueTypeInvalid",
            message: "Invalid value: \"\(value.typeName)\": \(field) in body must be of type \(expected): "
                + "\"\(value.typeName)\"",
            field: field)
    }
}
