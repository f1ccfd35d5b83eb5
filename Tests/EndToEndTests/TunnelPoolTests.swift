import Foundation
import NIOCore
import NIOHTTP1
import TestSupport
import Testing
import TunnelProtocol
import TunnelTransport

@testable import ClusterAgent

@Suite("An agent's pool of tunnels", .timeLimit(.minutes(1)))
struct TunnelPoolTests {
    private static func options(tunnels: Int = 2) -> StackOptions {
        var options = StackOptions()
        options.tunnels = tunnels
        return options
    }

    private static func goAway(_ tunnel: Tunnel) { tunnel.drain(detail: "the gateway is about to end") }

    @Test("Tunnels lead to different gateways, say their numbers, and one of them publishes; the others stand by")
    func distinct() async throws {
        let gateways = ["a", "b"].map { FakeGateway(instance: $0, heartbeatInterval: 100) }
        try await withPool(gateways, Self.options()) { bench in
            try await eventually("each gateway has a tunnel") { gateways.allSatisfy { $0.told.count == 1 } }
            try await eventually("both have said hello") { gateways.allSatisfy { $0.told[0].number != nil } }
            #expect(Set(gateways.compactMap { $0.told[0].number }) == [0, 1])
            try await eventually("one publishes, the other goes on standing by") {
                gateways.contains { $0.told[0].syncs == 1 } && gateways.contains { $0.told[0].standbyHeartbeats > 1 }
            }
            #expect(bench.sync.sessions == 1)
            #expect(gateways.map { $0.told[0].syncs }.sorted() == [0, 1])
            try await eventually("both are in the log") { bench.log.lines("Tunnel connected").count == 2 }
            let lines = bench.log.lines("Tunnel connected")
            #expect(Set(lines.compactMap { $0.fields["slot"] }) == ["0", "1"])
            #expect(Set(lines.compactMap { $0.fields["gateway"] }) == ["a", "b"])
            #expect(Set(lines.compactMap { $0.fields["address"] }) == Set(bench.ports.map { "127.0.0.1:\($0)" }))
        }
    }

    @Test("Where two addresses lead to one gateway the tunnel moves on to the third, and lets the other go")
    func sameInstance() async throws {
        let gateways = ["a", "a", "b"].map { FakeGateway(instance: $0) }
        try await withPool(gateways, Self.options()) { bench in
            try await eventually("the other gateway has a tunnel") { gateways[2].tunnelCount == 1 }
            try await eventually("the one that shared is gone") { gateways[1].closed.count == 1 }
            #expect(gateways.map(\.tunnelCount) == [1, 1, 1])
            #expect(gateways[0].closed.isEmpty && gateways[2].closed.isEmpty)
            #expect(bench.log.lines("Tunnel lost").isEmpty)
        }
    }

    @Test("Tunnels that share a gateway spread once another one comes up")
    func spreading() async throws {
        let gateways = ["a", "b"].map { FakeGateway(instance: $0) }
        var options = Self.options()
        options.pool = { configuration in
            configuration.lookAround = .milliseconds(20)
            let all = configuration.resolve
            configuration.resolve = { dialer in
                let addresses = try await all(dialer)
                return gateways[0].tunnelCount < 2 ? Array(addresses.prefix(1)) : addresses
            }
        }
        try await withPool(gateways, options) { bench in
            try await eventually("both share the first") { gateways[0].tunnelCount == 2 }
            try await eventually("one moves") { gateways[1].tunnelCount == 1 }
            try await eventually("and lets the other go") { gateways[0].closed.count == 1 }
            #expect(gateways[0].tunnelCount == 2 && gateways[1].closed.isEmpty)
            #expect(bench.log.lines("Tunnel lost").isEmpty)
        }
    }

    @Test("Each registry is published to once; gateways that share one are published to once together")
    func registries() async throws {
        let gateways = [
            FakeGateway(instance: "a", registry: "1"), FakeGateway(instance: "b", registry: "2"),
            FakeGateway(instance: "c", registry: "2"),
        ]
        try await withPool(gateways, Self.options(tunnels: 3)) { bench in
            try await eventually("all have spoken") {
                gateways.allSatisfy { ($0.told.first?.syncs ?? 0) + ($0.told.first?.standbyHeartbeats ?? 0) > 0 }
            }
            #expect(gateways[0].told[0].syncs == 1)
            #expect(gateways[1].told[0].syncs + gateways[2].told[0].syncs == 1)
            #expect(bench.sync.sessions == 2)
        }
    }

    @Test("A drained tunnel is replaced while it still carries streams, and the replacement publishes before it ends")
    func makeBeforeBreak() async throws {
        let old = FakeGateway(instance: "old")
        let new = FakeGateway(instance: "new")
        let goOn = Box<Bool>()
        try await withPool([old, new], Self.options(tunnels: 1)) { backend in
            _ = try await backend.head()
            try await eventually("the backend may answer") { goOn.value == true }
            try await backend.send("HTTP/1.1 204 No Content\r\n\r\n")
            try await backend.waitForEnd()
        } _: { bench in
            try await eventually("the old gateway has the routes") { old.told.first?.syncs == 1 }
            old.send(FakeGateway.request(1))
            try await eventually("the backend is at work") { bench.backend.connections.count == 1 }
            Self.goAway(try #require(old.tunnels.first))
            try await eventually("the new gateway has the routes") { new.told.first?.syncs == 1 }
            #expect(old.closed.isEmpty)
            goOn.set(true)
            try await eventually("the old tunnel's stream ends as if nothing were") {
                old.frames.contains("head 1 204 end")
            }
            #expect(bench.status.isConnected)
            old.tunnels.first?.close(.goingAway)
            try await eventually("the end is no loss") { !bench.log.lines("Tunnel ended").isEmpty }
            #expect(bench.log.lines("Tunnel lost").isEmpty)
            #expect(old.tunnelCount == 1 && new.tunnelCount == 1)
        }
    }

    @Test("A gateway that ends drains both tunnels; both are replaced, and the publisher's part goes on")
    func wholeGatewayDrains() async throws {
        let old = FakeGateway(instance: "old", registry: "old")
        let new = FakeGateway(instance: "new", registry: "new")
        try await withPool([old, new], Self.options()) { bench in
            try await eventually("each has a tunnel") { old.tunnelCount == 1 && new.tunnelCount == 1 }
            bench.reachable.set([bench.ports[1]])
            Self.goAway(try #require(old.tunnels.first))
            try await eventually("both lead to the new one") { new.tunnelCount == 2 }
            #expect(old.closed.isEmpty)
            try await eventually("it has been told the routes once") { new.told.reduce(0) { $0 + $1.syncs } == 1 }
        }
    }

    @Test("A lost tunnel is dialled again, and the other takes over its part meanwhile")
    func lost() async throws {
        let gateways = ["a", "b"].map { FakeGateway(instance: $0) }
        try await withPool(gateways, Self.options()) { bench in
            try await eventually("one publishes") { gateways.contains { $0.told.first?.syncs == 1 } }
            try await eventually("both are up") { gateways.allSatisfy { $0.tunnelCount == 1 } }
            let publisher = try #require(gateways.first { $0.told[0].syncs == 1 })
            let other = try #require(gateways.first { $0 !== publisher })
            bench.reachable.set([])
            publisher.tunnels.first?.channel.close(promise: nil)
            try await eventually("the other publishes") { other.told[0].syncs == 1 }
            #expect(bench.status.isConnected)
            bench.reachable.set(bench.ports)
            try await eventually("it is dialled again") { publisher.tunnelCount == 2 }
            try await eventually("and stands by") { publisher.told[1].standbyHeartbeats >= 1 }
            #expect(publisher.told[1].syncs == 0)
            let line = try #require(bench.log.lines("Tunnel lost").first)
            #expect(line.fields["reason"] == "lost")
        }
    }

    @Test("An agent that is told to stop drains all its tunnels, and ends within the grace time whatever is open")
    func stop() async throws {
        let gateways = ["a", "b"].map { FakeGateway(instance: $0) }
        var options = Self.options()
        options.agentGrace = .seconds(6)
        try await withPool(gateways, options) { backend in
            _ = try await backend.head()
            try await backend.waitForEnd()
        } _: { bench in
            try await eventually("both are up") { gateways.allSatisfy { $0.tunnelCount == 1 } }
            for gateway in gateways { gateway.send(FakeGateway.request(1)) }
            try await eventually("the backend is at work") { bench.backend.connections.count == 2 }
            let start = ContinuousClock.now
            bench.stop()
            try await eventually("both are told") { gateways.allSatisfy { $0.frames.contains("goaway") } }
            #expect(gateways.allSatisfy { $0.closed.isEmpty })
            try await eventually("it ends") { bench.hasEnded.value == true }
            #expect(ContinuousClock.now - start < .seconds(8))
            try await eventually("both are closed on purpose") {
                gateways.allSatisfy { $0.closed == [.closedByPeer(code: 1001, reason: "going away")] }
            }
        }
    }

    @Test("A token that is replaced before the old one is revoked costs no wait")
    func rotatedBeforeRevocation() async throws {
        let gateway = FakeGateway { _ in nil }
        var options = Self.options()
        options.pool = { $0.backoff.refused = .seconds(60) }
        try await withPool([gateway], options) { bench in
            try await eventually("both are up") { gateway.tunnelCount == 2 }
            try Data("rotated".utf8).write(to: URL(fileURLWithPath: bench.tokenFile))
            for tunnel in gateway.tunnels { tunnel.close(.revoked) }
            try await eventually(within: .seconds(15), "both are dialled anew") { gateway.tunnelCount == 4 }
        }
    }

    @Test(
        "A token that is replaced leaves the tunnels alone; one that is refused is asked about slowly, and read again")
    func rotation() async throws {
        let gateway = FakeGateway { head in
            TunnelHandshake.bearerToken(head.headers) == "rotated"
                ? TunnelRefusal(.unauthorized, "the token belongs to no cluster") : nil
        }
        var options = Self.options()
        options.pool = { $0.backoff.refused = .milliseconds(500) }
        try await withPool([gateway], options) { bench in
            try await eventually("both are up") { gateway.tunnelCount == 2 }
            let token = try Data(contentsOf: URL(fileURLWithPath: bench.tokenFile))
            try Data("rotated".utf8).write(to: URL(fileURLWithPath: bench.tokenFile))
            #expect(gateway.closed.isEmpty, "no tunnel minds")
            let start = ContinuousClock.now
            gateway.tunnels.first?.channel.close(promise: nil)
            try await eventually("it is refused twice") { bench.log.lines("Tunnel dial failed").count >= 2 }
            #expect(ContinuousClock.now - start >= .milliseconds(250))
            let line = try #require(bench.log.lines("Tunnel dial failed").first)
            #expect(line.fields["reason"] == "unauthorized")
            #expect(!bench.log.lines.contains { "\($0)".contains("rotated") })
            #expect(bench.status.isConnected)
            try token.write(to: URL(fileURLWithPath: bench.tokenFile))
            try await eventually("the token is read again") { gateway.tunnelCount == 3 }
        }
    }
}
