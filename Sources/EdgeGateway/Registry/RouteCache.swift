package import HTTPExchange
import NIOCore
package import Routing
import Settings
import Synchronization

/// What the data path needs to know about a route, prepared once when the route changes.
package struct ServedRoute: Sendable {
    package var cluster: String
    /// Names of fields removed from requests, by the annotation `gateway.pipeops.io/strip-request-headers`; as
    /// `FieldKind.folded` returns them.
    package var strippedRequestFields: Set<String>
    /// The gateway's timeouts, or those of the annotations `gateway.pipeops.io/response-timeout` and `…/idle-timeout`.
    package var timeouts: ExchangeStateMachine.Timeouts
    /// How many requests it may have beside what its cluster may, by the annotation `gateway.pipeops.io/rate-limit`.
    package var limiter: RouteLimiter?
    /// The longest body of a request in bytes: the gateway's limit, or the annotation `gateway.pipeops.io/max-body-size`
    /// where that is lower.
    package var maxBodySize: Int
    /// The route itself, for whoever asks why; a reference, so that a look-up copies no more than that.
    let origin: Origin

    /// A page for browsers while the cluster is away.
    static let offlinePageAnnotation = "gateway.pipeops.io/offline-page-content"

    /// What the cluster advertised.
    final class Origin: Sendable {
        let route: Route
        /// The route's own limit; `nil` where it has none.
        let limit: RateLimit?
        /// For browsers while the cluster is away, by `offlinePageAnnotation`; `nil`: the gateway's own.
        let offlinePage: ByteBuffer?

        init(_ route: Route, limit: RateLimit?) {
            self.route = route
            self.limit = limit
            offlinePage = route.annotations[ServedRoute.offlinePageAnnotation].map { ByteBuffer(string: $0) }
        }
    }

    init(_ entry: HostnameClaims.Entry, defaults: RouteDefaults) {
        cluster = entry.cluster
        let annotations = entry.route.annotations
        let names = annotations["gateway.pipeops.io/strip-request-headers"] ?? ""
        strippedRequestFields = Set(
            names.split { $0 == "," || $0 == " " }.map { FieldKind.folded(String($0)) }
                .filter { $0 != "content-length" && $0 != "transfer-encoding" })
        origin = Origin(entry.route, limit: annotations["gateway.pipeops.io/rate-limit"].flatMap { RateLimit($0) })
        limiter = origin.limit.flatMap { RouteLimiter($0) }
        maxBodySize = min(
            defaults.maxBodySize ?? .max,
            annotations["gateway.pipeops.io/max-body-size"].flatMap { BodySize($0)?.bytes } ?? .max)
        timeouts = defaults.timeouts
        if let time = Self.time(annotations["gateway.pipeops.io/response-timeout"]) { timeouts.response = time }
        if let time = Self.time(annotations["gateway.pipeops.io/idle-timeout"]) { timeouts.idle = time }
    }

    private static func time(_ text: String?) -> TimeAmount? {
        guard let text, let duration = DurationText.parse(text), duration > .zero else { return nil }
        return TimeAmount(duration)
    }
}

/// What a route has that says nothing else.
package struct RouteDefaults: Hashable, Sendable {
    package var timeouts: ExchangeStateMachine.Timeouts
    /// The longest body of a request, in bytes; nil for any.
    package var maxBodySize: Int?

    package init(timeouts: ExchangeStateMachine.Timeouts, maxBodySize: Int? = nil) {
        self.timeouts = timeouts
        self.maxBodySize = maxBodySize
    }
}

/// The routes as the data path reads them: one dictionary look-up under a lock that nothing waits in.
package final class RouteCache: Sendable {
    private struct State {
        var table = RouteTable<ServedRoute>()
        /// The change that each host was set by, hosts that are gone included.
        var sequences: [Hostname: UInt64] = [:]
        /// Hosts that are gone and still in `sequences`.
        var gone: [Hostname] = []
    }

    /// Hosts put in place before the data path gets its turn at the lock.
    private static let hostsPerTurn = 256
    /// How many hosts that are gone are remembered.
    private static let mostGone = 10_000

    private let state = Mutex(State())
    private let defaults: RouteDefaults

    package init(timeouts: ExchangeStateMachine.Timeouts, maxBodySize: Int? = nil) {
        defaults = RouteDefaults(timeouts: timeouts, maxBodySize: maxBodySize)
    }

    /// - Parameter host: as `RequestHost.normalize` returns it.
    package func lookup(host: String, path: some StringProtocol) -> RouteLookup<ServedRoute> {
        state.withLock { $0.table.lookup(host: host, path: path) }
    }

    /// What `lookup` looked at, and why it found what it did. The data path waits for none of it: a host may have very
    /// many routes.
    func explain(host: String, path: some StringProtocol) -> [RouteCandidate<ServedRoute>] {
        state.withLock { $0.table.part(for: host) }.explain(host: host, path: path)
    }

    /// Puts the hosts of a change in place, unless a later change has been there before: one cluster's release of a
    /// name must not undo another's claim.
    package func replace(_ hosts: [Hostname: [HostnameClaims.Entry]], sequence: UInt64) {
        let defaults = defaults
        let prepared = hosts.map { host, entries in
            (
                host: host,
                routes: entries.isEmpty
                    ? nil : HostRoutes(entries.map { ($0.route.match, ServedRoute($0, defaults: defaults)) })
            )
        }
        for start in stride(from: 0, to: prepared.count, by: Self.hostsPerTurn) {
            state.withLock { state in
                for (host, routes) in prepared[start..<min(start + Self.hostsPerTurn, prepared.count)]
                where state.sequences[host] ?? 0 < sequence {
                    state.table.replace(host: host, with: routes)
                    state.sequences[host] = sequence
                    if routes == nil { state.gone.append(host) }
                }
                if state.gone.count > Self.mostGone {
                    for host in state.gone where !state.table.serves(host) { state.sequences[host] = nil }
                    state.gone = []
                }
            }
        }
    }

    package var hostCount: Int { state.withLock { $0.table.hostCount } }
}
