import NIOCore
import TunnelTransport

/// One tunnel, as people are told of it.
struct OpenTunnel: Sendable {
    var id: String
    var cluster: String
    /// The agent's process, as its hello names it.
    var agentID: String
    var agentVersion: String
    /// Which of the agent's tunnels this is.
    var number: Int
    /// Where it comes from; empty where that is not known.
    var address: String
    var since: NIODeadline
    var vitals: TunnelVitals
}
