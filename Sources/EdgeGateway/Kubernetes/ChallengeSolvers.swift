package import KubernetesAPI
import KubernetesRuntime
package import Logging
import ServiceLifecycle

/// Keeps the table of challenges true: which of cert-manager's solvers answers for which host and path.
///
/// cert-manager makes a Pod, a Service and an Ingress for each challenge by HTTP-01, all with the same labels. The gateway is
/// who has the host, so it stands in for the ingress controller that such an Ingress is meant for.
package struct ChallengeSolvers: ServiceLifecycle.Service {
    /// On everything that a solver consists of.
    static let label = "acme.cert-manager.io/http01-solver"

    private let ingresses: Informer<Ingress>
    private let services: Informer<KubernetesAPI.Service>
    private let table: ChallengeTable
    private let changes: AsyncStream<Void>

    package init(client: KubernetesClient, namespace: String, table: ChallengeTable, logger: Logger) {
        self.table = table
        ingresses = Informer(
            client: client, namespace: namespace, settings: .init(labelSelector: "\(Self.label)=true"), logger: logger)
        services = Informer(
            client: client, namespace: namespace, settings: .init(labelSelector: "\(Self.label)=true"), logger: logger)
        let (changes, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.changes = changes
        ingresses.addHandler { _ in signal.yield() }
        services.addHandler { _ in signal.yield() }
    }

    /// Watches until graceful shutdown.
    package func run() async throws {
        defer { table.replace(with: [:]) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await ingresses.run() }
            group.addTask { try await services.run() }
            group.addTask {
                await cancelWhenGracefulShutdown {
                    for await _ in changes {
                        table.replace(with: Self.solvers(ingresses.store.all(), service: services.store.get))
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// What solvers' Ingresses say, as far as their Services are there.
    static func solvers(
        _ ingresses: [Ingress], service: (ObjectKey) -> KubernetesAPI.Service?
    ) -> [ChallengeTable.Key: ChallengeTable.Solver] {
        var solvers: [ChallengeTable.Key: ChallengeTable.Solver] = [:]
        for ingress in ingresses.sorted(by: { $0.key < $1.key }) {
            for rule in ingress.spec?.rules ?? [] {
                for path in rule.http?.paths ?? [] {
                    // Nothing but a challenge is any business of a solver's.
                    guard let host = rule.host, let text = path.path, ChallengeTable.isToken(text),
                        let backend = path.backend.service, let port = backend.port?.number,
                        let spec = service(ObjectKey(namespace: ingress.key.namespace, name: backend.name))?.spec,
                        let address = spec.clusterIP, !address.isEmpty, address != "None"
                    else { continue }
                    solvers[.init(host: host.lowercased(), path: text)] = .init(address: address, port: port)
                }
            }
        }
        return solvers
    }
}
