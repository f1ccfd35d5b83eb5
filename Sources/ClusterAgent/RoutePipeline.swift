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
        package var loadBalancerGrace: Duration
        package var targetPolicy: TargetPolicy
        package var workers: Int
        /// How long there may be no session before every status says so.
        package var tunnelDownAfter: Duration
        /// Where revisions count from; a later start must give a larger value.
        package var firstRevision: Int64

        package init(
            clusterUUID: String, syncMode: AgentSettings.SyncMode = .auto, extraction: ExtractionSettings,
            ingressController: ObjectKey? = nil, loadBalancerGrace: Duration = .seconds(120),
            targetPolicy: TargetPolicy = TargetPolicy(), workers: Int = 8, tunnelDownAfter: Duration = .seconds(5),
            firstRevision: Int64 = 0
        ) {
            self.clusterUUID = clusterUUID
            self.syncMode = syncMode
            self.extraction = extraction
            self.ingressController = ingressController
            self.loadBalancerGrace = loadBalancerGrace
            self.targetPolicy = targetPolicy
            self.workers = workers
            self.tunnelDownAfter = tunnelDownAfter
            self.firstRevision = firstRevision
        }
    }

    /// For the data path.
    package let forwarding: ForwardingGuard
    /// For sessions with the gateway.
    package let syncer: RouteSyncer
    package let clusterType: ClusterTypeMonitor
    package let ledger: LiveRouteLedger
    /// To run, in this order; each serves those after it.
    package let services: [ServiceGroupConfiguration.ServiceConfiguration]
    private let caches: [any CacheSync]

    /// Whether all caches have synced and the cluster's type was looked at.
    package var hasSynced: Bool { caches.allSatisfy(\.hasSynced) }

    package init(client: KubernetesClient, settings: Settings, events: EventRecorder?, logger: Logger) {
        let serviceIndex = "service"
        let ingresses = Informer<Ingress>(
            client: client,
            indices: [serviceIndex: { IngressExtraction.services(namedBy: $0).map(\.description) }],
            transform: { $0.keepOnlyWhatIsRead() }, logger: logger)
        let services = Informer<KubernetesAPI.Service>(
            client: client, transform: { $0.keepOnlyWhatIsRead() }, logger: logger)
        let gatewayRoutes = Informer<GatewayRoute>(client: client, logger: logger)

        let forwarding = ForwardingGuard(policy: settings.targetPolicy)
        let ledger = LiveRouteLedger(RouteLedger(revision: settings.firstRevision), forwarding: forwarding)
        let queue = WorkQueue<ObjectKey>(name: "ingress")
        let requeue: @Sendable (Set<ObjectKey>) -> Void = { for key in $0 { queue.add(key) } }

        let clusterType = ClusterTypeMonitor(
            services: services, ingressController: settings.ingressController,
            gracePeriod: settings.loadBalancerGrace, events: events, logger: logger
        ) { observation in
            // Publishing opens the way for requests; what they must be led to, or kept from, is in place before.
            forwarding.setController(observation.controller)
            forwarding.setClusterAPIServers(observation.apiServers)
            let clusterType = observation.finding.clusterType
            _ = ledger.setPublication(.init(mode: settings.syncMode, clusterType: clusterType))
            // Every status tells type, reason and target.
            for ingress in ingresses.store.all() { queue.add(ingress.key) }
        }
        let syncer = RouteSyncer(
            clusterUUID: settings.clusterUUID, ledger: ledger,
            isPrivate: { clusterType.current.finding.clusterType == .private }, onAffected: requeue,
            downAfter: settings.tunnelDownAfter, logger: logger)
        let firstPass = FirstPass(ingresses: ingresses, onComplete: ledger.setComplete)
        let reconciler = IngressReconciler(
            world: .init(
                client: client, ingresses: ingresses.store, services: services.store,
                gatewayRoutes: gatewayRoutes.store, ledger: ledger, observation: { clusterType.current },
                events: events),
            clusterUUID: settings.clusterUUID, syncMode: settings.syncMode, extraction: settings.extraction,
            logger: logger, requeue: requeue, attempted: firstPass.attempted)

        ingresses.addHandler { queue.add($0.key) }
        gatewayRoutes.addHandler { if reconciler.gatewayRouteChanged($0) { queue.add($0.key) } }
        services.addHandler { change in
            let dependents = ingresses.store.keys(index: serviceIndex, value: change.key.description)
            for key in dependents { queue.add(key) }
        }

        caches = [services, ingresses, gatewayRoutes, clusterType]
        let controller = Controller(
            name: "ingress", workers: settings.workers, queue: queue, reconciler: reconciler, waitFor: caches,
            logger: logger)
        self.forwarding = forwarding
        self.syncer = syncer
        self.clusterType = clusterType
        self.ledger = ledger
        let longLived: [any ServiceLifecycle.Service] = [
            services, ingresses, gatewayRoutes, clusterType, controller, syncer,
        ]
        self.services =
            longLived.map { .init(service: $0) } + [.init(service: firstPass, successTerminationBehavior: .ignore)]
    }
}

extension Ingress {
    /// Drops annotations nobody reads, such as the whole object once more in `last-applied-configuration`.
    fileprivate mutating func keepOnlyWhatIsRead() {
        metadata.annotations = metadata.annotations?.filter { name, _ in
            name == "kubernetes.io/ingress.class" || AnnotationPolicy.allowedPrefixes.contains { name.hasPrefix($0) }
        }
    }
}

extension KubernetesAPI.Service {
    fileprivate mutating func keepOnlyWhatIsRead() { metadata.annotations = nil }
}
