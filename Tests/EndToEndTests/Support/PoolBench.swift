import ClusterAgent
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Settings
import Synchronization
import TestSupport
import Testing
import TunnelTransport

/// An agent's pool against gateways that each have an address of their own.
struct PoolBench: Sendable {
    var ports: [Int]
    var sync: FakeSync
    var status: TunnelStatus
    var log: LogRecorder
    var backend: Backend
    /// The ports that the gateway's name leads to; all of them in the beginning.
    var reachable: Box<[Int]>
    var hasEnded = Box<Bool>()
    var tokenFile: String
    /// Tells the agent to end gracefully, once.
    var stop: @Sendable () -> Void
}

/// Runs an agent against these gateways for as long as `body` takes. The agent's chance always takes the first choice.
func withPool(
    _ gateways: [FakeGateway], _ options: StackOptions, tls: NIOSSLContext? = nil,
    backend script: @escaping Backend.Script = { _ in },
    _ body: @escaping @Sendable (PoolBench) async throws -> Void
) async throws {
    let backend = try await Backend()
    let reachable = Box<[Int]>()
    var options = options
    let change = options.pool
    options.pool = { configuration in
        configuration.resolve = { _ in
            let ports = reachable.value ?? []
            guard !ports.isEmpty else { throw AddressResolution.Failure(description: "no address") }
            return try ports.map { try SocketAddress(ipAddress: "127.0.0.1", port: $0) }
        }
        // Long enough for one slot to have chosen before the next one chooses.
        configuration.startSpread = .milliseconds(300)
        configuration.random = { 0 }
        change(&configuration)
    }
    let parts = try await Parts(options, backend: backend)
    defer { parts.removeFiles() }
    var listeners: [any Channel] = []
    for gateway in gateways {
        listeners.append(
            try await TunnelAcceptor.bind(
                host: "127.0.0.1", port: 0, tls: { tls }, admission: gateway, group: Loops.tunnels))
    }
    let ports = listeners.compactMap { $0.localAddress?.port }
    reachable.set(ports)
    let pool = try parts.pool(options, port: try #require(ports.first))
    let (stopped, stop) = AsyncStream.makeStream(of: Never.self)
    let bench = PoolBench(
        ports: ports, sync: parts.sync, status: parts.status, log: parts.agentLog, backend: backend,
        reachable: reachable, tokenFile: parts.tokenFile.path, stop: { stop.finish() })
    let agent: @Sendable () async -> Void = {
        await runUntilStopped(stopped, pool.run)
        bench.hasEnded.set(true)
    }
    try await withServices([{ await backend.run(script) }, agent], within: .seconds(30)) { try await body(bench) }
    for listener in listeners { try? await listener.close() }
}
