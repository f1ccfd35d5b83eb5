import Metrics
import NIOCore
import Settings
import Telemetry
import TunnelProtocol
import TunnelTransport

/// Why a slot dials again; the values are those of the metric and the log.
enum ReconnectReason: String, CaseIterable, Sendable {
    // A tunnel ended.
    case lost
    case silent
    /// The gateway sent canaries before and sends none any more.
    case unresponsive
    case closed
    case violation
    case failed
    /// The gateway no longer knows the cluster.
    case revoked
    // A tunnel is replaced.
    case drained
    case sameInstance = "same_instance"
    // A dial failed.
    case unreachable
    case timeout
    case proxy
    case handshake
    case unauthorized
    case refused
    /// The token or a certificate cannot be read.
    case credentials

    static let ofDials: [ReconnectReason] = [
        .unreachable, .timeout, .proxy, .handshake, .unauthorized, .refused, .credentials,
    ]

    /// RFC 6455 §7.4.1: the gateway broke off because of what this side is, or did.
    private static let policyViolation: UInt16 = 1008
    private static let protocolError: UInt16 = 1002

    /// A tunnel that had been established ended.
    init(endOfTunnel reason: TunnelCloseReason) {
        switch reason {
        case .disconnected: self = .lost
        case .closedByPeer(Self.policyViolation, _): self = .revoked
        case .closedByPeer(Self.protocolError, _): self = .violation
        // This side never revokes: only the gateway does.
        case .closedByPeer, .goingAway, .revoked, .tokenExpired: self = .closed
        case .violated: self = .violation
        case .silent: self = .silent
        case .unresponsive: self = .unresponsive
        case .failed: self = .failed
        }
    }

    /// A WebSocket that ended before the welcome.
    init(endOfHandshake reason: TunnelCloseReason) {
        switch reason {
        case .violated(let violation) where violation.code == .handshakeTimeout: self = .timeout
        case .silent, .unresponsive: self = .timeout
        case .closedByPeer(Self.policyViolation, _): self = .unauthorized
        case .closedByPeer: self = .refused
        case .disconnected, .violated, .goingAway, .failed, .revoked, .tokenExpired: self = .handshake
        }
    }

    init(dial error: any Error) {
        switch error {
        case TunnelDialError.unreachable, is AddressResolution.Failure: self = .unreachable
        case TunnelDialError.timedOut: self = .timeout
        case TunnelDialError.proxyRefused: self = .proxy
        case TunnelDialError.refused(let status, _, _): self = status == 401 || status == 403 ? .unauthorized : .refused
        case is SettingsError: self = .credentials
        default: self = .handshake
        }
    }
}

/// How an attempt, or a tunnel, ended: for the log, the metrics and the wait before the next dial.
struct TunnelEnding: Sendable {
    var reason: ReconnectReason
    var cause: Backoff.Cause
    /// For people.
    var detail: String

    init(dial error: any Error) {
        reason = ReconnectReason(dial: error)
        detail = "\(error)"
        if case TunnelDialError.refused(_, _, let retryAfter?) = error {
            cause = .retryAfter(.seconds(Int64(clamping: min(retryAfter, 3600))))
        } else {
            cause = reason == .unauthorized ? .unauthorized : .failed
        }
    }

    init(_ outcome: AgentTunnelSession.Outcome) {
        reason =
            outcome.lifetime == nil
            ? ReconnectReason(endOfHandshake: outcome.reason) : ReconnectReason(endOfTunnel: outcome.reason)
        detail = "\(outcome.reason)"
        if let retryAfter = outcome.retryAfter {
            cause = .retryAfter(retryAfter)
        } else if reason == .revoked || reason == .unauthorized {
            cause = .unauthorized
        } else {
            cause = outcome.lifetime.map { .lost(after: $0) } ?? .failed
        }
    }
}

/// Counts dials and reconnections; every series is there from the start.
struct TunnelMetrics: Sendable {
    private let dials = Counter(label: "agent_tunnel_dials_total", dimensions: [("result", "connected")])
    private let failedDials = EnumeratedCounters(
        "agent_tunnel_dials_total", by: "result", values: ReconnectReason.ofDials)
    private let reconnects = EnumeratedCounters<ReconnectReason>("agent_tunnel_reconnects_total")

    func dialSucceeded() { dials.increment() }
    func dialFailed(_ reason: ReconnectReason) { failedDials.count(reason) }
    func reconnecting(_ reason: ReconnectReason) { reconnects.count(reason) }
}
