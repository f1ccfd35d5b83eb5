package import Routing

/// Which of the routes served are asked for, and how many at once.
package struct RouteQuery: Hashable, Sendable {
    package static let defaultLimit = 500
    package static let mostRoutes = 5000

    /// The host, as a route has it, a wildcard included.
    package var host: Hostname?
    package var cluster: String?
    package var limit = RouteQuery.defaultLimit
    /// Where the page before ended.
    package var start: Place?

    /// A place among all routes: hosts go by their names, the routes of a host by their order of precedence.
    package struct Place: Hashable, Sendable, CustomStringConvertible {
        package var host: Hostname
        /// How many routes of this host are on earlier pages.
        package var skipped: Int

        package var description: String { "\(host)+\(skipped)" }

        package init(host: Hostname, skipped: Int) {
            self.host = host
            self.skipped = skipped
        }

        /// Reads what `description` wrote.
        package init?(_ text: String) {
            let parts = text.split(separator: "+", omittingEmptySubsequences: false)
            guard parts.count == 2, let host = try? Hostname(String(parts[0])), let skipped = Int(parts[1]),
                skipped >= 0
            else { return nil }
            self.init(host: host, skipped: skipped)
        }
    }

    package init() {}

    /// The first hosts, in order, that a page can have use for: each has at least one route.
    func hosts(among owned: [(host: Hostname, cluster: String)]) -> [Hostname] {
        var found: [Hostname] = []
        let enough = limit + 1
        // What lies behind the last of enough hosts is not kept, so that a page costs one look at each name.
        var last: Hostname?
        for (name, owner) in owned {
            if let host, name != host { continue }
            if let cluster, owner != cluster { continue }
            if let start, name < start.host { continue }
            if let last, name > last { continue }
            found.append(name)
            guard found.count >= 2 * enough else { continue }
            found.sort()
            found.removeLast(found.count - enough)
            last = found.last
        }
        return found.sorted()
    }

    /// - Parameters:
    ///   - hosts: what `hosts(among:)` returned.
    ///   - entries: the routes of a host, in their order.
    func page(of hosts: [Hostname], entries: (Hostname) -> [HostnameClaims.Entry]) -> RoutePage {
        var page = RoutePage()
        for host in hosts {
            let all = entries(host)
            // Another cluster may have got the name meanwhile.
            if let cluster, all.first?.cluster != cluster { continue }
            let skipped = start?.host == host ? start?.skipped ?? 0 : 0
            for (index, entry) in all.enumerated().dropFirst(skipped) {
                guard page.routes.count < limit else {
                    page.next = Place(host: host, skipped: index)
                    return page
                }
                page.routes.append(entry)
            }
        }
        return page
    }
}

/// Some of the routes served.
package struct RoutePage: Hashable, Sendable {
    package var routes: [HostnameClaims.Entry] = []
    /// Where the next page begins; `nil` where there is none.
    package var next: RouteQuery.Place?
}
