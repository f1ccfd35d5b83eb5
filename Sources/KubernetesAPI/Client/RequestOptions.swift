/// What part of a collection to list, in its most recent state.
package struct ListOptions: Hashable, Sendable {
    /// At most so many objects a page; nil for all at once.
    package var limit: Int?
    /// The `continue` of the page before.
    package var continueToken: String?
    package var labelSelector: String?
    package var fieldSelector: String?

    package init(
        limit: Int? = nil, continueToken: String? = nil, labelSelector: String? = nil, fieldSelector: String? = nil
    ) {
        self.limit = limit
        self.continueToken = continueToken
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
    }

    var query: [(String, String)] {
        var query: [(String, String)] = []
        if let limit { query.append(("limit", String(limit))) }
        if let continueToken { query.append(("continue", continueToken)) }
        if let labelSelector { query.append(("labelSelector", labelSelector)) }
        if let fieldSelector { query.append(("fieldSelector", fieldSelector)) }
        return query
    }
}

/// From when, and for how long, to watch a collection.
package struct WatchOptions: Hashable, Sendable {
    /// Events after this version; nil, with `sendInitialEvents`, for the whole state first.
    package var resourceVersion: String?
    /// The server ends the watch after so many seconds.
    package var timeoutSeconds: Int?
    /// Ask for bookmarks, so that an idle watch can be resumed.
    package var allowBookmarks: Bool
    /// Streaming list: the present objects as `added` events, then a bookmark with `initialEventsEnd`.
    package var sendInitialEvents: Bool
    package var labelSelector: String?
    package var fieldSelector: String?

    package init(
        resourceVersion: String? = nil, timeoutSeconds: Int? = nil, allowBookmarks: Bool = true,
        sendInitialEvents: Bool = false, labelSelector: String? = nil, fieldSelector: String? = nil
    ) {
        self.resourceVersion = resourceVersion
        self.timeoutSeconds = timeoutSeconds
        self.allowBookmarks = allowBookmarks
        self.sendInitialEvents = sendInitialEvents
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
    }

    var query: [(String, String)] {
        var query = [("watch", "true")]
        if let resourceVersion { query.append(("resourceVersion", resourceVersion)) }
        if let timeoutSeconds { query.append(("timeoutSeconds", String(timeoutSeconds))) }
        if allowBookmarks { query.append(("allowWatchBookmarks", "true")) }
        if sendInitialEvents {
            query.append(("sendInitialEvents", "true"))
            query.append(("resourceVersionMatch", "NotOlderThan"))
        }
        if let labelSelector { query.append(("labelSelector", labelSelector)) }
        if let fieldSelector { query.append(("fieldSelector", fieldSelector)) }
        return query
    }
}

/// How to delete an object.
package struct DeleteOptions: Hashable, Sendable {
    /// Delete only the object with this UID, not one that took its name since.
    package var uid: String?
    /// Delete only this revision of the object.
    package var resourceVersion: String?
    /// `Background`, `Foreground` or `Orphan`; nil for the type's default.
    package var propagationPolicy: String?

    package init(uid: String? = nil, resourceVersion: String? = nil, propagationPolicy: String? = nil) {
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.propagationPolicy = propagationPolicy
    }
}

/// Where a resource lives below the server's address.
enum ResourcePath {
    /// `/api/v1/namespaces/{ns}/{plural}/{name}/{subresource}` and the like; a nil or empty namespace of a namespaced
    /// type means all namespaces.
    static func path(
        _ definition: ResourceDefinition, namespace: String? = nil, name: String? = nil, subresource: String? = nil
    ) -> String {
        var path = definition.group.isEmpty ? "/api" : "/apis/\(escape(definition.group))"
        path += "/\(escape(definition.version))"
        if definition.namespaced, let namespace, !namespace.isEmpty { path += "/namespaces/\(escape(namespace))" }
        path += "/\(escape(definition.plural))"
        if let name { path += "/\(escape(name))" }
        if let subresource { path += "/\(escape(subresource))" }
        return path
    }

    static func query(_ items: [(String, String)]) -> String {
        items.isEmpty ? "" : "?" + items.map { "\(escape($0.0))=\(escape($0.1))" }.joined(separator: "&")
    }

    /// Percent-encodes everything but RFC 3986 unreserved characters.
    static func escape(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".unicodeScalars)
        var result = String.UnicodeScalarView()
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                result.append(Unicode.Scalar(byte))
            default:
                result.append("%")
                result.append(digits[Int(byte >> 4)])
                result.append(digits[Int(byte & 15)])
            }
        }
        return String(result)
    }
}
