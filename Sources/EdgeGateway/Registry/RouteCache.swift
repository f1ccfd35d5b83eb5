package import HTTPExchange
import NIOCore
package import Routing
import Settings
import Synchronization

/// What the data path needs to know about a route, prepared once when the route changes.
package struct ServedRoute: Sendable {
    package var cluster: String
    /// Lower-case names of fields removed from requests, by the annotation `gateway.pipeops.io/strip-request-headers`.
    package var strippedRequestFields: Set<String>
    /// The gateway's timeouts, or those of the annotations `gateway.pipeops.io/response-timeout` and `…/idle-timeout`.
    package var timeouts: ExchangeStateMachine.Timeouts

    init(_ entry: HostnameClaims.Entry, defaults: ExchangeStateMachine.Timeouts) {
        cluster = entry.cluster
        let annotations = entry.route.annotations
        let names = annotations["gateway.pipeops.io/strip-request-headers"] ?? ""
        strippedRequestFields = Set(
            names.split { $0 == "," || $0 == " " }.map { $0.lowercased() }
                .filter { $0 != "content-length" && $0 != "transfer-encoding" })
        timeouts = defaults
        if let time = Self.time(annotations["gateway.pipeops.io/response-timeout"]) { timeouts.response = time }
        if let time = Self.time(annotations["gateway.pipeops.io/idle-timeout"]) { timeouts.idle = time }
    }

    private static func time(_ text: String?) -> TimeAmount? {
        guard let text, let duration = DurationText.parse(text), duration > .zero else { return nil }
        return TimeAmount(duration)
    }
}

/// The routes as the data path reads them: one dictionary look-up under a lock that nothing waits in.
package final class RouteCache: Sendable {
    private let table = Mutex(RouteTable<ServedRoute>())
    private let defaults: ExchangeStateMachine.Timeouts

    package init(timeouts: ExchangeStateMachine.Timeouts) { defaults = timeouts }

    /// - Parameter host: as `RequestHost.normalize` returns it.
    package func lookup(host: String, path: some StringProtocol) -> RouteLookup<ServedRoute> {
        table.withLock { $0.lookup(host: host, path: path) }
    }

    package func replace(_ hosts: [Hostname: [HostnameClaims.Entry]]) {
        let defaults = defaults
        let prepared = hosts.map { host, entries in
            (host, entries.isEmpty ? nil : HostRoutes(entries.map { ($0.route.match, ServedRoute($0, defaults: defaults)) }))
        }
        table.withLock { table in
            for (host, routes) in prepared { table.replace(host: host, with: routes) }
        }
    }

    package var hostCount: Int { table.withLock { $0.hostCount } }
}
