package import Routing

/// The gateway's half of a tunnel's control channel.
///
/// ```
/// awaitingHello ──hello──► established ──violation, error, end──► closed
/// ```
/// The identity that the token proved decides (ruling 3): a message that claims another cluster is refused.
package struct GatewaySession {
    package enum Action: Hashable, Sendable {
        case send(ControlMessage)
        /// The tunnel is ready for streams, at most as many at once as the hello says. Send the message first.
        case establish(welcome: ControlMessage, hello: ControlMessage.Hello)
        /// Change the registry, then report the verdicts with `applied`.
        case apply(RouteChange)
        /// The cluster is alive: keep its routes. Then report with `refreshed`.
        case refresh(ControlMessage.Heartbeat)
        /// The agent says that it did not take a message.
        case told(ControlMessage.ControlError)
        /// Log it; nothing else happens.
        case note(String)
        case close(ProtocolViolation)
    }

    /// A change of one cluster's routes, checked route by route.
    package struct RouteChange: Hashable, Sendable {
        package enum Kind: Hashable, Sendable {
            /// Add, or replace routes of the same key.
            case put
            case delete
            /// Put these in place of all the cluster has.
            case replaceAll
        }

        package var kind: Kind
        package var action: ControlMessage.IngressRoutes.Action
        package var revision: Int64
        package var routes: [Route]
        /// Routes that did not pass the check.
        package var rejected: [ControlMessage.IngressRoutesAck.Rejection]

        package init(
            kind: Kind, action: ControlMessage.IngressRoutes.Action, revision: Int64, routes: [Route],
            rejected: [ControlMessage.IngressRoutesAck.Rejection] = []
        ) {
            self.kind = kind
            self.action = action
            self.revision = revision
            self.routes = routes
            self.rejected = rejected
        }
    }

    package struct Identity: Hashable, Sendable {
        package var clusterUUID: String
        package var instanceID: String
        package var tunnelID: String
        package var gatewayDomain: String
        package var heartbeatIntervalMilliseconds: Int
        /// `nil` where no canaries are sent.
        package var canaryIntervalMilliseconds: Int?
        /// As in the welcome.
        package var registry: String?

        package init(
            clusterUUID: String, instanceID: String, tunnelID: String, gatewayDomain: String,
            heartbeatIntervalMilliseconds: Int, canaryIntervalMilliseconds: Int? = nil, registry: String? = nil
        ) {
            self.clusterUUID = clusterUUID
            self.instanceID = instanceID
            self.tunnelID = tunnelID
            self.gatewayDomain = gatewayDomain
            self.heartbeatIntervalMilliseconds = heartbeatIntervalMilliseconds
            self.canaryIntervalMilliseconds = canaryIntervalMilliseconds
            self.registry = registry
        }
    }

    private enum State {
        case awaitingHello
        /// `sync` holds the pages of a set that has not arrived whole yet.
        case established(revision: Int64, sync: PartialSync?)
        case closed
    }

    private struct PartialSync {
        var revision: Int64
        var pages: Int
        /// Of all routes that came, the refused ones included, as `AdvertisedRoute.size` counts.
        var bytes: Int
        var change: RouteChange
    }

    /// Routes one cluster may advertise; beyond it `sync` pages must not fill memory.
    package static let maxRoutes = 100_000
    /// Bytes of one cluster's routes, as `AdvertisedRoute.size` counts.
    package static let maxRouteBytes = 64 * 1024 * 1024

    private let identity: Identity
    private var state = State.awaitingHello

    package init(identity: Identity) { self.identity = identity }

    package mutating func received(_ decoded: ControlMessage.Decoded) -> Action {
        switch (state, decoded) {
        case (.closed, _):
            return .note("a message after the end")
        case (_, .malformed(let reason)):
            return close(.malformedControl, reason)
        case (.awaitingHello, .message(.hello(let hello))):
            return receivedHello(hello)
        case (.awaitingHello, _):
            return close(.unexpectedControl, "the first message is not hello")
        case (.established, .unknownType(let type)):
            return .send(.error(.init(code: "unknown_type", message: "type \"\(type.clipped)\" is not known")))
        case (.established(let revision, let sync), .message(.ingressRoutes(let message))):
            return received(message, since: revision, sync)
        case (.established, .message(.heartbeat(let heartbeat))):
            return .refresh(heartbeat)
        case (.established, .message(.error(let error))):
            return .told(error)
        case (.established, .message(let message)):
            return close(.unexpectedControl, "\(message.typeName) from an agent")
        }
    }

    /// The registry has taken a change in.
    package mutating func applied(
        _ change: RouteChange, accepted: Int, rejected: [ControlMessage.IngressRoutesAck.Rejection]
    ) -> Action {
        var ack = ControlMessage.IngressRoutesAck(
            revision: change.revision, accepted: accepted, rejected: Array((change.rejected + rejected).prefix(1000)))
        // It must fit one message, however long the hosts and paths in it are.
        while ControlMessage.ingressRoutesAck(ack).encoded().utf8.count > ControlMessage.maximumSize {
            ack.rejected.removeLast(max(1, ack.rejected.count / 4))
        }
        return .send(.ingressRoutesAck(ack))
    }

    /// The registry has refreshed the cluster's routes.
    ///
    /// - Parameter digest: of what the registry holds for the cluster; a difference asks for the whole set.
    package mutating func refreshed(_ heartbeat: ControlMessage.Heartbeat, digest: String) -> [Action] {
        guard case .established(let revision, let sync) = state else { return [] }
        var actions: [Action] = [.send(.heartbeatAck(.init(revision: revision)))]
        // While a change is on its way the two sides differ rightly.
        if heartbeat.revision == revision, sync == nil, heartbeat.digest != digest {
            actions.append(.send(.resync(.init(reason: "the gateway's routes differ from the agent's digest"))))
        }
        return actions
    }

    /// The registry could not refresh the cluster's routes. The heartbeat is answered all the same: agents wait for that
    /// before they say more about their routes.
    package func notRefreshed() -> [Action] {
        guard case .established(let revision, _) = state else { return [] }
        return [.send(.heartbeatAck(.init(revision: revision)))]
    }

    /// Bytes of a set that has not arrived whole.
    package var unfinishedBytes: Int {
        if case .established(_, let sync?) = state { sync.bytes } else { 0 }
    }

    /// The sets of the cluster that have not arrived whole, over all its tunnels, are larger than allowed.
    package mutating func overrun() -> Action {
        close(.tooLarge, "unfinished syncs of one cluster with too many bytes in all")
    }

    /// No hello came in time.
    package mutating func handshakeTimedOut() -> Action? {
        guard case .awaitingHello = state else { return nil }
        return close(.handshakeTimeout, "no hello in time")
    }

    private mutating func receivedHello(_ hello: ControlMessage.Hello) -> Action {
        guard hello.clusterUUID == identity.clusterUUID else {
            return close(.wrongCluster, "hello claims another cluster than its token")
        }
        guard hello.versions.contains(1) else {
            return close(.unexpectedControl, "no common protocol version: this gateway speaks 1")
        }
        guard hello.maxStreams > 0 else { return close(.malformedControl, "max_streams is not positive") }
        guard hello.tunnel >= 0 else { return close(.malformedControl, "tunnel is negative") }
        state = .established(revision: 0, sync: nil)
        return .establish(
            welcome: .welcome(
                .init(
                    version: 1, instanceID: identity.instanceID, tunnelID: identity.tunnelID,
                    gatewayDomain: identity.gatewayDomain,
                    heartbeatIntervalMilliseconds: identity.heartbeatIntervalMilliseconds,
                    canaryIntervalMilliseconds: identity.canaryIntervalMilliseconds, registry: identity.registry)),
            hello: hello)
    }

    private mutating func received(
        _ message: ControlMessage.IngressRoutes, since revision: Int64, _ partial: PartialSync?
    ) -> Action {
        guard message.clusterUUID == identity.clusterUUID else {
            return .send(
                .error(
                    .init(
                        code: ProtocolViolation.Code.wrongCluster.rawValue,
                        message: "ingress_routes claims another cluster than its token; nothing was changed")))
        }
        var change = RouteChange(
            kind: message.action == .delete ? .delete : message.action == .sync ? .replaceAll : .put,
            action: message.action, revision: message.revision, routes: [])
        var bytes = 0
        let page: ControlMessage.IngressRoutes.Page
        if message.action == .sync {
            page = message.page ?? .init(index: 0, last: true)
            guard page.index >= 0 else { return close(.malformedControl, "page \(page.index) of a sync") }
            if page.index > 0 {
                guard let partial, partial.revision == message.revision, partial.pages == page.index else {
                    return close(.unexpectedControl, "page \(page.index) of a sync that did not begin")
                }
                change = partial.change
                bytes = partial.bytes
            }
        } else {
            page = .init(index: 0, last: true)
        }
        for advertised in message.routes {
            bytes += advertised.size
            do {
                change.routes.append(try advertised.route())
            } catch {
                change.rejected.append(.init(advertised, error))
            }
        }
        guard change.routes.count + change.rejected.count <= Self.maxRoutes else {
            return close(.tooLarge, "a sync of more than \(Self.maxRoutes) routes")
        }
        guard bytes <= Self.maxRouteBytes else {
            return close(.tooLarge, "a sync of more than \(Self.maxRouteBytes) bytes")
        }
        guard page.last else {
            state = .established(
                revision: revision,
                sync: PartialSync(revision: message.revision, pages: page.index + 1, bytes: bytes, change: change))
            return .note("sync page \(page.index)")
        }
        state = .established(revision: message.revision, sync: nil)
        return .apply(change)
    }

    private mutating func close(_ code: ProtocolViolation.Code, _ detail: String) -> Action {
        state = .closed
        return .close(ProtocolViolation(code, detail))
    }
}

extension ControlMessage.IngressRoutesAck.Rejection {
    package init(_ route: AdvertisedRoute, _ refusal: RouteRefusal) {
        self.init(
            host: route.host, path: route.path, pathType: route.pathType, reason: refusal.reason,
            message: refusal.message)
    }

    package init(_ route: Route, _ refusal: RouteRefusal) { self.init(AdvertisedRoute(route), refusal) }
}
