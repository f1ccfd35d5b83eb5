import ClusterAgent
import KubernetesAPI
import KubernetesRuntime
import TestSupport

/// What a reconciler or a controller reads, over an API server that takes everything.
struct ReconcilerScene {
    var client: KubernetesClient
    var server: ScriptedServer
    let ingresses = StoreWriter<Ingress>()
    let gatewayRoutes = StoreWriter<GatewayRoute>()
    let ledger = LiveRouteLedger(forwarding: ForwardingGuard(policy: TargetPolicy(allowLoopback: true)))

    static func run(_ body: (ReconcilerScene) async throws -> Void) async throws {
        try await withScriptedServer { request, exchange in
            try await exchange.reply(200, request.body.isEmpty ? #"{"metadata":{}}"# : request.body)
        } _: { server in
            try await withClient(port: server.port, options: .init()) { client in
                try await body(ReconcilerScene(client: client, server: server))
            }
        }
    }

    func settings() throws -> RoutePipeline.Settings {
        .init(clusterUUID: Sample.clusterUUID, extraction: try Sample.extractionSettings())
    }

    /// Leads when asked for the first `count` times.
    func leading(for count: Int) -> @Sendable () -> Bool {
        let asked = CallCount()
        return { asked.next() <= count }
    }

    func world(
        isLeading: @escaping @Sendable () -> Bool = { true }, ingressStatus: IngressStatusWriter? = nil
    ) -> IngressReconciler.World {
        let services = StoreWriter<Service>()
        _ = services.set(Sample.service("my-app"))
        return IngressReconciler.World(
            client: client, ingresses: ingresses.store, services: services.store,
            gatewayRoutes: gatewayRoutes.store, ledger: ledger,
            observation: { .init(finding: .init(clusterType: .private, reason: .noIngressController)) },
            events: nil, ingressStatus: ingressStatus, isLeading: isLeading)
    }

    func reconciler(
        isLeading: @escaping @Sendable () -> Bool, requeue: @escaping @Sendable (Set<ObjectKey>) -> Void = { _ in }
    ) throws -> IngressReconciler {
        IngressReconciler(
            world: world(isLeading: isLeading), settings: try settings(), logger: .silent, requeue: requeue,
            attempted: { _ in })
    }

    /// Method and path of each request that changes something.
    var writes: [String] { server.requests.filter { $0.method != "GET" }.map { "\($0.method) \($0.path)" } }
}
