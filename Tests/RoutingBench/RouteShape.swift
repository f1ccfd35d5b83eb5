import ArgumentParser
import EdgeGateway
import Routing

/// Which routes a cache is filled with, and what is asked of it.
enum RouteShape: String, CaseIterable, ExpressibleByArgument {
    /// A host for each route, served at every path.
    case hosts
    /// The same with wildcard hosts.
    case wildcards
    /// Ten routes on each host: prefixes, some below others, and exact paths.
    case paths
    /// Of all these a part.
    case mixed
    /// The same, but nothing that is asked for is there: neither host nor path.
    case misses
    /// All routes on one host.
    case oneHost = "one-host"

    /// What the cache is filled with, and what each route's cluster must be found by.
    struct Table {
        var routes: [Hostname: [HostnameClaims.Entry]] = [:]
        var hits: [Request] = []
    }

    /// What a client asks for, and the cluster that must be found; none for a miss.
    struct Request {
        var authority: String
        var target: String
        var cluster: String?
    }

    func hosts(_ count: Int) throws -> Table {
        var table = Table()
        switch self {
        case .hosts: for number in 0..<count { try table.addHost(number) }
        case .wildcards: for number in 0..<count { try table.addWildcard(number) }
        case .paths: for number in 0..<count { try table.addPath(number, host: number / 10) }
        case .oneHost: for number in 0..<count { try table.addPath(number, host: 0) }
        case .mixed, .misses:
            for number in 0..<count {
                switch number % 5 {
                case 0, 1: try table.addHost(number)
                case 2: try table.addWildcard(number)
                default: try table.addPath(number, host: number / 25)
                }
            }
        }
        return table
    }

    /// In random order: one for each route; and a fifth as many that miss, half of them on a host that is served where
    /// there are such.
    func requests(for table: Table) -> [Request] {
        var misses = (0..<max(2, table.hits.count / 5)).map { number in
            let served = table.hits.randomElement()!
            guard number.isMultiple(of: 2), !served.servesEveryPath else {
                return Request(authority: "unknown-\(number).nowhere.example.org", target: served.target)
            }
            return Request(authority: served.authority, target: "/unknown\(number)" + served.target)
        }
        if self == .misses {
            // As many as there would be hits.
            while misses.count < table.hits.count { misses += misses }
            return misses.shuffled()
        }
        return (table.hits + misses).shuffled()
    }
}

extension RouteShape.Table {
    mutating func addHost(_ number: Int) throws {
        let name = "app-\(number).team-\(number % 97).customer.example.com"
        try add(host: name, path: "/", .prefix, number, ask: .init(authority: name, target: "/orders/\(number)?page=2"))
    }

    mutating func addWildcard(_ number: Int) throws {
        let name = "tenant-\(number).customer.example.com"
        try add(
            host: "*.\(name)", path: "/", .prefix, number,
            ask: .init(authority: "any-\(number % 7).\(name)", target: "/index.html"))
    }

    /// Of ten routes seven are prefixes, three of which lie below others, and three exact paths.
    mutating func addPath(_ number: Int, host: Int) throws {
        let name = "shop-\(host).customer.example.com"
        let (path, type, target): (String, PathType, String) =
            switch number % 10 {
            case 0...3: ("/service-\(number)", .prefix, "/service-\(number)/items/7")
            case 4...6:
                (
                    "/service-\(number - 4)/v2/things-\(number)", .prefix,
                    "/service-\(number - 4)/v2/things-\(number)/7?a=b"
                )
            default: ("/login/form-\(number)", .exact, "/login/form-\(number)")
            }
        try add(host: name, path: path, type, number, ask: .init(authority: name, target: target))
    }

    private mutating func add(
        host: String, path: String, _ type: PathType, _ number: Int, ask: RouteShape.Request
    ) throws {
        let cluster = "cluster-\(number)"
        let name = try Hostname(host)
        routes[name, default: []].append(
            .init(
                cluster: cluster,
                route: Route(host: name, path: path, pathType: type, service: "web", namespace: "shop", port: 80)))
        var ask = ask
        ask.cluster = cluster
        hits.append(ask)
    }
}

extension RouteShape.Request {
    /// A path of its own on such a host would be found.
    fileprivate var servesEveryPath: Bool { !authority.hasPrefix("shop-") }
}
