import TunnelProtocol

/// What a session still has to say: at most one batch about routes, and one heartbeat.
///
/// Heartbeats take turns with the messages of a batch: on a slow line a whole set takes longer than routes live without
/// one.
struct RouteOutbox: Sendable {
    private var routes: ArraySlice<ControlMessage> = []
    private var heartbeat: ControlMessage?
    private var isHeartbeatsTurn = false
    /// The message about routes that was taken last is on its way to the socket.
    private var isWriting = false

    /// Whether messages of the last batch are not with the socket yet.
    var isSending: Bool { isWriting || !routes.isEmpty }

    /// Whether a message of this revision, or of one before it, has not been taken yet: an answer to it is none.
    func holds(_ revision: Int64) -> Bool {
        if case .ingressRoutes(let first)? = routes.first { first.revision <= revision } else { false }
    }

    /// A whole set stands for all that waits, also for the rest of another set: page 0 begins anew. A newer heartbeat
    /// stands for an older one.
    mutating func add(_ messages: [ControlMessage]) {
        for message in messages {
            guard case .ingressRoutes(let change) = message else {
                heartbeat = message
                continue
            }
            if change.action == .sync, change.page?.index ?? 0 == 0 { routes = [] }
            routes.append(message)
        }
    }

    /// The next to send; what was taken before is with the socket.
    mutating func next() -> ControlMessage? {
        isWriting = false
        if let due = heartbeat, isHeartbeatsTurn || routes.isEmpty {
            heartbeat = nil
            isHeartbeatsTurn = false
            return due
        }
        guard let message = routes.popFirst() else { return nil }
        // An empty slice would keep what it was cut from.
        if routes.isEmpty { routes = [] }
        isHeartbeatsTurn = true
        isWriting = true
        return message
    }
}
