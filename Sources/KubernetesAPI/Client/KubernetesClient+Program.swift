import Foundation
package import Logging

extension KubernetesClient {
    /// A client as a program needs it: what it is told is looked for as kubectl does, and again where the server cannot be
    /// reached or refuses the credentials. Throws `KubernetesConfigurationError`.
    ///
    /// - Parameters:
    ///   - kubeconfig: nil: `KUBECONFIG`, the cluster that the program runs in, or `~/.kube/config`.
    ///   - context: nil: the current one.
    package convenience init(
        kubeconfig: String?, context: String?, environment: [String: String] = ProcessInfo.processInfo.environment,
        logger: Logger, userAgent: String
    ) throws {
        let load = { @Sendable in
            try KubernetesConfiguration.load(kubeconfig: kubeconfig, context: context, environment: environment)
        }
        try self.init(configuration: try load(), reload: load, logger: logger, userAgent: userAgent)
    }

    /// Shuts the client down behind `body`, however that ends.
    package func shutdown<Result>(after body: () async throws -> Result) async throws -> Result {
        let result: Result
        do {
            result = try await body()
        } catch {
            try? await shutdown()
            throw error
        }
        try await shutdown()
        return result
    }
}
