import ClusterAgent
import KubernetesAPI
import Routing
import TestSupport
import Testing

@Suite("Two replicas of an agent, against an API server")
struct ReplicaTests {
    @Test("One writes and publishes, both know where requests go (ancestor's defect 21: two rival agents)")
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

    @Test("When the leader stops the other takes over: it publishes the whole set and writes nothing that is not news")
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
