/// Answers "which route wins" for a request's host and path; a value, so that whoever holds one has a snapshot.
///
/// Order of precedence: the exact host before the wildcard that covers it; within the host an exact path before
/// prefixes, and among prefixes the one with most bytes. A host that is listed hides the wildcard even where none of
/// its paths match, as the Ingress API's longest-match rule has it.
package struct RouteTable<Value: Sendable>: Sendable {
    @usableFromInline package private(set) var hosts: [String: HostRoutes<Value>]

    package init() { hosts = [:] }

    /// Where two entries share a key, the later one wins.
    package init(_ entries: some Sequence<(RouteKey, Value)>) {
        var grouped: [String: [(PathMatch, Value)]] = [:]
        for (key, value) in entries { grouped[key.host.text, default: []].append((key.match, value)) }
        hosts = grouped.mapValues { HostRoutes($0) }
    }

    package var hostCount: Int { hosts.count }
    package func serves(_ host: Hostname) -> Bool { hosts[host.text] != nil }

    /// Puts one host's routes in place of those it had; `nil` removes the host.
    package mutating func replace(host: Hostname, with routes: HostRoutes<Value>?) {
        hosts[host.text] = routes
    }

    /// - Parameters:
    ///   - host: as `RequestHost.normalize` returns it.
    ///   - path: the raw path without its query.
    @inlinable
    package func lookup(host: String, path: some StringProtocol) -> RouteLookup<Value> {
        // A wildcard is a rule, not a name anybody may ask for.
        guard host.utf8.first != UInt8(ascii: "*") else { return .noSuchHost }
        if let routes = hosts[host] { return routes.lookup(path: path) }
        if let wildcard = Self.wildcard(covering: host), let routes = hosts[wildcard] {
            return routes.lookup(path: path)
        }
        return .noSuchHost
    }

    /// The one or two hosts of the table that have to do with a name: what it answers about that name, this answers too.
    package func part(for host: String) -> RouteTable {
        var part = RouteTable()
        part.hosts[host] = hosts[host]
        if let wildcard = Self.wildcard(covering: host) { part.hosts[wildcard] = hosts[wildcard] }
        return part
    }

    /// The wildcard that covers a name, whether there are routes under it or not.
    @inlinable
    static func wildcard(covering host: String) -> String? {
        guard let dot = host.utf8.firstIndex(of: UInt8(ascii: ".")), dot != host.startIndex else { return nil }
        return "*" + host[dot...]
    }
}

/// The answer of a `RouteTable`.
package enum RouteLookup<Value: Sendable>: Sendable {
    case found(Value)
    /// The host is served, the path is not.
    case noSuchPath
    case noSuchHost
}

extension RouteLookup: Equatable where Value: Equatable {}

/// The routes of one host, ready to be searched.
package struct HostRoutes<Value: Sendable>: Sendable {
    /// By bytes: strings would be equal that are not the same path.
    @usableFromInline package private(set) var exact: [[UInt8]: Value] = [:]
    @usableFromInline var prefixes: PrefixIndex<Value>

    /// Where two entries share a match, the later one wins.
    package init(_ entries: [(PathMatch, Value)]) {
        var byPrefix: [[UInt8]: Value] = [:]
        for (match, value) in entries {
            switch match {
            case .exact(let path): exact[Array(path.utf8)] = value
            case .prefix(let path): byPrefix[Array(path.utf8)] = value
            }
        }
        prefixes = PrefixIndex(byPrefix)
    }

    @inlinable
    package func lookup(path: some StringProtocol) -> RouteLookup<Value> {
        if !exact.isEmpty, let value = exact[Array(path.utf8)] { return .found(value) }
        return path.utf8.withContiguousStorageIfAvailable { prefixLookup(UnsafeRawBufferPointer($0)) }
            ?? Array(path.utf8).withUnsafeBytes { prefixLookup($0) }
    }

    @inlinable
    func prefixLookup(_ path: UnsafeRawBufferPointer) -> RouteLookup<Value> {
        prefixes.longest(of: path).map { .found($0) } ?? .noSuchPath
    }
}
