/// The difference between two sets of routes.
///
/// | in old | in new | fields equal | becomes |
/// |---|---|---|---|
/// | no | yes | – | `added` |
/// | yes | yes | yes | nothing |
/// | yes | yes | no | `updated` (the new route) |
/// | yes | no | – | `deleted` (the old route) |
package struct RouteDelta: Hashable, Sendable {
    package var added: [Route] = []
    package var updated: [Route] = []
    package var deleted: [Route] = []

    package init(added: [Route] = [], updated: [Route] = [], deleted: [Route] = []) {
        self.added = added
        self.updated = updated
        self.deleted = deleted
    }

    /// Each list is ordered by host and path, so that equal inputs give equal deltas.
    package init(from old: [RouteKey: Route], to new: [RouteKey: Route]) {
        for (key, route) in new {
            guard let previous = old[key] else {
                added.append(route)
                continue
            }
            if previous != route { updated.append(route) }
        }
        for (key, route) in old where new[key] == nil { deleted.append(route) }
        added.sort(by: Route.inOrder)
        updated.sort(by: Route.inOrder)
        deleted.sort(by: Route.inOrder)
    }

    package var isEmpty: Bool { added.isEmpty && updated.isEmpty && deleted.isEmpty }
}

extension Route {
    /// Host, then path, then path type: a stable order for messages, status and digests.
    package static func inOrder(_ lhs: Route, _ rhs: Route) -> Bool {
        (lhs.host.text, lhs.path, lhs.pathType.rawValue) < (rhs.host.text, rhs.path, rhs.pathType.rawValue)
    }
}
