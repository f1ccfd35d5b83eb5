import ClusterAgent
import Foundation
import KubernetesAPI
import KubernetesRuntime
import Logging
import Routing
import ServiceLifecycle
import Synchronization
import Testing
import TunnelProtocol

/// An API server, the agent's route pipeline, and a gateway that answers.
struct PipelineBench {
    let client: KubernetesClient
    let pipeline: RoutePipeline
    let gateway = FakeGateway()

    private init(client: KubernetesClient, pipeline: RoutePipeline) {
        self.client = client
        self.pipeline = pipeline
    }

    /// - Parameters:
    ///   - before: done to the cluster before the pipeline starts.
    ///   - afterRestart: done with an agent that has just started in the world that `body` left.
    static func run(
        syncMode: AgentSettings.SyncMode = .auto, loadBalancerGrace: Duration = .seconds(120),
        before: (KubernetesClient) async throws -> Void = { _ in },
        _ body: (PipelineBench) async throws -> Void,
        afterRestart: ((PipelineBench) async throws -> Void)? = nil
    ) async throws {
        try await TestCluster.run { client in
            _ = try await client.create(CustomResourceDefinition.gatewayRoutes())
            try await eventually("the custom resource is served") {
                (try? await client.list(GatewayRoute.self)) != nil
            }
            try await before(client)
            var settings = RoutePipeline.Settings(
                clusterUUID: Sample.clusterUUID, syncMode: syncMode, extraction: try Sample.extractionSettings(),
                loadBalancerGrace: loadBalancerGrace, targetPolicy: TargetPolicy(allowLoopback: true),
                firstRevision: 100)
            try await start(client, settings, body)
            guard let afterRestart else { return }
            settings.firstRevision += 1_000_000
            try await start(client, settings, afterRestart)
        }
    }

    private static func start(
        _ client: KubernetesClient, _ settings: RoutePipeline.Settings, _ body: (PipelineBench) async throws -> Void
    ) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let events = EventRecorder(
            client: client, controller: "gateway.pipeops.io/pipeops-agent", instance: "test", logger: logger)
        let pipeline = RoutePipeline(client: client, settings: settings, events: events, logger: logger)
        let bench = PipelineBench(client: client, pipeline: pipeline)
        let group = ServiceGroup(
            configuration: .init(services: [.init(service: events)] + pipeline.services, logger: logger))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            tasks.addTask { try await bench.gateway.session(pipeline.syncer) }
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(try await body(bench))
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

/// Takes routes in and acknowledges them.
final class FakeGateway: Sendable {
    private struct State {
        var routes: [String: String] = [:]
        var actions: [String] = []
        var taken: Set<String> = []
        var holdsAnswers = false
        var held: [ControlMessage.IngressRoutesAck] = []
    }

    private let state = Mutex(State())

    /// Service by host and path.
    var routes: [String: String] { state.withLock { $0.routes } }
    var added: Set<String> { Set(routes.keys) }
    /// Of all messages.
    var actions: [String] { state.withLock { $0.actions } }

    /// Hosts of other clusters.
    var taken: Set<String> {
        get { state.withLock { $0.taken } }
        set { state.withLock { $0.taken = newValue } }
    }

    var holdsAnswers: Bool {
        get { state.withLock { $0.holdsAnswers } }
        set { state.withLock { $0.holdsAnswers = newValue } }
    }

    func session(_ syncer: RouteSyncer) async throws {
        try await syncer.runSession(heartbeatInterval: .seconds(10)) { message in
            guard case .ingressRoutes(let routes) = message else { return }
            if let answer = self.take(routes) { syncer.received(answer) }
        }
    }

    /// Gives the answers that were held, and holds no more.
    func answer(_ syncer: RouteSyncer) {
        let answers = state.withLock { state in
            state.holdsAnswers = false
            defer { state.held = [] }
            return state.held
        }
        for answer in answers { syncer.received(answer) }
    }

    private func take(_ message: ControlMessage.IngressRoutes) -> ControlMessage.IngressRoutesAck? {
        state.withLock { state in
            state.actions.append(message.action.rawValue)
            if message.action == .sync, message.page?.index ?? 0 == 0 { state.routes = [:] }
            var answer = ControlMessage.IngressRoutesAck(revision: message.revision, accepted: 0)
            for route in message.routes {
                if message.action == .delete {
                    state.routes[route.host + route.path] = nil
                } else if state.taken.contains(route.host) {
                    answer.rejected.append(
                        .init(route, RouteRefusal(reason: "HostnameConflict", message: "another cluster has it")))
                } else {
                    answer.accepted += 1
                    state.routes[route.host + route.path] = route.service
                }
            }
            guard message.page?.last ?? true else { return nil }
            guard state.holdsAnswers else { return answer }
            state.held.append(answer)
            return nil
        }
    }
}
