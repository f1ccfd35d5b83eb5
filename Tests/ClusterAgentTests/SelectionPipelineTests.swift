import ClusterAgent
import KubernetesAPI
import TestSupport
import Testing

@Suite("Which Ingresses are served and listed, against an API server")
struct SelectionPipelineTests {
    private static func ofClass(_ name: String, _ className: String?, host: String) -> Ingress {
        var ingress = Sample.ingress(name, host: host)
        ingress.spec?.ingressClassName = className
        return ingress
    }

    @Test("Only Ingresses of the classes asked for are recorded and sent; one that changes its class goes")
    func byClass() async throws {
        try await PipelineWorld.run(configure: { $0.selection = IngressSelection(classes: ["ours"]) }) { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Self.ofClass("theirs", "theirs", host: "theirs.example.com"))
            try await world.create(Self.ofClass("ours", "ours", host: "ours.example.com"))
            try await world.expect("ours", .programmed, "Programmed")
            #expect(try await world.route("theirs") == nil)
            #expect(world.gateway.added == ["ours.example.com/"])

            var changed = try await world.client.get(Ingress.self, Sample.key("ours"))
            changed.spec?.ingressClassName = "theirs"
            _ = try await world.client.patch(Ingress.self, Sample.key("ours"), merge: changed)
            try await eventually("its record is gone") { try await world.route("ours") == nil }
            try await eventually("it is withdrawn") { world.gateway.added.isEmpty }
        }
    }

    @Test("The cluster's host is listed in the status of what is programmed, beside others' entries, and goes with it")
    func listed() async throws {
        let ours = "\(Sample.clusterUUID).gateway.pipeops.io"
        try await PipelineWorld.run(configure: {
            $0.selection = IngressSelection(classes: ["ours"])
            $0.updateIngressStatus = true
        }) { world in
            func listed(_ name: String) async throws -> [String?] {
                let ingress = try await world.client.get(Ingress.self, Sample.key(name))
                return (ingress.status?.loadBalancer?.ingress ?? []).map { $0.hostname ?? $0.ip }
            }
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Self.ofClass("theirs", "theirs", host: "theirs.example.com"))
            try await world.create(Self.ofClass("ours", "ours", host: "ours.example.com"))
            try await eventually("it is listed") { try await listed("ours") == [ours] }
            #expect(try await listed("theirs") == [])

            // A name that another cluster takes is not served here any more.
            world.gateway.taken = ["ours.example.com"]
            var changed = try await world.client.get(Ingress.self, Sample.key("ours"))
            changed.metadata.annotations = ["gateway.pipeops.io/note": "changed"]
            _ = try await world.client.patch(Ingress.self, Sample.key("ours"), merge: changed)
            try await world.expect("ours", .programmed, "HostnameConflict")
            try await eventually("it is not listed any more") { try await listed("ours") == [] }
        }
    }
}
