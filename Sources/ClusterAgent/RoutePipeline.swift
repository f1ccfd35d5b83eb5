import Foundation
package import KubernetesAPI
package import KubernetesRuntime
package import Logging
package import ServiceLifecycle

/// The way of a route from the Ingress to the gateway: caches, detection, reconciler, ledger and syncer, wired.
///
/// Nothing runs before its `services` do.
package struct RoutePipeline: Sendable {
    /// What a person may set about it.
    package struct Settings: Sendable {
        package var clusterUUID: String
        package var syncMode: AgentSettings.SyncMode
        package var extraction: ExtractionSettings
        /// `nil` looks for the known ones.
        package var ingressController: ObjectKey?
        /// How an ingress controller takes HTTP/2.
        package var ingressControllerProtocol = IngressControllerProtocol.auto
        /// When Secrets with backends' authorities are looked at again.
        package var authorityAges = AuthorityCheck.Ages()
        package var loadBalancerGrace: Duration
        package var targetPolicy: TargetPolicy
        package var selection: IngressSelection
        /// Whether the cluster's host is listed in the status of Ingresses that are programmed.
        package var updateIngressStatus: Bool
        package var offlinePages: Bool
        package var workers: Int
        /// How long there may be no session, or no answer to a new route, before the status says so.
        package var tunnelDownAfter: Duration
        /// Where revisions count from in a term of leadership; each call must give a larger value than all revisions
        /// before, of other replicas too.
        package var revision: @Sendable () -> Int64

        package init(
            clusterUUID: String, syncMode: AgentSettings.SyncMode = .auto, extraction: ExtractionSettings,
            ingressController: ObjectKey? = nil, loadBalancerGrace: Duration = .seconds(120),
            targetPolicy: TargetPolicy = TargetPolicy(), selection: IngressSelection = .all,
            updateIngressStatus: Bool = false, offlinePages: Bool = false, workers: Int = 8,
            tunnelDownAfter: Duration = .seconds(5),
            revision: @escaping @Sendable () -> Int64 = RoutePipeline.revisionByClock
        ) {
            self.clusterUUID = clusterUUID
            self.syncMode = syncMode
            self.extraction = extraction
            self.ingressController = ingressController
            self.loadBalancerGrace = loadBalancerGrace
            self.targetPolicy = targetPolicy
            self.selection = selection
            self.updateIngressStatus = updateIngressStatus
            self.offlinePages = offlinePages
            self.workers = workers
            self.tunnelDownAfter = tunnelDownAfter
            self.revision = revision
        }
    }

    /// Milliseconds grow faster than routes change, so that a later term never goes back.
    @Sendable package static func revisionByClock() -> Int64 { Int64(Date().timeIntervalSince1970 * 1000) }

    /// For the data path.
    package let forwarding: ForwardingGuard
    /// For sessions with the gateway.
    package let syncer: RouteSyncer
    package let clusterType: ClusterTypeMonitor
    package let ledger: LiveRouteLedger
    /// To run, in this order; each serves those after it.
    package let services: [ServiceGroupConfiguration.ServiceConfiguration]
    /// To run after the others, and after those who carry traffic: what runs last is stopped first, and a leader that is
    /// to stop hands over before it drains its tunnel.
    package let controller: any ServiceLifecycle.Service & CacheSync
    private let intake: WorkIntake
    private let resources: [(name: String, cache: any CacheSync)]

    /// The resources, by plural name, that have not been listed whole yet.
    package var unsyncedResources: [String] { resources.filter { !$0.cache.hasSynced }.map(\.name) }

    /// Whether all caches have synced, the cluster's type was looked at, and the ledger knows every Ingress.
    package var hasSynced: Bool { controller.hasSynced }

    /// Whether this replica writes and publishes.
    package var isLeading: Bool { intake.isLeading }

    /// - Parameter elector: decides between several replicas; `nil` leads from the start.
    package init(
        client: KubernetesClient, settings: Settings, events: EventRecorder?, elector: LeaderElector? = nil,
        logger: Logger
    ) {
        let serviceIndex = "service"
        let offlinePageIndex = "offline-page"
        let ingresses = Informer<Ingress>(
            client: client,
            indices: [
                serviceIndex: { IngressExtraction.services(namedBy: $0).map(\.description) },
                offlinePageIndex: { OfflinePage.configMap(namedBy: $0).map { [$0.description] } ?? [] },
            ],
            transform: { $0.keepOnlyWhatIsRead() }, logger: logger)
        let services = Informer<KubernetesAPI.Service>(
            client: client, indices: [IngressControllerSearch.index: IngressControllerSearch.indexValues],
            transform: { $0.keepOnlyWhatIsRead() }, logger: logger)
        let gatewayRoutes = Informer<GatewayRoute>(client: client, logger: logger)
        // Nothing waits for them: a page that comes late is late, and no more.
        let configMaps =
            settings.offlinePages
            ? Informer<ConfigMap>(
                client: client, settings: .init(labelSelector: "\(OfflinePage.label)=true"),
                transform: { $0.keepOnlyWhatIsRead() }, logger: logger) : nil

        let forwarding = ForwardingGuard(policy: settings.targetPolicy)
        let ledger = LiveRouteLedger(forwarding: forwarding)
        let intake = WorkIntake()

        let clusterType = ClusterTypeMonitor(
            services: services, ingressController: settings.ingressController,
            preference: settings.ingressControllerProtocol, gracePeriod: settings.loadBalancerGrace, events: events,
            isLeading: { intake.isLeading }, logger: logger
        ) { observation in
            // Publishing opens the way for requests; what they must be led to, or kept from, is in place before.
            forwarding.setController(observation.controller)
            forwarding.setClusterAPIServers(observation.apiServers)
            let clusterType = observation.finding.clusterType
            _ = ledger.setPublication(.init(mode: settings.syncMode, clusterType: clusterType))
            // Every status tells type, reason and target.
            intake.add(ingresses.store.all().map(\.key))
        }
        let syncer = RouteSyncer(
            clusterUUID: settings.clusterUUID, ledger: ledger,
            isPrivate: { clusterType.current.finding.clusterType == .private }, onAffected: { intake.add($0) },
            isLeading: { elector?.isLeading ?? true }, downAfter: settings.tunnelDownAfter, logger: logger)
        controller = RouteController(
            .init(
                world: .init(
                    client: client, ingresses: ingresses.store, services: services.store,
                    configMaps: configMaps?.store, gatewayRoutes: gatewayRoutes.store, ledger: ledger,
                    observation: { clusterType.current },
                    events: events,
                    authorities: AuthorityCheck(client: client, ages: settings.authorityAges),
                    ingressStatus: settings.updateIngressStatus
                        ? IngressStatusWriter(
                            client: client, hostname: settings.extraction.clusterHost,
                            isLeading: { elector?.isLeading ?? true }, logger: logger) : nil,
                    isLeading: { elector?.isLeading ?? true }),
                caches: [services, ingresses, gatewayRoutes, clusterType], intake: intake, syncer: syncer,
                settings: settings, logger: logger),
            elector: elector)

        ingresses.addHandler { intake.add([$0.key]) }
        gatewayRoutes.addHandler { intake.add($0) }
        configMaps?.addHandler {
            intake.add(ingresses.store.keys(index: offlinePageIndex, value: $0.key.description))
        }
        services.addHandler { intake.add(ingresses.store.keys(index: serviceIndex, value: $0.key.description)) }

        self.forwarding = forwarding
        self.syncer = syncer
        self.clusterType = clusterType
        self.ledger = ledger
        self.intake = intake
        resources = [
            (KubernetesAPI.Service.definition.plural, services), (Ingress.definition.plural, ingresses),
            (GatewayRoute.definition.plural, gatewayRoutes),
        ]
        var longLived: [any ServiceLifecycle.Service] = [services, ingresses, gatewayRoutes, clusterType, syncer]
        if let configMaps { longLived.append(configMaps) }
        self.services = longLived.map { .init(service: $0) }
    }
}

extension Ingress {
    /// Drops annotations nobody reads, such as the whole object once more in `last-applied-configuration`.
    fileprivate mutating func keepOnlyWhatIsRead() {
        metadata.annotations = metadata.annotations?.filter { name, _ in
            name == IngressSelection.classAnnotation || AnnotationPolicy.allowedPrefixes.contains { name.hasPrefix($0) }
        }
    }
}

extension KubernetesAPI.Service {
    fileprivate mutating func keepOnlyWhatIsRead() { metadata.annotations = nil }
}
