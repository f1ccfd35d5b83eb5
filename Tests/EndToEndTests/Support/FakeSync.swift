import Synchronization
import TunnelProtocol

@testable import ClusterAgent

/// Route synchronisation reduced to what a test says: a `sync` at the start of each session, and what is pushed later.
final class FakeSync: RouteSyncing {
    private struct State {
        var sync: [AdvertisedRoute]
        var clusterUUID: String
        var revision: Int64 = 0
        var acks: [ControlMessage.IngressRoutesAck] = []
        var resyncs: [String] = []
        var sessions = 0
        /// One for each session that is open: there is one for each registry.
        var pushes: [Int: AsyncStream<ControlMessage>.Continuation] = [:]
    }

    private let state: Mutex<State>

    init(_ sync: [AdvertisedRoute], clusterUUID: String) {
        state = Mutex(State(sync: sync, clusterUUID: clusterUUID))
    }

    var acks: [ControlMessage.IngressRoutesAck] { state.withLock { $0.acks } }
    var resyncs: [String] { state.withLock { $0.resyncs } }
    var sessions: Int { state.withLock { $0.sessions } }

    /// Sends a message through each session that is open.
    func push(_ message: ControlMessage) {
        for push in state.withLock({ Array($0.pushes.values) }) { push.yield(message) }
    }

    func runSession(
        registry: String, heartbeatInterval: Duration, send: @escaping @Sendable (ControlMessage) async throws -> Void
    ) async throws {
        let (pushed, push) = AsyncStream.makeStream(of: ControlMessage.self)
        let (session, sync) = state.withLock { state in
            state.sessions += 1
            state.revision += 1
            state.pushes[state.sessions] = push
            let pages = RoutePaging.pages(of: state.sync)
            let sync = pages.enumerated().map { index, page in
                ControlMessage.ingressRoutes(
                    .init(
                        action: .sync, clusterUUID: state.clusterUUID, routes: page, revision: state.revision,
                        page: .init(index: index, last: index == pages.count - 1)))
            }
            return (state.sessions, sync)
        }
        defer { _ = state.withLock { $0.pushes.removeValue(forKey: session) } }
        for page in sync { try await send(page) }
        for await message in pushed { try await send(message) }
        try Task.checkCancellation()
    }

    func received(_ ack: ControlMessage.IngressRoutesAck, from registry: String) {
        state.withLock { $0.acks.append(ack) }
    }
    func resyncRequested(reason: String, by registry: String) { state.withLock { $0.resyncs.append(reason) } }

    var standbyHeartbeat: ControlMessage.Heartbeat {
        .init(metadata: .init(isPrivate: true, gatewayRoutes: 0), revision: -1, digest: "0000000000000000")
    }
}
