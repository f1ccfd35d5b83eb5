package import Logging
import ServiceLifecycle

/// The embedded API server as a long-lived service: starts, serves until it is told to stop, shuts down.
package struct DevClusterService: Service, CustomStringConvertible {
    private let configuration: DevCluster.Configuration
    private let logger: Logger

    /// The name only: a configuration may hold a token, and descriptions of services get logged.
    package let description = "DevClusterService"

    package init(configuration: DevCluster.Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    package func run() async throws {
        let cluster = try await DevCluster.start(configuration, logger: logger)
        // Returns when the shutdown is asked for; being cancelled is another way of asking.
        try? await gracefulShutdown()
        try await cluster.shutDown()
    }
}
