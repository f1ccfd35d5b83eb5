package import KubernetesAPI
package import Routing
import Synchronization

/// Where the agent opens a connection for a request.
package struct ForwardTarget: Hashable, Sendable {
    /// What to connect to.
    package enum Endpoint: Hashable, Sendable {
        /// A cluster IP, in text.
        case address(ip: String, port: Int)
        /// A name to resolve at connection time: headless Services and those of type `ExternalName`.
        case name(String, port: Int)
    }

    package var endpoint: Endpoint
    /// The Service that the endpoint belongs to.
    package var service: ObjectKey
    /// The endpoint is the ingress controller's, which routes by Host and path itself.
    package var viaIngressController: Bool
    /// How it is spoken to.
    package var transport: BackendTransport
    /// Whom to trust where an ingress controller is reached by TLS in this one's place.
    package var controllerTLS: BackendTLS

    package init(
        endpoint: Endpoint, service: ObjectKey, viaIngressController: Bool = false,
        transport: BackendTransport = .plain, controllerTLS: BackendTLS = BackendTLS(serverName: "")
    ) {
        self.endpoint = endpoint
        self.service = service
        self.viaIngressController = viaIngressController
        self.transport = transport
        self.controllerTLS = controllerTLS
    }
}

/// Where an ingress controller takes requests.
struct ControllerTargets: Sendable {
    /// HTTP/1.1 in plain text.
    private var http: ForwardTarget
    /// The same for routes whose backends speak HTTP/2, where the controller takes that.
    private var http2: ForwardTarget

    init(_ controller: IngressControllerChoice) {
        http = ForwardTarget(
            endpoint: .address(ip: controller.clusterIP, port: controller.httpPort), service: controller.service,
            viaIngressController: true)
        http2 = http
        switch controller.http2 {
        case .none: break
        case .plain: http2.transport.usesHTTP2 = true
        case .tls(let port):
            http2.endpoint = .address(ip: controller.clusterIP, port: port)
            http2.transport = BackendTransport(usesHTTP2: true, tls: BackendTLS(serverName: ""))
        }
    }

    /// Where a request goes that would go to `route` if there were no controller.
    func target(for route: ForwardTarget) -> ForwardTarget {
        guard route.transport.usesHTTP2 else { return http }
        guard http2.transport.tls != nil else { return http2 }
        var target = http2
        target.transport.tls = route.controllerTLS
        return target
    }
}

/// The agent's guardrail: it forwards only hosts and paths that it has itself advertised, and only to the target that
/// it derived from its own cluster.
package struct ForwardingTable: Sendable {
    private var routes = RouteTable<ForwardTarget>()
    /// Where an ingress controller was chosen, every route leads there.
    private var controller: ControllerTargets?
    /// While the routes are not advertised nothing is forwarded.
    private var isAdvertised = false

    package init() {}

    /// - Parameters:
    ///   - host: as `RequestHost.normalize` returns it.
    ///   - path: the raw path without its query.
    package func lookup(host: String, path: some StringProtocol) -> RouteLookup<ForwardTarget> {
        guard isAdvertised else { return .noSuchHost }
        let found = routes.lookup(host: host, path: path)
        guard case .found(let route) = found, let controller else { return found }
        return .found(controller.target(for: route))
    }

    /// One host's routes, ready to be put in place: sorting them is no work to do while the data path waits.
    static func prepare(_ entries: [(PathMatch, ForwardTarget)]) -> HostRoutes<ForwardTarget>? {
        entries.isEmpty ? nil : HostRoutes(entries)
    }

    /// `nil` removes the host.
    mutating func replace(host: Hostname, with prepared: HostRoutes<ForwardTarget>?) {
        routes.replace(host: host, with: prepared)
    }

    mutating func setController(_ choice: IngressControllerChoice?) { controller = choice.map(ControllerTargets.init) }

    mutating func setAdvertised(_ advertised: Bool) { isAdvertised = advertised }
}

/// What the data path reads: the forwarding table and the target policy of this moment.
///
/// Reading takes a lock that is held only for a dictionary look-up, so it may be done on an event loop.
package final class ForwardingGuard: Sendable {
    private struct State {
        var table = ForwardingTable()
        var policy: TargetPolicy
    }

    private let state: Mutex<State>

    package init(policy: TargetPolicy) { state = Mutex(State(policy: policy)) }

    /// Where a request goes, or that this agent does not serve it.
    ///
    /// - Parameters:
    ///   - host: as `RequestHost.normalize` returns it.
    ///   - path: the raw path without its query.
    package func target(host: String, path: some StringProtocol) -> RouteLookup<ForwardTarget> {
        state.withLock { $0.table.lookup(host: host, path: path) }
    }

    /// Checks the address a connection is about to be made to.
    package var policy: TargetPolicy { state.withLock { $0.policy } }

    /// Where an ingress controller is chosen, every route leads there; `nil` leads each to its own Service.
    package func setController(_ choice: IngressControllerChoice?) {
        state.withLock { $0.table.setController(choice) }
    }

    /// See `TargetPolicy.setClusterAPIServers`.
    package func setClusterAPIServers(_ endpoints: Set<TargetPolicy.Endpoint>) {
        state.withLock { $0.policy.setClusterAPIServers(endpoints) }
    }

    func update(_ body: (inout ForwardingTable) -> Void) { state.withLock { body(&$0.table) } }
}
