import Foundation
import KubernetesAPI
import KubernetesRuntime
import Logging
import Metrics
import Routing
import ServiceLifecycle

/// Has cert-manager get a certificate for each domain of users' own that is served, and lets it go with the domain.
///
/// Every replica of the gateway does so; what they write is the same.
struct DomainCertificates: ServiceLifecycle.Service {
    private let client: KubernetesClient
    private let settings: DomainCertificatePlan.Settings
    private let domains: @Sendable () -> [DomainCertificatePlan.Domain]
    private let interval: Duration
    private let settlingTime: TimeInterval
    private let informer: Informer<DomainCertificate>
    private let total: Gauge
    private let ready: Gauge
    private let leftOut: Gauge
    private let now: @Sendable () -> Date
    private let logger: Logger

    /// What must not be tried again before then, and for which clusters a line of the log says that they have too many.
    private struct Memory {
        let start: Date
        var notBefore: [ObjectKey: Date] = [:]
        /// To be deleted, because their Certificates are.
        var secrets: Set<ObjectKey> = []
        var told: Set<String> = []
    }

    private static let mostAtOnce = 2
    /// After a failure an object is left alone for so long.
    private static let pause: TimeInterval = 60
    /// Without a list by then, somebody has something to mend.
    private static let patience = Duration.seconds(30)

    init(
        client: KubernetesClient, settings: DomainCertificatePlan.Settings, interval: Duration = .seconds(5),
        settlingTime: TimeInterval = 15 * 60,
        domains: @escaping @Sendable () -> [DomainCertificatePlan.Domain],
        factory: any MetricsFactory = MetricsSystem.factory, now: @escaping @Sendable () -> Date = { Date() },
        logger: Logger
    ) {
        self.client = client
        self.settings = settings
        self.interval = interval
        self.settlingTime = settlingTime
        self.domains = domains
        self.now = now
        self.logger = logger
        total = Gauge(label: "gateway_domain_certificates", factory: factory)
        ready = Gauge(label: "gateway_domain_certificates_ready", factory: factory)
        leftOut = Gauge(label: "gateway_domain_certificates_left_out", factory: factory)
        informer = Informer<DomainCertificate>(
            client: client, namespace: settings.namespace,
            settings: .init(labelSelector: "\(DomainCertificate.managedByLabel)=\(DomainCertificate.manager)"),
            transform: { $0.keepOnlyWhatIsRead() }, logger: logger)
    }

    /// Works until graceful shutdown.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await informer.run() }
            group.addTask {
                await cancelWhenGracefulShutdown {
                    guard await isListed() else { return }
                    var memory = Memory(start: now())
                    repeat { await look(&memory) } while (try? await Task.sleep(for: interval)) != nil
                }
            }
            try await group.waitForAll()
        }
    }

    /// - Returns: false where the task is cancelled before.
    private func isListed() async -> Bool {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                guard (try? await Task.sleep(for: Self.patience)) != nil else { return }
                logger.warning(
                    "Certificates of cert-manager cannot be listed, domains get none; install cert-manager, or unset domain-issuer",
                    metadata: ["namespace": "\(settings.namespace)"])
            }
            let isListed = (try? await informer.waitUntilSynced()) != nil
            group.cancelAll()
            return isListed
        }
    }

    private func look(_ memory: inout Memory) async {
        let existing = informer.store.all()
        let now = now()
        let plan = DomainCertificatePlan(
            domains: domains(), existing: existing,
            mayDelete: now.timeIntervalSince(memory.start) >= settlingTime, settings: settings, now: now)
        total.record(existing.count)
        ready.record(existing.count(where: \.isReady))
        leftOut.record(plan.leftOut.values.reduce(0, +))
        for (cluster, count) in plan.leftOut where memory.told.insert(cluster).inserted {
            logger.warning(
                "A cluster has more domains than get certificates",
                metadata: [
                    "cluster_uuid": "\(cluster)", "left_out": "\(count)", "limit": "\(settings.mostPerCluster)",
                ])
        }
        memory.told.formIntersection(Set(plan.leftOut.keys).union(memory.secrets.map(\.description)))
        memory.notBefore = memory.notBefore.filter { $0.value > now }
        // A few at a time: an authority takes a few hundred orders in some hours.
        for change in plan.changes.filter({ memory.notBefore[$0.key] == nil }).prefix(Self.mostAtOnce)
        where !Task.isCancelled {
            await carryOut(change, &memory, now)
        }
        await deleteSecrets(&memory)
    }

    private func carryOut(_ change: DomainCertificatePlan.Change, _ memory: inout Memory, _ now: Date) async {
        let key = change.key
        // The cache may take a moment to show what was written.
        memory.notBefore[key] = now + 5
        do {
            switch change {
            case .apply(let certificate, let isNew):
                // What came to be there meanwhile may be somebody else's.
                _ = try await client.apply(certificate, fieldManager: DomainCertificate.manager, force: !isNew)
                if isNew {
                    logger.info(
                        "Certificate requested",
                        metadata: ["certificate": "\(key)", "host": "\(certificate.spec?.dnsNames.first ?? "")"])
                }
            case .delete(let certificate):
                try await delete(certificate)
                memory.secrets.insert(
                    ObjectKey(namespace: key.namespace, name: certificate.spec?.secretName ?? key.name))
            }
        } catch let error as KubernetesError where error.kind == .notFound && isDeletion(change) {
            // Another gateway was quicker.
        } catch {
            memory.notBefore[key] = now + Self.pause
            logger.warning(
                "Certificate of a domain not brought in line, tried again in a minute",
                metadata: ["certificate": "\(key)", "error": "\(error)"])
        }
    }

    private func isDeletion(_ change: DomainCertificatePlan.Change) -> Bool {
        if case .delete = change { true } else { false }
    }

    private func delete(_ certificate: DomainCertificate) async throws {
        // Not one that another gateway has noted to be in use since.
        let options = DeleteOptions(
            uid: certificate.metadata.uid, resourceVersion: certificate.metadata.resourceVersion)
        try await client.delete(DomainCertificate.self, certificate.key, options: options)
        logger.info(
            "Certificate deleted, its domain is gone",
            metadata: ["certificate": "\(certificate.key)", "host": "\(certificate.spec?.dnsNames.first ?? "")"])
    }

    /// cert-manager leaves a Secret where it is, unless told otherwise.
    private func deleteSecrets(_ memory: inout Memory) async {
        for key in memory.secrets where !Task.isCancelled {
            do {
                try await client.delete(Secret.self, key)
            } catch let error as KubernetesError where error.kind == .notFound {
                // It was never issued, or cert-manager has let it go.
            } catch {
                if memory.told.insert("\(key)").inserted {
                    logger.warning(
                        "Secret of a certificate whose domain is gone not deleted, tried again",
                        metadata: ["secret": "\(key)", "error": "\(error)"])
                }
                continue
            }
            memory.secrets.remove(key)
        }
    }
}

extension [DomainCertificatePlan.Domain] {
    /// The domains that clusters own and the platform does not: names that stand for themselves, and not below the
    /// gateway's own, which has a certificate.
    static func all(in store: InMemoryRouteStore, gatewayDomain: Hostname) -> Self {
        store.ownedNames().compactMap { host, cluster in
            guard !host.isWildcard, host != gatewayDomain, !host.text.hasSuffix(".\(gatewayDomain.text)"),
                isPublic(host.text)
            else { return nil }
            return .init(name: host.text, cluster: cluster)
        }
    }

    /// Whether an authority may have a certificate for the name: letters, digits and hyphens, below a domain with a letter.
    private static func isPublic(_ name: String) -> Bool {
        let labels = name.split(separator: ".")
        return labels.count > 1 && ObjectNames.isSubdomain(name) && labels.last?.contains(where: \.isLetter) == true
    }
}

extension DomainCertificatePlan.Change {
    fileprivate var key: ObjectKey {
        switch self {
        case .apply(let certificate, _), .delete(let certificate): certificate.key
        }
    }
}

extension DomainCertificate {
    fileprivate mutating func keepOnlyWhatIsRead() {
        metadata.annotations = metadata.annotations?.filter {
            $0.key == Self.servedAtAnnotation || $0.key == Self.clusterAnnotation
        }
    }
}
