package import KubernetesAPI
import Logging

/// Runs `body` with a client and shuts it down afterwards, however it ends.
package func withClient<Result>(
    _ client: KubernetesClient, _ body: (KubernetesClient) async throws -> Result
) async throws -> Result {
    try await client.shutdown { try await body(client) }
}

/// Runs `body` with a client for a server on a port of 127.0.0.1 that speaks plain text.
package func withClient<Result>(
    port: Int, credentials: KubernetesConfiguration.Credentials = .none, userAgent: String = "tests",
    options: KubernetesClient.Options = .init(requestTimeout: .seconds(5), retry: .never),
    _ body: (KubernetesClient) async throws -> Result
) async throws -> Result {
    let client = try KubernetesClient(
        configuration: KubernetesConfiguration(
            server: ServerAddress(isTLS: false, host: "127.0.0.1", port: port), credentials: credentials),
        logger: .silent, userAgent: userAgent, options: options)
    return try await withClient(client, body)
}
