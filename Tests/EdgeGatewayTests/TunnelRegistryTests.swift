import CoreMetrics
import NIOCore
import NIOEmbedded
import Telemetry
import TestSupport
import Testing
import TunnelProtocol

@testable import EdgeGateway
@testable import TunnelTransport

@Suite("Choosing a tunnel")
struct TunnelRegistryTests {
    private func tunnel(_ id: String, agent: String? = nil, number: Int = 0) throws -> ConnectedTunnel {
        let tunnel = try Tunnel.install(
            on: EmbeddedChannel(), configuration: TunnelConfiguration(role: .gateway), observer: DeafObserver())
        return ConnectedTunnel(id: id, tunnel: tunnel, agentID: agent ?? id, number: number)
    }

    @Test("a cluster without a tunnel has none, and others' tunnels are not its own")
    func none() throws {
        let registry = TunnelRegistry()
        registry.add(try tunnel("1"), of: "a")
        #expect(registry.chosen(for: "b", on: EmbeddedEventLoop()) == nil)
        #expect(registry.chosen(for: "a", on: EmbeddedEventLoop()) == "1")
    }

    @Test("a cluster is healthy while it has a tunnel in the rotation, as the metric of that name says")
    func health() throws {
        let metrics = PrometheusRegistry()
        try withMetricsFactory(metrics) {
            let registry = TunnelRegistry()
            func health() -> [Substring] {
                metrics.exposition().split(separator: "\n").filter { $0.hasPrefix("gateway_tunnel_health{") }
            }
            for id in ["1", "2"] { registry.add(try tunnel(id), of: "a") }
            #expect(health() == ["gateway_tunnel_health{cluster_uuid=\"a\"} 1"])
            registry.remove("1", of: "a")
            #expect(health() == ["gateway_tunnel_health{cluster_uuid=\"a\"} 1"])
            registry.remove("2", of: "a")
            #expect(health() == ["gateway_tunnel_health{cluster_uuid=\"a\"} 0"])
        }
    }

    @Test("the tunnel on the request's own event loop is preferred")
    func near() throws {
        let registry = TunnelRegistry()
        let tunnels = [try tunnel("1"), try tunnel("2"), try tunnel("3")]
        for tunnel in tunnels { registry.add(tunnel, of: "a") }
        for tunnel in tunnels {
            for _ in 0..<3 { #expect(registry.chosen(for: "a", on: tunnel.tunnel.eventLoop) == tunnel.id) }
        }
    }

    @Test("a tunnel takes the place of an older one of the same agent and number, and of no other")
    func superseded() throws {
        let registry = TunnelRegistry()
        registry.add(try tunnel("1", agent: "x"), of: "a")
        registry.add(try tunnel("2", agent: "y"), of: "a")
        registry.add(try tunnel("3", agent: "x"), of: "b")
        registry.add(try tunnel("4", agent: "x", number: 1), of: "a")
        let gone = registry.add(try tunnel("5", agent: "x"), of: "a")
        #expect(gone.map(\.id) == ["1"])
        #expect(Set(registry.all.map(\.id)) == ["2", "3", "4", "5"])
    }

    @Test("otherwise each has its turn, except the one to avoid")
    func turns() throws {
        let registry = TunnelRegistry()
        for id in ["1", "2", "3"] { registry.add(try tunnel(id), of: "a") }
        let elsewhere = EmbeddedEventLoop()
        let chosen = (0..<30).compactMap { _ in registry.chosen(for: "a", on: elsewhere) }
        for id in ["1", "2", "3"] { #expect(chosen.filter { $0 == id }.count == 10) }
        let others = Set((0..<30).compactMap { _ in registry.chosen(for: "a", on: elsewhere, avoiding: "2") })
        #expect(others == ["1", "3"])
    }

    @Test("the only tunnel cannot be chosen where it is to be avoided")
    func avoided() throws {
        let registry = TunnelRegistry()
        registry.add(try tunnel("1"), of: "a")
        #expect(registry.chosen(for: "a", on: EmbeddedEventLoop(), avoiding: "1") == nil)
    }

    @Test("a tunnel that is full or drains is not chosen; where all are full that is told")
    func unusable() throws {
        let registry = TunnelRegistry()
        let full = try tunnel("full")
        let ending = try tunnel("ending")
        let elsewhere = EmbeddedEventLoop()
        for tunnel in [full, ending] { registry.add(tunnel, of: "a") }
        full.tunnel.vitals.setMaxStreams(2)
        ending.tunnel.drain(detail: "bye")
        #expect((0..<2).map { _ in registry.chosen(for: "a", on: elsewhere) } == ["full", "full"])
        guard case .full = registry.choose(for: "a", on: elsewhere) else {
            Issue.record("not told")
            return
        }
        full.tunnel.close(.goingAway)
        guard case .none = registry.choose(for: "a", on: elsewhere) else {
            Issue.record("a closed tunnel was chosen")
            return
        }
    }

    @Test("a tunnel on another event loop is counted as busier at once, so that a burst spreads")
    func burst() throws {
        let registry = TunnelRegistry()
        let tunnels = [try tunnel("1"), try tunnel("2")]
        for tunnel in tunnels { registry.add(tunnel, of: "a") }
        for _ in 0..<100 { _ = registry.choose(for: "a", on: EmbeddedEventLoop()) }
        #expect(tunnels.map(\.tunnel.vitals.openStreams) == [50, 50])
    }

    @Test("a removed tunnel is not chosen; removing it again, or a stranger, changes nothing")
    func remove() throws {
        let registry = TunnelRegistry()
        registry.add(try tunnel("1"), of: "a")
        registry.add(try tunnel("2"), of: "a")
        registry.remove("1", of: "a")
        registry.remove("1", of: "a")
        registry.remove("2", of: "b")
        #expect(registry.all.map(\.id) == ["2"])
        #expect(registry.first(of: "a")?.id == "2")
        registry.remove("2", of: "a")
        #expect(registry.chosen(for: "a", on: EmbeddedEventLoop()) == nil)
    }

    @Test("since when a cluster is offline counts from its last tunnel's end, until one is back")
    func offlineSince() throws {
        let registry = TunnelRegistry()
        registry.add(try tunnel("1"), of: "a")
        registry.add(try tunnel("2"), of: "a")
        registry.remove("1", of: "a", now: .init(milliseconds: 1))
        #expect(registry.offlineSince("a") == nil)
        registry.remove("2", of: "a", now: .init(milliseconds: 2))
        registry.remove("2", of: "a", now: .init(milliseconds: 3))
        #expect(registry.offlineSince("a") == .init(milliseconds: 2))
        #expect(registry.offlineSince("b") == nil)
        registry.add(try tunnel("3"), of: "a")
        #expect(registry.offlineSince("a") == nil)
    }

    @Test("each cluster has a bucket of its own, and a request that is tried again counts once")
    func limited() throws {
        let registry = TunnelRegistry()
        registry.add(try tunnel("1"), of: "a")
        registry.limit(by: RateLimits(standard: .requests(rate: 1, burst: 2), clusters: ["c": .off]))
        registry.add(try tunnel("2"), of: "b")
        registry.add(try tunnel("3"), of: "c")
        let now = NIODeadline.now() + .hours(1)
        for cluster in ["a", "b"] {
            #expect((0..<3).map { _ in registry.limits(cluster, at: now) } == [false, false, true])
            #expect(!registry.limits(cluster, at: now, avoiding: "1"))
            #expect(!registry.limits(cluster, at: now + .seconds(1)))
            #expect(registry.limits(cluster, at: now + .seconds(1)))
        }
        for _ in 0..<100 { #expect(!registry.limits("c", at: now)) }
        #expect(!registry.limits("nobody", at: now))
        registry.limit(by: RateLimits())
        #expect(!registry.limits("a", at: now))
    }

    @Test("dialling anew fills no bucket")
    func limitedAcrossTunnels() throws {
        let registry = TunnelRegistry()
        registry.limit(by: RateLimits(standard: .requests(rate: 1, burst: 1000)))
        registry.add(try tunnel("1"), of: "a")
        let now = NIODeadline.now()
        for _ in 0..<1000 { #expect(!registry.limits("a", at: now)) }
        #expect(registry.limits("a", at: now))
        registry.remove("1", of: "a")
        registry.add(try tunnel("2"), of: "a")
        #expect(registry.limits("a", at: now))
    }
}

extension TunnelRegistry {
    /// Whether a request that comes at this time meets a limit.
    fileprivate func limits(_ cluster: String, at now: NIODeadline, avoiding: String? = nil) -> Bool {
        if case .limited = choose(for: cluster, on: EmbeddedEventLoop(), avoiding: avoiding, now: now) {
            true
        } else {
            false
        }
    }

    /// The id of the tunnel that is chosen.
    fileprivate func chosen(for cluster: String, on loop: any EventLoop, avoiding: String? = nil) -> String? {
        if case .tunnel(let tunnel) = choose(for: cluster, on: loop, avoiding: avoiding) { tunnel.id } else { nil }
    }
}
