import DevCluster
package import KubernetesAPI
import Logging

/// An embedded API server for the length of a test.
package enum TestCluster {
    package static func run(_ body: (KubernetesClient) async throws -> Void) async throws {
        let cluster = try await DevCluster.start()
        do {
            let client = try KubernetesClient(
                configuration: KubernetesConfiguration(
                    server: ServerAddress(isTLS: true, host: "127.0.0.1", port: cluster.port),
                    certificateAuthority: Array(cluster.certificateAuthorityPEM.utf8),
                    credentials: .token(cluster.token)),
                logger: .silent, userAgent: "tests")
            try await withClient(client, body)
        } catch {
            try await cluster.shutDown()
            throw error
        }
        try await cluster.shutDown()
    }
}
