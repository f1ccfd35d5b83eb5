package import Logging
import ServiceLifecycle

/// Keeps the credentials in force what the files say, and the tunnels to what the credentials allow.
package struct CredentialWatcher: Service {
    private let files: CredentialFiles
    private let watches: [(source: CredentialSource, watch: FileWatch)]
    private let authenticator: TunnelAuthenticator
    private let tls: AgentTLS?
    private let tunnels: AuthenticatedTunnels
    private let changed: @Sendable (Credentials) -> Void
    private let interval: Duration
    private let logger: Logger

    /// What the files hold from now on is compared with what they hold now; so make it before they are read.
    package struct Start: Sendable {
        fileprivate let watches: [(source: CredentialSource, watch: FileWatch)]

        package init(_ files: CredentialFiles) { watches = files.watches() }
    }

    /// - Parameters:
    ///   - start: made before the credentials of the authenticator were read.
    ///   - tls: nil for plain text.
    ///   - changed: called with what was read last, at first and whenever it is read again.
    ///   - interval: between two looks at the files and the tunnels.
    package init(
        _ files: CredentialFiles, since start: Start, authenticator: TunnelAuthenticator, tls: AgentTLS?,
        tunnels: AuthenticatedTunnels, changed: @escaping @Sendable (Credentials) -> Void = { _ in },
        interval: Duration = .seconds(1), logger: Logger
    ) {
        self.files = files
        watches = start.watches
        self.authenticator = authenticator
        self.tls = tls
        self.tunnels = tunnels
        self.changed = changed
        self.interval = interval
        self.logger = logger
    }

    /// Looks until graceful shutdown. At the clock as much as at the files: credentials expire by themselves, and a mounted
    /// Secret changes by a link that is swapped, which watches of a file do not see.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var watches = watches
            report(skippedBy: authenticator.credentials)
            changed(authenticator.credentials)
            while (try? await Task.sleep(for: interval)) != nil {
                for index in watches.indices where watches[index].watch.hasChanged() {
                    await reload(watches[index].source)
                }
                await tunnels.look(at: authenticator.credentials, metrics: authenticator.metrics, logger: logger)
            }
        }
    }

    /// Takes a changed file in; one that cannot be used changes nothing.
    private func reload(_ source: CredentialSource) async {
        do {
            if source == .certificates {
                try tls?.reload()
            } else {
                var credentials = authenticator.credentials
                try await files.read(source, into: &credentials)
                authenticator.replace(credentials)
                changed(credentials)
                if source == .keys { report(skippedBy: credentials) }
            }
            authenticator.metrics.reloaded(source)
            logger.info("Credentials reloaded", metadata: ["file": "\(source.rawValue)"])
        } catch {
            authenticator.metrics.notReloaded(source)
            logger.error(
                "Credentials not reloaded, what was read before stays in force",
                metadata: ["file": "\(source.rawValue)", "error": "\(error)"])
        }
    }

    private func report(skippedBy credentials: Credentials) {
        for key in credentials.verifier?.keys.skipped ?? [] {
            logger.warning("JWKS key skipped", metadata: ["key": "\(key)"])
        }
    }
}
