/// As whom requests are made, where that is not who sends them. Needs the right to `impersonate`.
package struct Impersonation: Hashable, Sendable {
    package var user: String
    package var uid: String?
    package var groups: [String]
    /// Values by key, as authenticators add them.
    package var extra: [String: [String]]

    package init(user: String, uid: String? = nil, groups: [String] = [], extra: [String: [String]] = [:]) {
        self.user = user
        self.uid = uid
        self.groups = groups
        self.extra = extra
    }

    /// The header fields that say so. Keys of `extra` travel in field names, which know no upper case and few signs.
    var headers: [(name: String, value: String)] {
        var headers = [(name: "Impersonate-User", value: user)]
        if let uid { headers.append(("Impersonate-Uid", uid)) }
        for group in groups { headers.append(("Impersonate-Group", group)) }
        for (key, values) in extra.sorted(by: { $0.key < $1.key }) {
            for value in values {
                headers.append(("Impersonate-Extra-\(ResourcePath.escape(key.lowercased()))", value))
            }
        }
        return headers
    }
}
