import ClusterAgent
import Foundation
import KubernetesAPI
import KubernetesRuntime
import Logging
import Routing
import ServiceLifecycle
import TestSupport
import Testing
import TunnelProtocol

/// An API server, the agent's route pipeline, and a gateway that answers.
struct PipelineWorld {
    let client: KubernetesClient
    let pipeline: RoutePipeline
    let gateway = AcknowledgingGateway()
    private let group: ServiceGroup

    /// As SIGTERM does.
    func stop() async { await group.triggerGracefulShutdown() }

    /// - Parameters:
    ///   - configure: changes the settings of the agent.
    ///   - before: done to the cluster before the pipeline starts.
    ///   - afterRestart: done with an agent that has just started in the world that `body` left.
    static func run(
        syncMode: AgentSettings.SyncMode = .auto, loadBalancerGrace: Duration = .seconds(120),
        configure: (inout RoutePipeline.Settings) -> Void = { _ in },
        before: (KubernetesClient) async throws -> Void = { _ in },
        _ body: (PipelineWorld) async throws -> Void,
        afterRestart: ((PipelineWorld) async throws -> Void)? = nil
    ) async throws {
        try await TestCluster.run { client in
            _ = try await client.create(CustomResourceDefinition.gatewayRoutes())
            try await eventually("the custom resource is served") {
                (try? await client.list(GatewayRoute.self)) != nil
            }
            try await before(client)
            var settings = RoutePipeline.Settings(
                clusterUUID: Sample.clusterUUID, syncMode: syncMode, extraction: try Sample.extractionSettings(),
                loadBalancerGrace: loadBalancerGrace, targetPolicy: TargetPolicy(allowLoopback: true))
            configure(&settings)
            try await start(client, settings, body)
            guard let afterRestart else { return }
            try await start(client, settings, afterRestart)
        }
    }

    /// Two replicas of an agent, the first of which leads.
    static func runReplicas(_ body: (_ leader: PipelineWorld, _ standby: PipelineWorld) async throws -> Void)
        async throws
    {
        try await TestCluster.run { client in
            _ = try await client.create(CustomResourceDefinition.gatewayRoutes())
            try await eventually("the custom resource is served") {
                (try? await client.list(GatewayRoute.self)) != nil
            }
            let settings = RoutePipeline.Settings(
                clusterUUID: Sample.clusterUUID, extraction: try Sample.extractionSettings(),
                targetPolicy: TargetPolicy(allowLoopback: true))
            func elector(_ identity: String) -> LeaderElector {
                LeaderElector(
                    client: client, lease: ObjectKey(namespace: "default", name: "pipeops-agent"), identity: identity,
                    settings: .init(
                        leaseDuration: .seconds(3), renewDeadline: .seconds(2), retryPeriod: .milliseconds(200)),
                    logger: .silent)
            }
            try await start(client, settings, elector: elector("first")) { first in
                try await eventually("the first leads") { first.pipeline.isLeading }
                try await start(client, settings, elector: elector("second")) { second in
                    try await eventually("the second has synced") { second.pipeline.hasSynced }
                    try await body(first, second)
                }
            }
        }
    }

    private static func start(
        _ client: KubernetesClient, _ settings: RoutePipeline.Settings, elector: LeaderElector? = nil,
        _ body: (PipelineWorld) async throws -> Void
    ) async throws {
        let logger = Logger.silent
        let events = EventRecorder(
            client: client, controller: "gateway.pipeops.io/pipeops-agent", instance: "test", logger: logger)
        let pipeline = RoutePipeline(
            client: client, settings: settings, events: events, elector: elector, logger: logger)
        let group = ServiceGroup(
            configuration: .init(
                services: [.init(service: events)] + pipeline.services
                    + [.init(service: pipeline.controller, successTerminationBehavior: .ignore)],
                logger: logger))
        let world = PipelineWorld(client: client, pipeline: pipeline, group: group)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            tasks.addTask { try await world.gateway.session(pipeline.syncer) }
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(try await body(world))
            } catch {
                outcome = .failure(error)
            }
            await group.triggerGracefulShutdown()
            tasks.cancelAll()
            while let ended = await tasks.nextResult() { _ = ended }
            try outcome.get()
        }
    }

    // MARK: The cluster

    func create(_ object: some KubernetesResource) async throws {
        var object = object
        // The server's business.
        object.metadata.uid = nil
        object.metadata.generation = nil
        object.metadata.creationTimestamp = nil
        _ = try await client.create(object)
    }

    func route(_ name: String) async throws -> GatewayRoute? {
        do {
            return try await client.get(GatewayRoute.self, Sample.key(name))
        } catch let error as KubernetesError where error.kind == .notFound {
            return nil
        }
    }

    /// Waits for a condition to have a reason.
    func expect(
        _ name: String, _ type: GatewayRoute.ConditionType, _ reason: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await eventually("\(name) has \(type.rawValue) \(reason)", sourceLocation: sourceLocation) {
            try await route(name)?.status?.condition(type)?.reason == reason
        }
    }

    func resourceVersions() async throws -> [ObjectKey: String?] {
        let routes = try await client.list(GatewayRoute.self)
        return Dictionary(uniqueKeysWithValues: routes.items.map { ($0.key, $0.metadata.resourceVersion) })
    }

    /// Of Events on an Ingress.
    func eventReasons(of name: String) async throws -> Set<String> {
        let events = try await client.list(Event.self)
        return Set(
            events.items.filter { $0.regarding?.kind == "Ingress" && $0.regarding?.name == name }.compactMap(\.reason))
    }
}
