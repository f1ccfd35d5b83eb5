import ClusterAgent
import Foundation
import KubernetesAPI
import TestSupport
import Testing
import Yams

/// The rows that only a cluster can show; the numbers are those of `AncestorDefectTests`.
@Suite("Defects of the ancestor, in a cluster")
struct AncestorDefectPipelineTests {
    /// A merge patch of the metadata; `nil` removes.
    private struct MetadataPatch: Encodable {
        struct Metadata: Encodable {
            var labels: [String: String?]?
            var annotations: [String: String?]?
        }
        var metadata: Metadata
    }

    private func expose(_ world: PipelineWorld, _ ingress: Ingress) async throws {
        try await world.create(Sample.service("my-app", clusterIP: nil))
        try await world.create(ingress)
        try await world.expect("my-app", .programmed, "Programmed")
    }

    private func expectUnregistered(_ world: PipelineWorld) async throws {
        try await eventually("the route is withdrawn") { world.gateway.routes.isEmpty }
        try await eventually("the GatewayRoute is deleted") { try await world.route("my-app") == nil }
    }

    @Test("8: an Ingress that is deleted after its Service is unregistered all the same")
    func deletedAfterService() async throws {
        try await PipelineWorld.run { world in
            try await expose(world, Sample.ingress("my-app"))
            try await world.client.delete(Service.self, Sample.key("my-app"))
            try await world.expect("my-app", .resolvedRefs, "ServiceNotFound")
            try await world.client.delete(Ingress.self, Sample.key("my-app"))
            try await expectUnregistered(world)
        }
    }

    @Test("9: an Ingress that loses the label it was selected by is unregistered, and comes back with it")
    func labelRemoved() async throws {
        let selection = IngressSelection(selector: try LabelSelector("exposure=public"))
        try await PipelineWorld.run(configure: { $0.selection = selection }) { world in
            var ingress = Sample.ingress("my-app")
            ingress.metadata.labels = ["exposure": "public"]
            try await expose(world, ingress)
            for label in [nil, "private"] {
                _ = try await world.client.patch(
                    Ingress.self, Sample.key("my-app"),
                    merge: MetadataPatch(metadata: .init(labels: ["exposure": label])))
                try await expectUnregistered(world)
                _ = try await world.client.patch(
                    Ingress.self, Sample.key("my-app"),
                    merge: MetadataPatch(metadata: .init(labels: ["exposure": "public"])))
                try await world.expect("my-app", .programmed, "Programmed")
            }
        }
    }

    @Test("9: an Ingress that was deselected while the agent was away is unregistered when it comes back")
    func deselectedMeanwhile() async throws {
        let selection = IngressSelection(classes: ["nginx"])
        try await PipelineWorld.run(configure: { $0.selection = selection }) { world in
            let annotations = [IngressSelection.classAnnotation: "nginx"]
            try await expose(world, Sample.ingress("my-app", annotations: annotations))
            await world.stop()
            _ = try await world.client.patch(
                Ingress.self, Sample.key("my-app"),
                merge: MetadataPatch(metadata: .init(annotations: [IngressSelection.classAnnotation: "other"])))
        } afterRestart: { world in
            try await eventually("the gateway is told") { !world.gateway.actions.isEmpty }
            #expect(world.gateway.actions.first == "sync")
            try await expectUnregistered(world)
        }
    }

    @Test("10: deleting one Ingress leaves the other Ingresses' paths of the same host registered")
    func sharedHost() async throws {
        try await PipelineWorld.run { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            for (name, path) in [("front", "/"), ("api", "/api"), ("admin", "/admin")] {
                try await world.create(Sample.ingress(name, host: "shop.example.com", paths: [path: "my-app"]))
                try await world.expect(name, .programmed, "Programmed")
            }
            try await world.client.delete(Ingress.self, Sample.key("api"))
            try await eventually("its path is withdrawn") {
                Set(world.gateway.routes.keys) == ["shop.example.com/", "shop.example.com/admin"]
            }
            for name in ["front", "admin"] { try await world.expect(name, .programmed, "Programmed") }
        }
    }

    @Test("14: an Ingress that is served, and one that is not, stay as their owners wrote them")
    func ingressesUntouched() async throws {
        try await PipelineWorld.run(configure: { $0.selection = IngressSelection(classes: ["nginx"]) }) { world in
            var served = Sample.ingress("my-app")
            served.spec?.ingressClassName = "nginx"
            var other = Sample.ingress("other", host: "other.example.com")
            other.spec?.ingressClassName = "traefik"
            try await world.create(other)
            try await expose(world, served)
            try await eventually("an Event is on the Ingress") { try await !world.eventReasons(of: "my-app").isEmpty }
            for ingress in [served, other] {
                let found = try await world.client.get(Ingress.self, ingress.key)
                #expect(found.spec == ingress.spec)
                #expect(found.metadata.annotations == nil)
                #expect(found.metadata.labels == nil)
                #expect(found.metadata.generation == 1)
                #expect(found.status?.loadBalancer?.ingress == nil)
            }
            #expect(try await world.route("other") == nil)
            #expect(try await world.eventReasons(of: "other") == [])
        }
    }

    @Test("22: the agent's roles hold nothing that could be turned against the cluster")
    func leastPrivilege() throws {
        struct Role: Decodable {
            struct Rule: Decodable {
                var apiGroups: [String]?
                var resources: [String]?
                var verbs: [String]
            }
            var rules: [Rule]
        }
        let directory = IngressFixtureTests.directory.deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "manifests/agent")
        let files = FileManager.default.enumerator(at: directory, includingPropertiesForKeys: nil)?.allObjects ?? []
        var rules: [Role.Rule] = []
        for case let file as URL in files where file.pathExtension == "yaml" {
            for node in try Yams.compose_all(yaml: String(contentsOf: file, encoding: .utf8)) {
                guard ["ClusterRole", "Role"].contains(node["kind"]?.string) else { continue }
                rules += try YAMLDecoder().decode(Role.self, from: node).rules
            }
        }
        #expect(!rules.isEmpty)
        let allowed: Set<String> = [
            "ingresses", "ingresses/status", "services", "namespaces", "gatewayroutes", "gatewayroutes/status",
            "events",
            "leases",
            // With the component offline-pages alone.
            "configmaps",
        ]
        for rule in rules {
            #expect(Set(rule.resources ?? []).isSubset(of: allowed), "\(rule)")
            #expect(!rule.verbs.contains("*") && rule.apiGroups?.contains("*") == false, "\(rule)")
            if !Set(rule.resources ?? []).isDisjoint(with: ["ingresses", "services", "namespaces", "configmaps"]) {
                #expect(Set(rule.verbs).isSubset(of: ["get", "list", "watch"]), "\(rule)")
            }
        }
    }

    @Test("23: a person learns from kubectl what became of an Ingress")
    func visible() async throws {
        try await PipelineWorld.run { world in
            try await expose(world, Sample.ingress("my-app"))
            let status = try #require(try await world.route("my-app")?.status)
            for type in GatewayRoute.ConditionType.allCases {
                let condition = try #require(status.condition(type))
                #expect(condition.status == .true && !condition.message.isEmpty)
            }
            try await eventually("an Event says so") { try await !world.eventReasons(of: "my-app").isEmpty }
        }
    }
}
