import KubernetesAPI
import KubernetesRuntime
import Routing
import TestSupport
import Testing

@testable import ClusterAgent

@Suite("A replica that does not lead any more, or leads anew")
struct LostLeadershipTests {
    @Test(
        "asks before each write of a GatewayRoute whether it leads, and comes back to what it has left",
        arguments: [(0, 0), (1, 0), (2, 1), (3, 2)])
    func writes(leadsFor count: Int, written: Int) async throws {
        try await ReconcilerScene.run { scene in
            let ingress = Sample.ingress("my-app")
            _ = scene.ingresses.set(ingress)
            let result = try await scene.reconciler(isLeading: scene.leading(for: count)).reconcile(ingress.key)
            let expected = ["routes/my-app", "my-app/status"].prefix(written)
            #expect(scene.writes.map { String($0.suffix(13)) } == Array(expected))
            if written < 2 { #expect(result == .requeue(after: .seconds(1))) }
        }
    }

    @Test("asks before it deletes a GatewayRoute", arguments: [1, 2])
    func deletes(leadsFor count: Int) async throws {
        try await ReconcilerScene.run { scene in
            let route = GatewayRoute(
                metadata: ObjectMeta(
                    name: "my-app", namespace: "default", uid: "1",
                    labels: [GatewayRoute.managedByLabel: GatewayRoute.manager]))
            _ = scene.gatewayRoutes.set(route)
            let result = try await scene.reconciler(isLeading: scene.leading(for: count)).reconcile(route.key)
            #expect(scene.writes.count == count - 1)
            #expect(result == (count == 1 ? .requeue(after: .seconds(1)) : .done))
        }
    }

    @Test("asks before it writes the status of an Ingress, after a conflict again")
    func ingressStatus() async throws {
        let object = #"{"metadata":{"name":"my-app","namespace":"default","uid":"uid-my-app","resourceVersion":"7"}}"#
        try await withScriptedServer { request, exchange in
            try await exchange.reply(request.method == "GET" ? 200 : 409, request.method == "GET" ? object : "{}")
        } _: { server in
            try await withClient(port: server.port, options: .init()) { client in
                for count in 0...1 {
                    let asked = CallCount()
                    let writer = IngressStatusWriter(
                        client: client, hostname: try Hostname("a.gateway.pipeops.io"),
                        isLeading: { asked.next() <= count }, logger: .silent)
                    await #expect(throws: LeadershipLost.self) {
                        try await writer.reconcile(Sample.ingress("my-app"), programmed: true)
                    }
                    #expect(server.requests.filter { $0.method == "PATCH" }.count == count)
                }
            }
        }
    }

    @Test("withdraws what went between two turns, Ingress and GatewayRoute alike, before it publishes")
    func goneBetweenTurns() async throws {
        try await ReconcilerScene.run { scene in
            let ledger = scene.ledger
            // As a standby has followed it; the caches know neither the Ingress nor the GatewayRoute any more.
            _ = ledger.replace(
                ingress: Sample.key("gone"), createdAt: Sample.date(0), with: [try Sample.route("gone.example.com")])
            let ingress = Sample.ingress("my-app")
            _ = scene.ingresses.set(ingress)
            let settings = try scene.settings()
            let syncer = RouteSyncer(
                clusterUUID: Sample.clusterUUID, ledger: ledger, isPrivate: { true }, onAffected: { _ in },
                isLeading: { true }, logger: .silent)
            let controller = RouteController(
                .init(
                    world: scene.world(), caches: [], intake: WorkIntake(), syncer: syncer, settings: settings,
                    logger: .silent),
                elector: nil)
            try await withRunning(controller.run) {
                try await eventually("the set is complete") { ledger.read { $0.isComplete } }
                #expect(ledger.read { $0.ingresses } == [ingress.key])
            }
        }
    }
}
