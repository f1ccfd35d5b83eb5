package import KubernetesRuntime
package import Logging
import NIOCore
import ServiceLifecycle
package import Settings
package import TunnelProtocol
package import TunnelTransport

/// Keeps a tunnel to the gateway: dials, serves, and dials again, for ever.
package struct GatewayConnector: ServiceLifecycle.Service {
    package struct Configuration: Sendable {
        package var dialer: TunnelDialer
        package var tunnel: TunnelConfiguration
        package var hello: ControlMessage.Hello
        /// Read anew for every attempt, so that a rotated token is used.
        package var tokenFile: SecretFile
        package var backoff: Backoff.Limits
        package var shutdownGrace: Duration

        package init(
            dialer: TunnelDialer, tunnel: TunnelConfiguration, hello: ControlMessage.Hello, tokenFile: SecretFile,
            backoff: Backoff.Limits, shutdownGrace: Duration
        ) {
            self.dialer = dialer
            self.tunnel = tunnel
            self.hello = hello
            self.tokenFile = tokenFile
            self.backoff = backoff
            self.shutdownGrace = shutdownGrace
        }
    }

    private let configuration: Configuration
    private let upstream: UpstreamPools
    private let routes: (any CacheSync)?
    private let syncer: any RouteSyncing
    private let status: TunnelStatus
    private let logger: Logger

    /// - Parameter routes: must have synced before the first tunnel is dialled, and with it requests come.
    package init(
        configuration: Configuration, upstream: UpstreamPools, waitFor routes: (any CacheSync)? = nil,
        syncer: any RouteSyncing, status: TunnelStatus, logger: Logger
    ) {
        self.configuration = configuration
        self.upstream = upstream
        self.routes = routes
        self.syncer = syncer
        self.status = status
        self.logger = logger
    }

    /// Runs until graceful shutdown, which drains the open tunnel within the grace time.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            if let routes, (try? await routes.waitUntilSynced()) == nil { return }
            var backoff = Backoff(limits: configuration.backoff)
            while !Task.isCancelled {
                let cause = await connectOnce()
                guard !Task.isCancelled else { return }
                let delay = backoff.delay(after: cause.backoff, random: .random(in: 0..<1))
                cause.log(logger, retryIn: delay)
                try? await Task.sleep(for: .nanoseconds(delay.nanoseconds))
            }
        }
    }

    /// Why the connector has to dial again.
    private enum Cause {
        case lost(AgentTunnelSession.Outcome)
        case notConnected(any Error)

        var backoff: Backoff.Cause {
            switch self {
            case .lost(let outcome):
                if let retryAfter = outcome.retryAfter { return .retryAfter(retryAfter) }
                return outcome.lifetime.map { .lost(after: $0) } ?? .failed
            case .notConnected(let error):
                guard case TunnelDialError.refused(let status, _, let retryAfter) = error else { return .failed }
                if let retryAfter { return .retryAfter(.seconds(Int64(clamping: min(retryAfter, 3600)))) }
                return status == 401 || status == 403 ? .unauthorized : .failed
            }
        }

        func log(_ logger: Logger, retryIn delay: TimeAmount) {
            let retry = Logger.MetadataValue.stringConvertible(delay.nanoseconds / 1_000_000)
            switch self {
            case .lost(let outcome):
                logger.warning("Tunnel lost", metadata: ["reason": "\(outcome.reason)", "retry_in_ms": retry])
            case .notConnected(let error):
                logger.warning("Tunnel dial failed", metadata: ["error": "\(error)", "retry_in_ms": retry])
            }
        }
    }

    private func connectOnce() async -> Cause {
        let session = AgentTunnelSession(
            hello: configuration.hello, upstream: upstream, syncer: syncer, status: status, logger: logger)
        do {
            let token = try configuration.tokenFile.read()
            let tunnel = try await configuration.dialer.dial(
                token: token.reveal(), configuration: configuration.tunnel, observer: session)
            return .lost(await session.run(tunnel, grace: configuration.shutdownGrace))
        } catch {
            return .notConnected(error)
        }
    }
}
