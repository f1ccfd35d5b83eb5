import Metrics
import MetricsTestKit
import NIOCore
import Settings
import Testing
import TunnelProtocol
import TunnelTransport

@testable import ClusterAgent

@Suite("Why tunnels end and dials fail")
struct TunnelMetricsTests {
    @Test("Every series is there from the start, and each event counts once")
    func series() {
        let factory = TestMetrics()
        withMetricsFactory(factory) {
            let metrics = TunnelMetrics()
            func labels(_ name: String) -> Set<String> {
                Set(factory.counters.filter { $0.label == name }.flatMap(\.dimensions).map(\.1))
            }
            #expect(
                labels("agent_tunnel_dials_total")
                    == [
                        "connected", "unreachable", "timeout", "proxy", "handshake", "unauthorized", "refused",
                        "credentials",
                    ])
            #expect(labels("agent_tunnel_reconnects_total") == Set(ReconnectReason.allCases.map(\.rawValue)))
            metrics.dialSucceeded()
            metrics.dialFailed(.timeout)
            metrics.reconnecting(.lost)
            metrics.reconnecting(.lost)
        }
        func total(_ name: String, _ label: String, _ value: String) -> Int64 {
            factory.counterTotal(label: name, dimensions: [(label, value)])
        }
        #expect(total("agent_tunnel_dials_total", "result", "connected") == 1)
        #expect(total("agent_tunnel_dials_total", "result", "timeout") == 1)
        #expect(total("agent_tunnel_dials_total", "result", "refused") == 0)
        #expect(total("agent_tunnel_reconnects_total", "reason", "lost") == 2)
    }

    private static func ended(
        _ reason: TunnelCloseReason, lifetime: TimeAmount? = .seconds(5), retryAfter: TimeAmount? = nil
    ) -> TunnelEnding {
        TunnelEnding(AgentTunnelSession.Outcome(reason: reason, retryAfter: retryAfter, lifetime: lifetime))
    }

    @Test(
        "The end of a tunnel",
        arguments: [
            (.disconnected, .lost), (.silent, .silent), (.closedByPeer(code: 1001, reason: ""), .closed),
            (.closedByPeer(code: 1002, reason: ""), .violation), (.closedByPeer(code: 1008, reason: ""), .revoked),
            (.violated(ProtocolViolation(.tooLarge, "")), .violation), (.failed(""), .failed),
        ] as [(TunnelCloseReason, ReconnectReason)])
    func tunnel(reason: TunnelCloseReason, expected: ReconnectReason) {
        let ending = Self.ended(reason)
        #expect(ending.reason == expected)
        #expect(ending.cause == (expected == .revoked ? .unauthorized : .lost(after: .seconds(5))))
        #expect(Self.ended(reason, retryAfter: .seconds(9)).cause == .retryAfter(.seconds(9)))
    }

    @Test(
        "The end of a handshake",
        arguments: [
            (.disconnected, .handshake), (.silent, .timeout), (.closedByPeer(code: 1001, reason: ""), .refused),
            (.closedByPeer(code: 1008, reason: ""), .unauthorized),
            (.violated(ProtocolViolation(.handshakeTimeout, "")), .timeout),
            (.violated(ProtocolViolation(.unexpectedControl, "")), .handshake),
        ] as [(TunnelCloseReason, ReconnectReason)])
    func handshake(reason: TunnelCloseReason, expected: ReconnectReason) {
        let ending = Self.ended(reason, lifetime: nil)
        #expect(ending.reason == expected)
        #expect(ReconnectReason.ofDials.contains(expected))
        #expect(ending.cause == (expected == .unauthorized ? .unauthorized : .failed))
    }

    @Test("A dial that fails")
    func dial() {
        func ending(_ error: any Error) -> TunnelEnding { TunnelEnding(dial: error) }
        #expect(ending(TunnelDialError.unreachable("")).reason == .unreachable)
        #expect(ending(AddressResolution.Failure(description: "")).reason == .unreachable)
        #expect(ending(TunnelDialError.timedOut).reason == .timeout)
        #expect(ending(TunnelDialError.failed("")).reason == .handshake)
        #expect(ending(TunnelDialError.proxyRefused(proxy: "p:1", detail: "407")).reason == .proxy)
        #expect(ending(SettingsError(setting: "token-file", problem: "is empty")).reason == .credentials)
        for status in [401, 403] {
            let refused = ending(TunnelDialError.refused(status: status, detail: "", retryAfter: nil))
            #expect(refused.reason == .unauthorized && refused.cause == .unauthorized)
        }
        let busy = ending(TunnelDialError.refused(status: 503, detail: "", retryAfter: 7))
        #expect(busy.reason == .refused && busy.cause == .retryAfter(.seconds(7)))
    }
}
