extension JSONValue {
    /// This document with a JSON merge patch (RFC 7396) applied.
    package func merged(with patch: JSONValue) -> JSONValue {
        guard case .object(let changes) = patch else { return patch }
        var members = self.members
        for (name, change) in changes {
            if change.isNull {
                members[name] = nil
            } else {
                members[name] = (members[name] ?? .null).merged(with: change)
            }
        }
        return .object(members)
    }
}
