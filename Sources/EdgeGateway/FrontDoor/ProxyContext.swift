import HTTPExchange
import Settings
import Telemetry

/// What all connections of one listener of the front door share.
final class ProxyContext: Sendable {
    let cache: RouteCache
    let tunnels: TunnelRegistry
    let policy: ForwardingPolicy
    let trustedProxies: [CIDRBlock]
    let accessLog: AccessLog
    let refusals: RefusalMetrics
    let http2Violations: EnumeratedCounters<HTTP2Violation>
    /// `http` or `https`.
    let scheme: String
    /// The value of `Strict-Transport-Security` in every answer; nil for none.
    let transportSecurity: String?
    /// Where requests are not carried but sent to TLS.
    let redirect: HTTPSRedirect?
    let limits: FrontLimits

    /// For a listener without TLS.
    init(
        cache: RouteCache, tunnels: TunnelRegistry, policy: ForwardingPolicy, trustedProxies: [CIDRBlock],
        accessLog: AccessLog, refusals: RefusalMetrics = RefusalMetrics(),
        http2Violations: EnumeratedCounters<HTTP2Violation> = HTTP2Violation.counters(), redirect: HTTPSRedirect?,
        limits: FrontLimits
    ) {
        self.cache = cache
        self.tunnels = tunnels
        self.policy = policy
        self.trustedProxies = trustedProxies
        self.accessLog = accessLog
        self.refusals = refusals
        self.http2Violations = http2Violations
        scheme = "http"
        transportSecurity = nil
        self.redirect = redirect
        self.limits = limits
    }

    /// For a listener with TLS beside one without.
    init(securing plain: ProxyContext, transportSecurity: String?) {
        cache = plain.cache
        tunnels = plain.tunnels
        policy = plain.policy
        trustedProxies = plain.trustedProxies
        accessLog = plain.accessLog
        refusals = plain.refusals
        http2Violations = plain.http2Violations
        scheme = "https"
        self.transportSecurity = transportSecurity
        redirect = nil
        limits = plain.limits
    }
}
