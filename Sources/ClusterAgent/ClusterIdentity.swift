import KubernetesAPI
import Logging
import Settings

/// Which cluster the agent is in, where no setting says so: the UID of the namespace `kube-system` stands for it.
struct ClusterIdentity: Sendable {
    let client: KubernetesClient
    let logger: Logger
    /// Between two attempts.
    var pause: Duration = .seconds(2)

    /// Reads it. Waits for an API server that is not there yet, and for credentials that cannot be had at the moment: a
    /// token file that is about to be mounted, a plugin whose own server is away.
    ///
    /// Throws `SettingsError` where a person has to act.
    ///
    /// - Returns: `nil` if the task is cancelled before.
    func read() async throws -> String? {
        while true {
            do {
                let namespace = try await client.get(Namespace.self, ObjectKey(name: "kube-system"))
                if let uid = namespace.metadata.uid { return uid }
                throw SettingsError(
                    setting: AgentSettings.Name.clusterUUID.rawValue,
                    problem: "is not set, and the namespace kube-system has no uid to take its place")
            } catch let error as KubernetesError {
                guard error.isRetryable || error.kind == .credentials else {
                    throw SettingsError(
                        setting: AgentSettings.Name.clusterUUID.rawValue,
                        problem: "is not set, and the namespace kube-system cannot be read in its place: \(error)")
                }
                logger.warning("Cluster identity not read yet", metadata: ["error": "\(error)"])
                guard (try? await Task.sleep(for: pause)) != nil else { return nil }
            }
        }
    }
}
