import ClusterAgent
import KubernetesAPI
import KubernetesRuntime
import Routing
import TestSupport
import Testing

@Suite("A GatewayRoute that somebody deletes")
struct VanishedRecordTests {
    /// A reconciler whose cache knows an Ingress, whether the API server has it or not.
    private func withReconciler(
        _ body: (KubernetesClient, IngressReconciler, _ ingress: Ingress, LiveRouteLedger) async throws -> Void,
        isIngressThere: Bool
    ) async throws {
        try await TestCluster.run { client in
            _ = try await client.create(CustomResourceDefinition.gatewayRoutes())
            try await eventually("the custom resource is served") {
                (try? await client.list(GatewayRoute.self)) != nil
            }
            var ingress = Sample.ingress("my-app")
            if isIngressThere {
                ingress.metadata.uid = nil
                ingress.metadata.generation = nil
                ingress.metadata.creationTimestamp = nil
                ingress = try await client.create(ingress)
            }
            let ingresses = StoreWriter<Ingress>()
            _ = ingresses.set(ingress)
            let services = StoreWriter<Service>()
            _ = services.set(Sample.service("my-app"))
            let ledger = LiveRouteLedger(forwarding: ForwardingGuard(policy: TargetPolicy(allowLoopback: true)))
            let world = IngressReconciler.World(
                client: client, ingresses: ingresses.store, services: services.store,
                gatewayRoutes: StoreWriter<GatewayRoute>().store, ledger: ledger,
                observation: { .init(finding: .init(clusterType: .private, reason: .noIngressController)) }, events: nil
            )
            let settings = RoutePipeline.Settings(
                clusterUUID: Sample.clusterUUID, extraction: try Sample.extractionSettings())
            let reconciler = IngressReconciler(
                world: world, settings: settings, logger: .silent, requeue: { _ in }, attempted: { _ in })
            try await body(client, reconciler, ingress, ledger)
        }
    }

    private func deleted(_ ingress: Ingress) -> ObjectChange<GatewayRoute> {
        .deleted(GatewayRoute(metadata: ObjectMeta(name: ingress.key.name, namespace: ingress.key.namespace, uid: "1")))
    }

    @Test("is made again while its Ingress is there")
    func ingressThere() async throws {
        try await withReconciler(
            { client, reconciler, ingress, ledger in
                #expect(reconciler.gatewayRouteChanged(deleted(ingress)))
                _ = try await reconciler.reconcile(ingress.key)
                #expect(try await client.list(GatewayRoute.self).items.count == 1)
                #expect(ledger.read { $0.routeCount } == 1)
            }, isIngressThere: true)
    }

    @Test("is not, and the routes are withdrawn, where only the cache still knows the Ingress")
    func ingressGone() async throws {
        try await withReconciler(
            { client, reconciler, ingress, ledger in
                #expect(reconciler.gatewayRouteChanged(deleted(ingress)))
                _ = try await reconciler.reconcile(ingress.key)
                _ = try await reconciler.reconcile(ingress.key)
                #expect(try await client.list(GatewayRoute.self).items.isEmpty)
                #expect(ledger.read { $0.routeCount } == 0)
            }, isIngressThere: false)
    }
}
