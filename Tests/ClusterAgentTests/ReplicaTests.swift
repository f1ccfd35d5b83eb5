import ClusterAgent
import KubernetesAPI
import Logging
import Routing
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@Suite("Two replicas of an agent, against an API server")
struct ReplicaTests {
    @Test("21: two replicas are no rivals: one writes and publishes, both know where requests go")
    func oneWritesBothForward() async throws {
        try await PipelineWorld.runReplicas { leader, standby in
            try await leader.create(Sample.service("my-app", clusterIP: nil))
            try await leader.create(Sample.ingress("my-app"))
            try await leader.expect("my-app", .programmed, "Programmed")
            for replica in [leader, standby] {
                try await eventually("requests are forwarded") { Self.forwards(replica) }
            }
            #expect(leader.gateway.added == ["my-app.example.com/"])
            #expect(standby.gateway.actions.isEmpty, "only the leader publishes")
            #expect(leader.pipeline.isLeading && !standby.pipeline.isLeading)

            try await leader.client.delete(Ingress.self, Sample.key("my-app"))
            try await eventually("neither forwards what is withdrawn") {
                !Self.forwards(leader) && !Self.forwards(standby)
            }
        }
    }

    private static func forwards(_ replica: PipelineWorld) -> Bool {
        replica.pipeline.forwarding.target(host: "my-app.example.com", path: "/") != .noSuchHost
    }

    @Test("21: the leader is ready with a tunnel and not without one; who stands by is ready once it has had one")
    func readiness() async throws {
        try await PipelineWorld.runReplicas { leader, standby in
            let isConnected = Atomic(false)
            func readiness(of world: PipelineWorld, needsTunnel: Bool = true) -> AgentReadiness {
                let readiness = AgentReadiness(needsTunnel: needsTunnel)
                #expect(readiness.reasons == ["the cluster's identity is not known"])
                readiness.follow(world.pipeline) { isConnected.load(ordering: .relaxed) }
                return readiness
            }
            let leading = readiness(of: leader)
            let standing = readiness(of: standby)
            try await eventually("the leader has synced") { leader.pipeline.hasSynced }
            #expect(leading.reasons == ["no tunnel is connected"])
            #expect(standing.reasons == ["no tunnel is connected"])
            #expect(readiness(of: leader, needsTunnel: false).reasons == [], "it sends nothing")
            isConnected.store(true, ordering: .relaxed)
            #expect(leading.reasons == [])
            #expect(standing.reasons == [])
            isConnected.store(false, ordering: .relaxed)
            #expect(leading.reasons == ["no tunnel is connected"])
            #expect(standing.reasons == [])

            // Who takes over must have a tunnel from then on.
            await leader.stop()
            try await eventually("the standby leads") { standby.pipeline.isLeading }
            #expect(standing.reasons == ["no tunnel is connected"])
        }
    }

    @Test("21: an agent whose caches have not synced is not ready, and says which")
    func readinessBeforeSync() async throws {
        // There is no such resource in this cluster, and so no list of them.
        try await TestCluster.run { client in
            let pipeline = RoutePipeline(
                client: client,
                settings: .init(clusterUUID: Sample.clusterUUID, extraction: try Sample.extractionSettings()),
                events: nil, logger: .silent)
            let readiness = AgentReadiness(needsTunnel: true)
            readiness.follow(pipeline) { true }
            let group = ServiceGroup(configuration: .init(services: pipeline.services, logger: .silent))
            async let ended: Void = group.run()
            try await eventually("the others are listed") {
                readiness.reasons == ["caches have not synced: gatewayroutes"]
            }
            await group.triggerGracefulShutdown()
            try await ended
        }
    }

    @Test(
        "21: when the leader stops the other takes over: it publishes the whole set and writes nothing that is not news"
    )
    func handover() async throws {
        try await PipelineWorld.runReplicas { leader, standby in
            try await leader.create(Sample.service("my-app", clusterIP: nil))
            try await leader.create(Sample.ingress("my-app"))
            try await leader.create(Sample.ingress("other", host: "other.example.com"))
            try await leader.expect("my-app", .programmed, "Programmed")
            try await leader.expect("other", .programmed, "Programmed")
            let before = try await leader.resourceVersions()

            await leader.stop()
            try await eventually("the standby leads") { standby.pipeline.isLeading }
            try await eventually("the whole set is published") {
                standby.gateway.added == ["my-app.example.com/", "other.example.com/"]
            }
            #expect(standby.gateway.actions == ["sync"])

            try await standby.create(Sample.ingress("new", host: "new.example.com"))
            try await standby.expect("new", .programmed, "Programmed")
            let after = try await standby.resourceVersions()
            #expect(before.allSatisfy { after[$0.key] == $0.value }, "nothing was written twice")
        }
    }

    @Test("What changed while nobody led is put right by the next leader, orphans included")
    func changesBetweenLeaders() async throws {
        try await PipelineWorld.runReplicas { leader, standby in
            try await leader.create(Sample.service("my-app", clusterIP: nil))
            try await leader.create(Sample.ingress("gone", host: "gone.example.com"))
            try await leader.create(Sample.ingress("kept", host: "kept.example.com"))
            try await leader.expect("gone", .programmed, "Programmed")
            try await leader.expect("kept", .programmed, "Programmed")
            await leader.stop()
            try await leader.client.delete(Ingress.self, Sample.key("gone"))
            try await eventually("the orphan is removed") { try await standby.route("gone") == nil }
            try await eventually("only the other is published") { standby.gateway.added == ["kept.example.com/"] }
        }
    }
}
