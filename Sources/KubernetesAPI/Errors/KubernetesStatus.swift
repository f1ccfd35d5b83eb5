/// `metav1.Status`: how the API server says what went wrong.
package struct KubernetesStatus: Codable, Hashable, Sendable {
    /// The HTTP status code that belongs to it.
    package var code: Int?
    /// For programs, for example `NotFound`, `Expired`.
    package var reason: String?
    /// For people.
    package var message: String?
    package var details: Details?

    package init(code: Int? = nil, reason: String? = nil, message: String? = nil, details: Details? = nil) {
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
    }

    package struct Details: Codable, Hashable, Sendable {
        package var name: String?
        package var group: String?
        package var kind: String?
        /// How long, in seconds, to wait before another attempt.
        package var retryAfterSeconds: Int?
        package var causes: [Cause]?

        package init(
            name: String? = nil, group: String? = nil, kind: String? = nil, retryAfterSeconds: Int? = nil,
            causes: [Cause]? = nil
        ) {
            self.name = name
            self.group = group
            self.kind = kind
            self.retryAfterSeconds = retryAfterSeconds
            self.causes = causes
        }
    }

    package struct Cause: Codable, Hashable, Sendable {
        package var reason: String?
        package var message: String?
        package var field: String?

        package init(reason: String? = nil, message: String? = nil, field: String? = nil) {
            self.reason = reason
            self.message = message
            self.field = field
        }
    }

    /// The resource version asked for is no longer in the server's history.
    package var isExpired: Bool { code == 410 || reason == "Expired" || reason == "Gone" }

    /// The resource version asked for lies in the server's future, as after a restore from a backup.
    package var isResourceVersionTooLarge: Bool {
        details?.causes?.contains { $0.reason == "ResourceVersionTooLarge" } ?? false
    }
}
