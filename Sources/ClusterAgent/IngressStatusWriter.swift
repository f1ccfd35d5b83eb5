package import KubernetesAPI
package import Logging
package import Routing

/// Lists the cluster's name at the gateway in `status.loadBalancer` of Ingresses, where ExternalDNS and `kubectl get`
/// look for it.
///
/// The list is atomic in the API: whoever writes it writes it whole, and server-side apply would make all of it ours.
/// So it is patched on the condition that nobody has changed the Ingress since it was read, and read again if somebody
/// has.
package struct IngressStatusWriter: Sendable {
    private let client: KubernetesClient
    private let hostname: String
    private let isLeading: @Sendable () -> Bool
    private let logger: Logger

    /// - Parameters:
    ///   - hostname: `<cluster-uuid>.<gateway domain>`.
    ///   - isLeading: whether this replica may write at this moment; asked before each write.
    package init(
        client: KubernetesClient, hostname: Hostname, isLeading: @escaping @Sendable () -> Bool = { true },
        logger: Logger
    ) {
        self.client = client
        self.hostname = hostname.text
        self.isLeading = isLeading
        self.logger = logger
    }

    /// Adds our entry where the Ingress is programmed, and removes it where it is not. Sends nothing where the Ingress, as
    /// it was last seen, is as it should be.
    ///
    /// An Ingress that is gone, or has been made anew meanwhile, is left alone. Throws `LeadershipLost` where another
    /// replica may lead.
    package func reconcile(_ ingress: Ingress, programmed: Bool) async throws {
        var current = ingress
        var attempt = 1
        while let entries = plan(for: current, programmed: programmed) {
            guard isLeading() else { throw LeadershipLost() }
            do {
                _ = try await client.patch(
                    Ingress.self, current.key,
                    merge: Patch(resourceVersion: current.metadata.resourceVersion, entries: entries),
                    subresource: "status", fieldManager: GatewayRoute.manager)
                logger.info(
                    "Ingress status written",
                    metadata: [
                        "namespace": "\(current.key.namespace)", "name": "\(current.key.name)",
                        "listed": "\(programmed)",
                    ])
                return
            } catch let error as KubernetesError where error.kind == .notFound {
                return
            } catch let error as KubernetesError where error.kind == .conflict && attempt < Self.attempts {
                attempt += 1
                guard let newest = try await read(ingress) else { return }
                current = newest
            }
        }
    }

    private static let attempts = 5

    private func plan(for ingress: Ingress, programmed: Bool) -> [Ingress.LoadBalancerIngress]? {
        IngressStatusPlan.entries(
            current: ingress.status?.loadBalancer?.ingress ?? [], hostname: hostname, wanted: programmed)
    }

    private func read(_ ingress: Ingress) async throws -> Ingress? {
        do {
            let newest = try await client.get(Ingress.self, ingress.key)
            return newest.metadata.uid == ingress.metadata.uid ? newest : nil
        } catch let error as KubernetesError where error.kind == .notFound {
            return nil
        }
    }

    /// A merge patch of the status subresource.
    private struct Patch: Encodable {
        struct Metadata: Encodable { var resourceVersion: String? }

        var metadata: Metadata
        var status: Ingress.Status

        init(resourceVersion: String?, entries: [Ingress.LoadBalancerIngress]) {
            metadata = Metadata(resourceVersion: resourceVersion)
            status = Ingress.Status(loadBalancer: .init(ingress: entries))
        }
    }
}
