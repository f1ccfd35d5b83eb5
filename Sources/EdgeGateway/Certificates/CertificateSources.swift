import KubernetesAPI
import Logging
import ServiceLifecycle
import Settings

/// What brings certificates in, as the settings say.
struct CertificateSources: Sendable {
    private(set) var services: [any ServiceLifecycle.Service] = []
    private var secrets: CertificateSecrets?

    /// Reads the directory.
    ///
    /// - Parameters:
    ///   - settings: nil: there is no TLS, and nothing to be brought in.
    ///   - client: of the cluster with the Secrets; needed where the settings name their namespace.
    /// - Throws: `SettingsError` where the directory cannot be listed.
    init(
        _ settings: FrontTLSSettings?, _ client: KubernetesClient?, store: CertificateStore, logger: Logger
    ) throws(SettingsError) {
        guard let settings else { return }
        var sources: Set<CertificateIntake.Source> = []
        if settings.certificates != nil { sources.insert(.directory) }
        if settings.secretsNamespace != nil { sources.insert(.secrets) }
        let intake = CertificateIntake(sources, store: store, logger: logger)
        services.append(intake)
        if let path = settings.certificates {
            services.append(try CertificateWatcher(CertificateDirectory(path: path), intake: intake, logger: logger))
        }
        if let namespace = settings.secretsNamespace, let client {
            let secrets = CertificateSecrets(client: client, namespace: namespace, intake: intake, logger: logger)
            services.append(secrets)
            self.secrets = secrets
        }
    }

    /// Why the gateway is not ready.
    var reasons: [String] { secrets?.reasons ?? [] }
}
