import Metrics
import TunnelTransport

/// What handshakes and credentials come to, in numbers; every series is there from the start.
struct AdmissionMetrics: Sendable {
    private let results: [String: Counter]
    private let failures: [AuthenticationFailure: Counter]
    private let ended: [CredentialEnd: Counter]
    private let reloads: [CredentialSource: (loaded: Counter, failed: Counter)]

    init() {
        let names = ["accepted"] + TunnelRefusal.Kind.allCases.map(\.rawValue)
        results = Dictionary(
            uniqueKeysWithValues: names.map {
                ($0, Counter(label: "gateway_tunnel_accepts_total", dimensions: [("result", $0)]))
            })
        failures = Dictionary(
            uniqueKeysWithValues: AuthenticationFailure.allCases.map {
                ($0, Counter(label: "gateway_tunnel_auth_failures_total", dimensions: [("reason", $0.rawValue)]))
            })
        ended = Dictionary(
            uniqueKeysWithValues: CredentialEnd.allCases.map {
                ($0, Counter(label: "gateway_tunnel_credentials_ended_total", dimensions: [("reason", $0.rawValue)]))
            })
        func reload(_ source: CredentialSource, _ result: String) -> Counter {
            Counter(
                label: "gateway_credential_reloads_total", dimensions: [("file", source.rawValue), ("result", result)])
        }
        reloads = Dictionary(
            uniqueKeysWithValues: CredentialSource.allCases.map { ($0, (reload($0, "success"), reload($0, "error"))) })
    }

    func accepted() { results["accepted"]?.increment() }
    func refused(_ refusal: TunnelRefusal) { results[refusal.kind.rawValue]?.increment() }
    func failed(_ failure: AuthenticationFailure) { failures[failure]?.increment() }
    func ended(_ end: CredentialEnd) { ended[end]?.increment() }
    func reloaded(_ source: CredentialSource) { reloads[source]?.loaded.increment() }
    func notReloaded(_ source: CredentialSource) { reloads[source]?.failed.increment() }
}
