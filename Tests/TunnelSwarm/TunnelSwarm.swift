import ArgumentParser
import ClusterAgent
import Foundation
import Logging
import NIOPosix
import Settings
import Telemetry
import TunnelTransport

/// Many agents in one process, each of a cluster of its own, for hack/bench.
@main
struct TunnelSwarm: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tunnel-swarm",
        abstract: "Runs the agent's end of many tunnels and says each second how many are connected, for hack/bench.")

    @Option(help: "The gateway, ws://host:port or wss://host:port.", transform: gateway) var gatewayURL: EndpointURL
    @Option(help: "The authorities of the gateway's certificate, PEM, with wss.") var gatewayCAFile: String?
    @Option(help: "A folder with one file for each agent: named after its cluster, and with its token.")
    var tokens: String

    /// Runs until it is killed.
    func run() async throws {
        LoggingSystem.bootstrap(format: .json, level: .info)
        let logger = Logger(label: "tunnel-swarm")
        let tls = gatewayURL.usesTLS ? try GatewayTLS(authorityFile: gatewayCAFile, client: nil) : nil
        let group = MultiThreadedEventLoopGroup.singleton
        let agents = try clusters().map { cluster in
            try SwarmAgent(
                cluster: cluster, tokenFile: "\(tokens)/\(cluster)",
                dialer: { [gatewayURL] in
                    TunnelDialer(host: gatewayURL.host, port: gatewayURL.port, tls: try tls?.context(), group: group)
                }, group: group)
        }
        try await withThrowingDiscardingTaskGroup { tasks in
            for agent in agents { tasks.addTask { try await agent.run() } }
            while true {
                let connected = agents.count { $0.isConnected }
                logger.info("Swarm", metadata: ["connected": .stringConvertible(connected)])
                try await Task.sleep(for: .seconds(1))
            }
        }
    }

    private func clusters() throws -> [String] {
        let names = try FileManager.default.contentsOfDirectory(atPath: tokens).sorted()
        guard !names.isEmpty else { throw ValidationError("--tokens: \(tokens) has no files, so there are no agents") }
        return names
    }

    private static func gateway(_ text: String) throws -> EndpointURL {
        guard let url = EndpointURL(text, schemes: ["ws", "wss"]) else {
            throw ValidationError("must be like ws://127.0.0.1:8081")
        }
        return url
    }
}
