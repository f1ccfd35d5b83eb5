import HTTPExchange
import NIOCore
import Routing
import Settings
import Telemetry
import TunnelProtocol

/// `/-/explain?url=`: what the gateway would do with a request for a URL, and why; asks with the code that serves.
struct RequestExplanation: Encodable, Hashable, Sendable {
    /// How the URL was understood.
    struct Request: Encodable, Hashable, Sendable {
        var scheme: String
        /// What the application would see as `Host`.
        var authority: String
        /// As routes are looked up.
        var host: String
        var path: String
        /// Path and query, as they would be sent on.
        var target: String
    }

    struct Candidate: Encodable, Hashable, Sendable {
        var host: String
        var path: String
        var pathType: String
        var clusterUUID: String
        var namespace: String
        var service: String
        var port: Int
        var chosen: Bool
        /// Why it was not chosen.
        var lost: String?

        init(_ candidate: RouteCandidate<ServedRoute>) {
            let route = candidate.value.origin.route
            host = candidate.host
            path = route.path
            pathType = route.pathType.rawValue
            clusterUUID = candidate.value.cluster
            namespace = route.namespace
            service = route.service
            port = route.port
            chosen = candidate.verdict == .chosen
            lost = chosen ? nil : candidate.verdict.rawValue
        }
    }

    struct Limits: Encodable, Hashable, Sendable {
        /// Of all of the cluster's requests: `rate:burst`, or `off`.
        var cluster: String
        /// Of the route's alone; absent where it has none.
        var route: String?
    }

    struct TunnelVerdict: Encodable, Hashable, Sendable {
        var id: String
        var streams: Int
        var streamsLimit: Int
        var chosen: Bool
        /// Why it was not chosen.
        var lost: String?
    }

    /// What the agent that has the chosen tunnel says that it would do.
    struct AgentView: Encodable, Hashable, Sendable {
        var tunnel: String
        /// Whether it would take the request at all.
        var advertised: Bool?
        /// `NAMESPACE/NAME` of the Service that the request would go to.
        var service: String?
        var target: String?
        /// `ingress-controller`, which routes by host and path itself, or `service`.
        var via: String?
        var backendProtocol: String?
        /// Whether the agent has, or just had, a connection to it.
        var reachable: Bool?
        /// Why not, as the client would be told (docs/failures.md), and as a sentence.
        var failure: String?
        var detail: String?
        /// Why there is nothing to tell.
        var problem: String?

        init(tunnel: String, _ answer: AgentQuestion.Answer) {
            self.tunnel = tunnel
            switch answer {
            case .explained(let explanation):
                advertised = explanation.destination != nil
                guard let destination = explanation.destination else { return }
                service = destination.service
                target = destination.target
                via = destination.viaIngressController ? "ingress-controller" : "service"
                backendProtocol = destination.backendProtocol
                reachable = destination.failure == nil
                failure = destination.failure
                detail = destination.detail
            case .notUnderstood: problem = "this agent is too old to be asked"
            case .none(let reason): problem = reason
            }
        }
    }

    /// More are counted and not shown.
    static let mostCandidates = 100

    var instance: String
    var request: Request
    /// `served`, or the code of the failure that the client would get (docs/failures.md).
    var outcome: String
    /// The same as a sentence.
    var summary: String
    /// In order of precedence.
    var candidates: [Candidate]
    /// How many more routes were looked at and are not shown.
    var candidatesLeftOut: Int
    /// The cluster that the request belongs to.
    var owner: String?
    /// When the cluster's last tunnel went, where it has none.
    var offlineSince: String?
    var rateLimit: Limits?
    var responseTimeoutSeconds: Double?
    var idleTimeoutSeconds: Double?
    /// As they stand now: the next request may find another one less busy, and one on its connection's own event loop is
    /// preferred where it is not much busier.
    var tunnels: [TunnelVerdict]
    /// Absent where no tunnel was chosen.
    var agent: AgentView?
    /// Names that are served and look like the one asked for.
    var similarHosts: [String]?

    init(_ query: OperationsQuery, cache: RouteCache, tunnels: TunnelRegistry, instance: String) throws(AdminProblem) {
        try AdminProblem.check(query, allows: ["url"])
        guard let url = query["url"], !url.isEmpty else {
            throw AdminProblem(
                error: "no url is given", expected: "/-/explain?url=https://app.example.com/path, percent-encoded")
        }
        let (scheme, target) = try Self.target(of: url)
        self.instance = instance
        request = Request(
            scheme: scheme, authority: target.authority, host: target.host, path: String(target.path),
            target: target.target)
        let found = cache.explain(host: target.host, path: target.path)
        candidates = found.prefix(Self.mostCandidates).map(Candidate.init)
        candidatesLeftOut = found.count - candidates.count
        self.tunnels = []
        guard let winner = found.first(where: { $0.verdict == .chosen }) else {
            (outcome, summary) = Self.unserved(cache.lookup(host: target.host, path: target.path), request)
            return
        }
        if !candidates.contains(where: \.chosen) { candidates.append(Candidate(winner)) }
        let cluster = winner.value.cluster
        owner = cluster
        rateLimit = Limits(
            cluster: "\(tunnels.limit(of: cluster))", route: winner.value.origin.limit.map { "\($0)" })
        responseTimeoutSeconds = Double(winner.value.timeouts.response.nanoseconds) / 1e9
        idleTimeoutSeconds = Double(winner.value.timeouts.idle.nanoseconds) / 1e9
        self.tunnels = TunnelChoice.explain(tunnels.candidates(for: cluster)).map { id, candidate, verdict in
            TunnelVerdict(
                id: id, streams: candidate.openStreams, streamsLimit: candidate.maxStreams,
                chosen: verdict == .chosen, lost: verdict == .chosen ? nil : verdict.rawValue)
        }
        if self.tunnels.contains(where: \.chosen) {
            outcome = "served"
            summary = "cluster \(cluster) serves it"
        } else if self.tunnels.contains(where: { $0.lost == TunnelChoice.Verdict.full.rawValue }) {
            outcome = ExchangeFailure.overloaded.code
            summary = "every tunnel of cluster \(cluster) has as many streams as it may"
        } else {
            outcome = ExchangeFailure.clusterOffline.code
            offlineSince = tunnels.offlineSince(cluster).map { "\($0)" }
            summary = "cluster \(cluster) owns the route, and none of its tunnels leads to this gateway"
        }
    }

    /// Asks the agent on the chosen tunnel what it would do.
    mutating func askAgent(_ tunnels: TunnelRegistry) async {
        guard let id = self.tunnels.first(where: \.chosen)?.id,
            let connected = tunnels.all.first(where: { $0.id == id })
        else { return }
        let answer = await AgentQuestion.ask(
            connected.tunnel, authority: request.authority, target: request.target)
        let view = AgentView(tunnel: id, answer)
        agent = view
        if view.advertised == false {
            outcome = ExchangeFailure.notAdvertised.code
            summary = "the agent of cluster \(owner ?? "") does not serve it any more, or not yet"
        } else if let failure = view.failure {
            outcome = failure
            summary = "cluster \(owner ?? "") serves it, and its agent cannot reach \(view.service ?? "the Service")"
        }
    }

    /// Names served names that look like one that is not.
    mutating func suggest(from store: any RouteStore) async throws {
        guard outcome == ExchangeFailure.noSuchHost.code else { return }
        similarHosts = Self.similar(to: request.host, among: try await store.hostNames().map(\.text))
    }

    /// Up to three names, the nearest first.
    static func similar(to host: String, among names: [String]) -> [String] {
        // Distance takes its time: of many names those of about the same length that share an end are worth it.
        var left = names.filter { name in
            abs(name.utf8.count - host.utf8.count) <= 3
                && (name.utf8.suffix(3).elementsEqual(host.utf8.suffix(3)) || name.utf8.first == host.utf8.first)
        }.sorted().prefix(2000)
        var found: [String] = []
        while found.count < 3, let name = NearestName.to(host, among: left) {
            found.append(name)
            left.removeAll { $0 == name }
        }
        return found
    }

    /// As a client's request for the URL would be read.
    private static func target(of url: String) throws(AdminProblem) -> (scheme: String, RequestTarget) {
        let scheme: String
        var whole = url
        switch url.firstRange(of: "://").map({ url[..<$0.lowerBound].lowercased() }) {
        case "https": scheme = "https"
        case "http": scheme = "http"
        default:
            // What a person copies from a browser often begins with the host.
            guard url.utf8.first != UInt8(ascii: "/"), url.prefix(while: { $0 != "/" && $0 != "?" }).contains(".")
            else {
                throw AdminProblem(
                    error: "\"\(url)\" is not a URL of HTTP",
                    expected: "https://app.example.com/path or app.example.com")
            }
            scheme = "https"
            whole = "https://" + url
        }
        do throws(ExchangeFailure) {
            var fields = HeaderFields()
            let rest = whole.drop { $0 != ":" }.dropFirst(3)
            fields.add(name: "Host", value: rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" })
            // A browser keeps the fragment to itself.
            let target = String(whole.prefix { $0 != "#" })
            guard FieldSyntax.isTarget(target) else { throw .badRequest("it has a space or a control character") }
            return (scheme, try RequestTarget(HTTP1Request(method: "GET", target: target, fields: fields)))
        } catch {
            throw AdminProblem(
                error: "a request for \"\(url)\" would be refused: \(error.detail)",
                expected: "https://app.example.com/path, percent-encoded")
        }
    }

    private static func unserved(
        _ lookup: RouteLookup<ServedRoute>, _ request: Request
    ) -> (outcome: String, summary: String) {
        if case .noSuchPath = lookup {
            return (
                ExchangeFailure.noSuchPath.code,
                "\(request.host) is served, and none of its routes covers the path \(request.path)"
            )
        }
        return (
            ExchangeFailure.noSuchHost.code,
            "no cluster serves \(request.host): no route has the name itself or the wildcard that covers it"
        )
    }
}
