import ClusterAgent
import Foundation
import KubernetesAPI
import KubernetesRuntime
import Metrics
import MetricsTestKit
import Routing
import TestSupport
import Testing
import TunnelProtocol

@Suite("From the Ingress to the gateway, against an API server")
struct RoutePipelineTests {
    @Test("The status of a new Ingress exists before its route is sent, and is programmed after the answer")
    func newIngress() async throws {
        try await PipelineWorld.run { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await eventually("the empty set is acknowledged") { world.pipeline.ledger.read { $0.tunnel } == .up }
            world.gateway.holdsAnswers = true
            try await world.create(Sample.ingress("my-app"))
            try await eventually("the route is sent") { world.gateway.added.contains("my-app.example.com/") }
            let pending = try #require(try await world.route("my-app"))
            #expect(pending.status?.condition(.accepted)?.status == .true)
            #expect(pending.status?.condition(.resolvedRefs)?.status == .true)
            #expect(pending.status?.condition(.programmed)?.reason == "Pending")
            #expect(pending.status?.routes?.map(\.host) == ["my-app.example.com"])
            world.gateway.answer(world.pipeline.syncer)
            try await world.expect("my-app", .programmed, "Programmed")
            let programmed = try #require(try await world.route("my-app"))
            let conditions = programmed.status?.conditions ?? []
            #expect(conditions.map(\.observedGeneration) == [1, 1, 1])
            #expect(programmed.status?.clusterType == .private)
            #expect(programmed.status?.revision ?? 0 > 0)
            #expect(programmed.metadata.ownerReferences?.first?.kind == "Ingress")
        }
    }

    @Test("A Service that appears, changes its address or goes is followed")
    func serviceComesAndGoes() async throws {
        try await PipelineWorld.run { world in
            try await world.create(Sample.ingress("my-app"))
            try await world.expect("my-app", .resolvedRefs, "ServiceNotFound")
            try await world.expect("my-app", .programmed, "NoRoutes")
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.expect("my-app", .programmed, "Programmed")
            try await world.expect("my-app", .resolvedRefs, "ResolvedRefs")
            guard case .found = world.pipeline.forwarding.target(host: "my-app.example.com", path: "/") else {
                Issue.record("the route is not forwarded")
                return
            }
            try await world.client.delete(Service.self, Sample.key("my-app"))
            try await world.expect("my-app", .programmed, "NoRoutes")
            #expect(world.pipeline.forwarding.target(host: "my-app.example.com", path: "/") == .noSuchHost)
            try await eventually("the route is withdrawn") { world.gateway.routes.isEmpty }
        }
    }

    @Test("A changed Ingress is an update, a deleted one a delete, and its GatewayRoute goes without a collector")
    func changeAndDelete() async throws {
        try await PipelineWorld.run { world in
            for name in ["my-app", "other"] { try await world.create(Sample.service(name, clusterIP: nil)) }
            try await world.create(Sample.ingress("my-app"))
            try await world.expect("my-app", .programmed, "Programmed")
            _ = try await world.client.apply(
                Sample.ingress("my-app", paths: ["/": "other"]).bare, fieldManager: "test", force: true)
            try await eventually("the route is updated") { world.gateway.routes["my-app.example.com/"] == "other" }
            try await world.client.delete(Ingress.self, Sample.key("my-app"))
            try await eventually("the route is deleted") { world.gateway.routes.isEmpty }
            try await eventually("the GatewayRoute is deleted") { try await world.route("my-app") == nil }
            #expect(world.gateway.actions.suffix(2) == ["update", "delete"])
        }
    }

    @Test("What a person deletes or edits is put right")
    func tampering() async throws {
        try await PipelineWorld.run { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Sample.ingress("my-app"))
            try await world.expect("my-app", .programmed, "Programmed")
            try await world.client.delete(GatewayRoute.self, Sample.key("my-app"))
            try await world.expect("my-app", .programmed, "Programmed")
            struct Patch: Encodable { var spec = ["clusterUUID": "evil"] }
            _ = try await world.client.patch(GatewayRoute.self, Sample.key("my-app"), merge: Patch())
            try await eventually("the spec is put right") {
                try await world.route("my-app")?.spec?.clusterUUID == Sample.clusterUUID
            }
            struct StatusPatch: Encodable { var status = ["hosts": ["evil.example.com"]] }
            _ = try await world.client.patch(
                GatewayRoute.self, Sample.key("my-app"), merge: StatusPatch(), subresource: "status")
            try await eventually("the status is put right") {
                try await world.route("my-app")?.status?.hosts == ["my-app.example.com"]
            }
        }
    }

    @Test("Whatever a person makes of the owner references, the Ingress is the only controller again")
    func ownerReferences() async throws {
        struct Patch: Encodable {
            struct Metadata: Encodable { var ownerReferences: [OwnerReference] }
            var metadata: Metadata
        }
        try await PipelineWorld.run { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Sample.ingress("my-app"))
            try await world.expect("my-app", .programmed, "Programmed")
            let good = try #require(try await world.route("my-app")?.metadata.ownerReferences)
            for edit in GatewayRoutePlanTests.OwnerEdit.allCases {
                var references = good
                edit.apply(to: &references)
                _ = try await world.client.patch(
                    GatewayRoute.self, Sample.key("my-app"), merge: Patch(metadata: .init(ownerReferences: references)))
                try await eventually("\(edit) is put right") {
                    try await world.route("my-app")?.metadata.ownerReferences == good
                }
            }
            #expect(world.gateway.actions.filter { $0 == "delete" }.isEmpty, "it was never withdrawn")
        }
    }

    @Test(
        "A route that the gateway refuses is not programmed, for the reason that the gateway gave, and an Event says so"
    )
    func rejected() async throws {
        try await PipelineWorld.run { world in
            world.gateway.refused = RouteRefusal(reason: "QuotaExceeded", message: "too many")
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Sample.ingress("my-app"))
            try await world.expect("my-app", .programmed, "Rejected")
            let condition = try #require(try await world.route("my-app")?.status?.condition(.programmed))
            #expect(condition.status == .false)
            #expect(condition.message == "my-app.example.com /: QuotaExceeded: too many")
            try await eventually("an Event says so") { try await world.eventReasons(of: "my-app").contains("Rejected") }
        }
    }

    @Test("An external address turns the cluster public: routes go, status and Event say why; and back")
    func publicAndBack() async throws {
        try await PipelineWorld.run(loadBalancerGrace: .milliseconds(200)) { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Sample.ingress("my-app"))
            try await world.expect("my-app", .programmed, "Programmed")
            let controller = Sample.service(
                "ingress-nginx-controller", namespace: "ingress-nginx", type: "LoadBalancer", clusterIP: nil,
                ports: [.init(name: "https", port: 443)])
            _ = try? await world.client.create(Namespace(metadata: ObjectMeta(name: "ingress-nginx")))
            try await world.create(controller)
            _ = try await world.client.applyStatus(
                Service(
                    metadata: ObjectMeta(name: controller.metadata.name, namespace: controller.metadata.namespace),
                    spec: nil, status: .init(loadBalancer: .init(ingress: [.init(ip: "203.0.113.7")]))),
                fieldManager: "cloud", force: true)
            try await world.expect("my-app", .programmed, "ClusterPublic")
            #expect(try await world.route("my-app")?.status?.clusterType == .public)
            try await eventually("the routes are withdrawn") { world.gateway.routes.isEmpty }
            try await eventually("an Event says so") {
                try await world.eventReasons(of: "my-app").isSuperset(of: ["ClusterTypeChanged", "ClusterPublic"])
            }
            _ = try await world.client.applyStatus(
                Service(
                    metadata: ObjectMeta(name: controller.metadata.name, namespace: controller.metadata.namespace),
                    spec: nil, status: .init(loadBalancer: .init(ingress: []))),
                fieldManager: "cloud", force: true)
            try await world.expect("my-app", .programmed, "Programmed")
            #expect(try await world.route("my-app")?.status?.clusterTypeReason == "LoadBalancerWithoutAddress")
            #expect(world.gateway.routes == ["my-app.example.com/": "my-app"])
        }
    }

    @Test(
        "At the start a load balancer that waits for its address leaves the type open, and nothing is sent until then")
    func undecidedAtStart() async throws {
        try await PipelineWorld.run(
            loadBalancerGrace: .seconds(3600),
            before: { client in
                _ = try? await client.create(Namespace(metadata: ObjectMeta(name: "ingress-nginx")))
                var controller = Sample.service(
                    "ingress-nginx-controller", namespace: "ingress-nginx", type: "LoadBalancer", clusterIP: nil,
                    ports: [.init(name: "https", port: 443)])
                controller.metadata.uid = nil
                _ = try await client.create(controller)
            }
        ) { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Sample.ingress("my-app"))
            try await world.expect("my-app", .programmed, "Pending")
            let status = try #require(try await world.route("my-app")?.status)
            #expect(status.clusterType == .unknown)
            #expect(status.clusterTypeReason == "LoadBalancerPending")
            #expect(world.gateway.actions == [])
            let controller = ObjectKey(namespace: "ingress-nginx", name: "ingress-nginx-controller")
            struct Patch: Encodable { var spec = ["type": "NodePort"] }
            _ = try await world.client.patch(Service.self, controller, merge: Patch())
            try await world.expect("my-app", .programmed, "Programmed")
            #expect(try await world.route("my-app")?.status?.clusterTypeReason == "NodePort")
            #expect(world.gateway.actions == ["sync"])
        }
    }

    @Test("An ingress controller with an HTTP port becomes the target, and loses that place when it goes")
    func ingressController() async throws {
        try await PipelineWorld.run { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Sample.ingress("my-app"))
            try await world.expect("my-app", .programmed, "Programmed")
            #expect(try await world.route("my-app")?.status?.target == "Service")
            _ = try? await world.client.create(Namespace(metadata: ObjectMeta(name: "ingress-nginx")))
            try await world.create(
                Sample.service(
                    "ingress-nginx-controller", namespace: "ingress-nginx", type: "NodePort", clusterIP: nil,
                    ports: [.init(name: "http", port: 80)]))
            try await eventually("the status names the target") {
                try await world.route("my-app")?.status?.target == "ingress-nginx/ingress-nginx-controller"
            }
            guard case .found(let target) = world.pipeline.forwarding.target(host: "my-app.example.com", path: "/")
            else {
                Issue.record("the route is not forwarded")
                return
            }
            #expect(target.viaIngressController)
            try await world.client.delete(
                Service.self, ObjectKey(namespace: "ingress-nginx", name: "ingress-nginx-controller"))
            try await eventually("the target is the Service again") {
                try await world.route("my-app")?.status?.target == "Service"
            }
        }
    }

    @Test("An orphan of an agent that was away is removed at the start; what is not ours stays")
    func orphans() async throws {
        try await PipelineWorld.run(before: { client in
            for (name, labels) in [("orphan", [GatewayRoute.managedByLabel: GatewayRoute.manager]), ("foreign", [:])] {
                _ = try await client.create(
                    GatewayRoute(
                        metadata: ObjectMeta(name: name, namespace: "default", labels: labels),
                        spec: .init(ingressName: name, clusterUUID: Sample.clusterUUID)))
            }
        }) { world in
            try await eventually("the orphan is removed") { try await world.route("orphan") == nil }
            #expect(try await world.route("foreign") != nil)
        }
    }

    @Test("A GatewayRoute of somebody else's making is left alone: no route, an Event says why, until it is gone")
    func foreignGatewayRoute() async throws {
        let metrics = TestMetrics()
        try await withMetricsFactory(metrics) {
            let foreign = GatewayRoute(
                metadata: ObjectMeta(name: "my-app", namespace: "default", labels: ["team": "shop"]),
                spec: .init(ingressName: "theirs", clusterUUID: "theirs"))
            try await PipelineWorld.run(before: { client in
                _ = try await client.create(foreign)
                // Before the agent starts: a Service that it hears of after the Ingress is a reason to look again.
                _ = try await client.create(Sample.service("my-app", clusterIP: nil))
            }) { world in
                let before = try await world.route("my-app")
                try await world.create(Sample.ingress("my-app"))
                try await eventually("an Event says so") {
                    try await world.eventReasons(of: "my-app") == ["NotOurs"]
                }
                // It costs nobody else anything, and what comes after it in the queue shows that it is not tried again.
                try await world.create(Sample.ingress("other", host: "other.example.com"))
                try await world.expect("other", .programmed, "Programmed")
                #expect(try await world.route("my-app") == before)
                #expect(world.gateway.added == ["other.example.com/"])
                #expect(world.pipeline.forwarding.target(host: "my-app.example.com", path: "/") == .noSuchHost)
                #expect(metrics.counterTotal(label: "controller_runtime_terminal_reconcile_errors_total") == 1)
                #expect(metrics.counterTotal(label: "workqueue_retries_total") == 0)

                try await world.client.delete(GatewayRoute.self, Sample.key("my-app"))
                try await world.expect("my-app", .programmed, "Programmed")
                #expect(try await world.route("my-app")?.isOurs == true)
            }
        }
    }

    @Test("A GatewayRoute whose label a person removes or changes is put right, and its Ingress goes on being served")
    func relabelled() async throws {
        try await PipelineWorld.run { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Sample.ingress("my-app"))
            try await world.expect("my-app", .programmed, "Programmed")
            struct Patch: Encodable {
                struct Metadata: Encodable { var labels: [String: String?] }
                var metadata: Metadata
            }
            for label in ["somebody", nil] {
                let patch = Patch(metadata: .init(labels: [GatewayRoute.managedByLabel: label]))
                _ = try await world.client.patch(GatewayRoute.self, Sample.key("my-app"), merge: patch)
                try await eventually("the label is back") {
                    try await world.route("my-app")?.metadata.labels?[GatewayRoute.managedByLabel]
                        == GatewayRoute.manager
                }
            }
            #expect(world.gateway.actions.filter { $0 == "delete" }.isEmpty, "it was never withdrawn")
        }
    }

    @Test("A restart writes nothing, and its first set is the whole one")
    func restart() async throws {
        var before: [ObjectKey: String?] = [:]
        try await PipelineWorld.run { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            for index in 0..<20 {
                try await world.create(Sample.ingress("i\(index)", host: "h\(index).example.com"))
            }
            for index in 0..<20 { try await world.expect("i\(index)", .programmed, "Programmed") }
            before = try await world.resourceVersions()
        } afterRestart: { world in
            try await eventually("the whole set is sent") { world.gateway.routes.count == 20 }
            #expect(world.gateway.actions == ["sync"])
            try await eventually("it is acknowledged") { world.pipeline.ledger.read { $0.tunnel } == .up }
            // The answer has affected every Ingress; none of them has anything new to say. One that comes after them
            // in the queue shows when they are through.
            try await world.create(Sample.ingress("last", host: "last.example.com"))
            try await world.expect("last", .programmed, "Programmed")
            var after = try await world.resourceVersions()
            after[Sample.key("last")] = nil
            #expect(after == before)
        }
    }

    @Test("Two Ingresses that want one path: the younger learns of it, and inherits")
    func conflict() async throws {
        try await PipelineWorld.run { world in
            for name in ["a", "b"] { try await world.create(Sample.service(name, clusterIP: nil)) }
            try await world.create(Sample.ingress("a", paths: ["/": "a"]))
            try await world.expect("a", .programmed, "Programmed")
            try await world.create(Sample.ingress("b", paths: ["/": "b", "/b": "b"]))
            try await world.expect("b", .programmed, "RouteConflict")
            #expect(
                try await world.route("b")?.status?.condition(.programmed)?.message.contains("default/a") == true)
            try await eventually("its other path is served") { world.gateway.routes.count == 2 }
            #expect(world.gateway.routes == ["my-app.example.com/": "a", "my-app.example.com/b": "b"])
            try await eventually("an Event says so") { try await world.eventReasons(of: "b").contains("RouteConflict") }
            try await world.client.delete(Ingress.self, Sample.key("a"))
            try await world.expect("b", .programmed, "Programmed")
            #expect(world.gateway.routes == ["my-app.example.com/": "b", "my-app.example.com/b": "b"])
        }
    }

    @Test("A host name that another cluster has is a condition and an Event, and costs nobody else anything")
    func hostnameConflict() async throws {
        try await PipelineWorld.run { world in
            world.gateway.taken = ["taken.example.com"]
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Sample.ingress("taken", host: "taken.example.com"))
            try await world.create(Sample.ingress("free", host: "free.example.com"))
            try await world.expect("taken", .programmed, "HostnameConflict")
            try await world.expect("free", .programmed, "Programmed")
            try await eventually("an Event says so") {
                try await world.eventReasons(of: "taken").contains("HostnameConflict")
            }
        }
    }

    @Test("An opt-out removes route and GatewayRoute; taking it back brings both again")
    func optOut() async throws {
        try await PipelineWorld.run { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Sample.ingress("my-app"))
            try await world.expect("my-app", .programmed, "Programmed")
            struct Patch: Encodable {
                struct Metadata: Encodable { var annotations: [String: String] }
                var metadata: Metadata
            }
            func expose(_ value: String) async throws {
                let annotations = ["gateway.pipeops.io/expose": value]
                _ = try await world.client.patch(
                    Ingress.self, Sample.key("my-app"), merge: Patch(metadata: .init(annotations: annotations)))
            }
            try await expose("false")
            try await eventually("the GatewayRoute is deleted") { try await world.route("my-app") == nil }
            try await eventually("the route is withdrawn") { world.gateway.routes.isEmpty }
            try await expose("true")
            try await world.expect("my-app", .programmed, "Programmed")
        }
    }

    @Test("Observe-only: the status says so, and nothing but heartbeats is sent")
    func observeOnly() async throws {
        try await PipelineWorld.run(syncMode: .never) { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Sample.ingress("my-app"))
            try await world.expect("my-app", .programmed, "SyncDisabled")
            #expect(world.gateway.actions.isEmpty)
        }
    }
}

extension Ingress {
    /// As a person writes it.
    fileprivate var bare: Ingress {
        Ingress(metadata: ObjectMeta(name: metadata.name, namespace: metadata.namespace), spec: spec)
    }
}
