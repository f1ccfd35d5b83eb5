import Routing
import Telemetry

/// `/-/routes`: the routes that are served, a page at a time.
struct RoutesDocument: Encodable, Hashable, Sendable {
    struct Item: Encodable, Hashable, Sendable {
        var clusterUUID: String
        var host: String
        var path: String
        var pathType: String
        var namespace: String
        var service: String
        var port: Int
        var tls: Bool
        var annotations: [String: String]

        init(_ entry: HostnameClaims.Entry) {
            clusterUUID = entry.cluster
            host = entry.route.host.text
            path = entry.route.path
            pathType = entry.route.pathType.rawValue
            namespace = entry.route.namespace
            service = entry.route.service
            port = entry.route.port
            tls = entry.route.tls
            annotations = entry.route.annotations
            // Nobody reads a page here.
            if let page = annotations[ServedRoute.offlinePageAnnotation] {
                annotations[ServedRoute.offlinePageAnnotation] = "(\(page.utf8.count) bytes)"
            }
        }
    }

    var instance: String
    var routes: [Item]
    /// The value of `continue` for the next page; absent on the last.
    var `continue`: String?

    init(_ query: OperationsQuery, store: any RouteStore, instance: String) async throws {
        let page = try await store.routes(Self.query(query))
        self.instance = instance
        routes = page.routes.map(Item.init)
        `continue` = page.next?.description
    }

    /// Reads `host`, `cluster`, `limit` and `continue`.
    static func query(_ query: OperationsQuery) throws(AdminProblem) -> RouteQuery {
        try AdminProblem.check(query, allows: ["host", "cluster", "limit", "continue"])
        var result = RouteQuery()
        if let text = query["host"] {
            do { result.host = try Hostname(text) } catch {
                throw AdminProblem(error: "\(error)", expected: "a name as a route has it, such as app.example.com")
            }
        }
        result.cluster = query["cluster"]
        if let text = query["limit"] {
            guard let limit = Int(text), (1...RouteQuery.mostRoutes).contains(limit) else {
                throw AdminProblem(
                    error: "limit \"\(text)\" is not a number that can be taken",
                    expected: "1 to \(RouteQuery.mostRoutes)")
            }
            result.limit = limit
        }
        if let text = query["continue"] {
            guard let start = RouteQuery.Place(text) else {
                throw AdminProblem(
                    error: "continue \"\(text)\" is nothing that an earlier page gave",
                    expected: "the value of \"continue\" of the page before, percent-encoded")
            }
            result.start = start
        }
        return result
    }
}
