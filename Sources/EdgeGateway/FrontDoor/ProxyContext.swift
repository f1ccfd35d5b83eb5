import HTTPExchange
import Settings

/// What all connections of one listener of the front door share.
final class ProxyContext: Sendable {
    let cache: RouteCache
    let tunnels: TunnelRegistry
    let policy: ForwardingPolicy
    let trustedProxies: [CIDRBlock]
    let accessLog: AccessLog
    let metrics: FrontMetrics
    /// `http` or `https`.
    let scheme: String
    /// The value of `Strict-Transport-Security` in every answer; nil for none.
    let transportSecurity: String?
    /// Where requests are not carried but sent to TLS.
    let redirect: HTTPSRedirect?
    let limits: FrontLimits
    /// nil: requests for challenges are like any others.
    let challenges: ChallengeTable?

    /// For a listener without TLS.
    init(
        cache: RouteCache, tunnels: TunnelRegistry, policy: ForwardingPolicy, trustedProxies: [CIDRBlock],
        accessLog: AccessLog, metrics: FrontMetrics = FrontMetrics(), redirect: HTTPSRedirect?, limits: FrontLimits,
        challenges: ChallengeTable? = nil
    ) {
        self.cache = cache
        self.tunnels = tunnels
        self.policy = policy
        self.trustedProxies = trustedProxies
        self.accessLog = accessLog
        self.metrics = metrics
        scheme = "http"
        transportSecurity = nil
        self.redirect = redirect
        self.limits = limits
        self.challenges = challenges
    }

    /// For a listener with TLS beside one without.
    init(securing plain: ProxyContext, transportSecurity: String?) {
        cache = plain.cache
        tunnels = plain.tunnels
        policy = plain.policy
        trustedProxies = plain.trustedProxies
        accessLog = plain.accessLog
        metrics = plain.metrics
        scheme = "https"
        self.transportSecurity = transportSecurity
        redirect = nil
        limits = plain.limits
        challenges = plain.challenges
    }
}
