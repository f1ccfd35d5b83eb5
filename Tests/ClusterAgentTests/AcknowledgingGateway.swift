import ClusterAgent
import Synchronization
import TunnelProtocol

/// Takes routes in and acknowledges them.
final class AcknowledgingGateway: Sendable {
    private struct State {
        var routes: [String: String] = [:]
        var actions: [String] = []
        var taken: Set<String> = []
        var refused: RouteRefusal?
        var holdsAnswers = false
        var held: [ControlMessage.IngressRoutesAck] = []
    }

    private let state = Mutex(State())

    /// Service by host and path.
    var routes: [String: String] { state.withLock { $0.routes } }
    var added: Set<String> { Set(routes.keys) }
    /// Of all messages.
    var actions: [String] { state.withLock { $0.actions } }

    /// Hosts of other clusters.
    var taken: Set<String> {
        get { state.withLock { $0.taken } }
        set { state.withLock { $0.taken = newValue } }
    }

    /// Why no route is taken.
    var refused: RouteRefusal? {
        get { state.withLock { $0.refused } }
        set { state.withLock { $0.refused = newValue } }
    }

    var holdsAnswers: Bool {
        get { state.withLock { $0.holdsAnswers } }
        set { state.withLock { $0.holdsAnswers = newValue } }
    }

    func session(_ syncer: RouteSyncer) async throws {
        try await syncer.runSession(heartbeatInterval: .seconds(10)) { message in
            guard case .ingressRoutes(let routes) = message else { return }
            if let answer = self.take(routes) { syncer.received(answer) }
        }
    }

    /// Gives the answers that were held, and holds no more.
    func answer(_ syncer: RouteSyncer) {
        let answers = state.withLock { state in
            state.holdsAnswers = false
            defer { state.held = [] }
            return state.held
        }
        for answer in answers { syncer.received(answer) }
    }

    private func take(_ message: ControlMessage.IngressRoutes) -> ControlMessage.IngressRoutesAck? {
        state.withLock { state in
            state.actions.append(message.action.rawValue)
            if message.action == .sync, message.page?.index ?? 0 == 0 { state.routes = [:] }
            var answer = ControlMessage.IngressRoutesAck(revision: message.revision, accepted: 0)
            for route in message.routes {
                if message.action == .delete {
                    state.routes[route.host + route.path] = nil
                } else if let refusal = state.refused {
                    answer.rejected.append(.init(route, refusal))
                } else if state.taken.contains(route.host) {
                    answer.rejected.append(
                        .init(route, RouteRefusal(reason: "HostnameConflict", message: "another cluster has it")))
                } else {
                    answer.accepted += 1
                    state.routes[route.host + route.path] = route.service
                }
            }
            guard message.page?.last ?? true else { return nil }
            guard state.holdsAnswers else { return answer }
            state.held.append(answer)
            return nil
        }
    }
}
