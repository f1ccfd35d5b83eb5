import KubernetesAPI
import Logging
import Settings

/// The cluster whose API server the gateway speaks to.
package struct ClusterAccess: Hashable, Sendable {
    /// Nil: `KUBECONFIG`, the cluster the gateway runs in, or `~/.kube/config`.
    package var kubeconfig: String?
    /// Nil: the kubeconfig's current context.
    package var context: String?

    /// - Parameter isUsed: whether any setting needs a cluster.
    /// - Returns: nil where none does.
    static func read(
        _ reader: SettingsReader<GatewaySettings.Name>, isUsed: Bool
    ) throws(SettingsError) -> ClusterAccess? {
        let access = ClusterAccess(
            kubeconfig: try reader.readableFile(.kubeconfig), context: try reader.string(.context))
        guard isUsed else {
            for name in [GatewaySettings.Name.kubeconfig, .context] where reader.given(name) != nil {
                throw reader.refusal(of: name, problem: "has no effect without certificate-secrets")
            }
            return nil
        }
        return access
    }

    /// - Throws: `SettingsError` where the cluster's address or credentials cannot be had.
    func client(logger: Logger) throws -> KubernetesClient {
        do {
            return try KubernetesClient(
                kubeconfig: kubeconfig, context: context, logger: logger,
                userAgent: "pipeops-gateway/\(ProgramVersion.current)")
        } catch let error as KubernetesConfigurationError {
            throw SettingsError(setting: GatewaySettings.Name.kubeconfig.rawValue, problem: "\(error)")
        }
    }
}
