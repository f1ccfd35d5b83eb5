package import TunnelProtocol

/// What a session with a gateway needs to know of route synchronisation.
///
/// A session calls `runSession` once the gateway's `welcome` has come, and hands over the answers it receives.
package protocol RouteSyncing: Sendable {
    /// Publishes routes and heartbeats through a session until it ends.
    ///
    /// Starts with the whole set, also where it is empty. Runs until it is cancelled or `send` throws, which it
    /// rethrows; either way the session counts as lost when it returns. Returns early where a newer session took over.
    ///
    /// - Parameters:
    ///   - registry: the store of routes that the gateway writes to, as its `welcome` names it; empty where it names
    ///     none. There is one session for each; a newer one takes over from an older one.
    ///   - heartbeatInterval: as the gateway's `welcome` asked for.
    ///   - send: writes one control message; called for one message at a time, in order.
    func runSession(
        registry: String, heartbeatInterval: Duration, send: @escaping @Sendable (ControlMessage) async throws -> Void
    ) async throws

    /// The gateway answered an `ingress_routes` message. Does not block.
    func received(_ ack: ControlMessage.IngressRoutesAck, from registry: String)

    /// The gateway asked for the whole set. Does not block.
    func resyncRequested(reason: String, by registry: String)

    /// What a tunnel says, at each heartbeat interval, that does not publish.
    var standbyHeartbeat: ControlMessage.Heartbeat { get }
}
