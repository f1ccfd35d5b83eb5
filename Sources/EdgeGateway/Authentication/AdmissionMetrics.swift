import Metrics
import Telemetry
import TunnelTransport

/// What handshakes and credentials come to, in numbers; every series is there from the start.
struct AdmissionMetrics: Sendable {
    private let accepts = Counter(label: "gateway_tunnel_accepts_total", dimensions: [("result", "accepted")])
    private let refusals = EnumeratedCounters<TunnelRefusal.Kind>("gateway_tunnel_accepts_total", by: "result")
    private let failures = EnumeratedCounters<AuthenticationFailure>("gateway_tunnel_auth_failures_total")
    private let ends = EnumeratedCounters<CredentialEnd>("gateway_tunnel_credentials_ended_total")
    private let reloads = Self.reloads("success")
    private let failedReloads = Self.reloads("error")

    private static func reloads(_ result: String) -> EnumeratedCounters<CredentialSource> {
        EnumeratedCounters("gateway_credential_reloads_total", by: "file", others: [("result", result)])
    }

    func accepted() { accepts.increment() }
    func refused(_ refusal: TunnelRefusal) { refusals.count(refusal.kind) }
    func failed(_ failure: AuthenticationFailure) { failures.count(failure) }
    func ended(_ end: CredentialEnd) { ends.count(end) }
    func reloaded(_ source: CredentialSource) { reloads.count(source) }
    func notReloaded(_ source: CredentialSource) { failedReloads.count(source) }
}
