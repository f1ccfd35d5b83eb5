import ClusterAgent
import Foundation
import KubernetesAPI
import Routing
import TestSupport
import Testing

private let ours = "0a1b2c3d.gateway.pipeops.io"

@Suite("What status.loadBalancer of an Ingress should be")
struct IngressStatusPlanTests {
    private let address = Ingress.LoadBalancerIngress(
        ip: "203.0.113.7", ports: [.init(port: 443, protocol: "TCP", error: "PortInUse")])
    private let name = Ingress.LoadBalancerIngress(hostname: "lb.example.com")
    private let own = Ingress.LoadBalancerIngress(hostname: ours)

    private func plan(_ current: [Ingress.LoadBalancerIngress], wanted: Bool) -> [Ingress.LoadBalancerIngress]? {
        IngressStatusPlan.entries(current: current, hostname: ours, wanted: wanted)
    }

    @Test("Our entry is added behind those of others, and removed from among them")
    func entries() {
        #expect(plan([], wanted: true) == [own])
        #expect(plan([address, name], wanted: true) == [address, name, own])
        #expect(plan([address, own, name], wanted: false) == [address, name])
        #expect(plan([own], wanted: false) == [])
    }

    @Test("Where the list is as it should be, there is nothing to write")
    func nothing() {
        #expect(plan([], wanted: false) == nil)
        #expect(plan([address], wanted: false) == nil)
        #expect(plan([own, address], wanted: true) == nil)
        #expect(plan([.init(hostname: ours.uppercased())], wanted: true) == nil)
    }

    @Test("The entry comes with Programmed, stays through what passes, and goes with what lasts")
    func wanted() {
        #expect(IngressStatusPlan.wanted(.programmed) == true)
        for reason in [ProgrammedReason.pending, .tunnelDown, .routeConflict] {
            #expect(IngressStatusPlan.wanted(reason) == nil)
        }
        for reason in [ProgrammedReason.clusterPublic, .hostnameConflict, .rejected, .syncDisabled, .noRoutes] {
            #expect(IngressStatusPlan.wanted(reason) == false)
        }
    }
}

@Suite("Writing status.loadBalancer of an Ingress")
struct IngressStatusWriterTests {
    /// The status of an Ingress as another controller writes it.
    private struct Foreign: Encodable {
        var status: Ingress.Status

        init(_ entries: [Ingress.LoadBalancerIngress]) {
            status = .init(loadBalancer: .init(ingress: entries))
        }
    }

    private let foreign = Ingress.LoadBalancerIngress(
        ip: "203.0.113.7", ports: [.init(port: 80, protocol: "TCP"), .init(port: 443, protocol: "TCP", error: "Busy")])
    private let own = Ingress.LoadBalancerIngress(hostname: ours)

    private func withIngress(
        _ body: (KubernetesClient, IngressStatusWriter, Ingress) async throws -> Void
    ) async throws {
        try await TestCluster.run { client in
            let created = try await client.create(Self.bare)
            try await body(client, try Self.writer(client), created)
        }
    }

    private static var bare: Ingress {
        var ingress = Sample.ingress("my-app")
        ingress.metadata = ObjectMeta(name: "my-app", namespace: "default")
        return ingress
    }

    private static func writer(_ client: KubernetesClient) throws -> IngressStatusWriter {
        IngressStatusWriter(client: client, hostname: try Hostname(ours), logger: .silent)
    }

    private func read(_ client: KubernetesClient) async throws -> Ingress {
        try await client.get(Ingress.self, Sample.key("my-app"))
    }

    private func entries(_ client: KubernetesClient) async throws -> [Ingress.LoadBalancerIngress] {
        try await read(client).status?.loadBalancer?.ingress ?? []
    }

    private func write(_ client: KubernetesClient, _ entries: [Ingress.LoadBalancerIngress]) async throws {
        _ = try await client.patch(
            Ingress.self, Sample.key("my-app"), merge: Foreign(entries), subresource: "status", fieldManager: "nginx")
    }

    @Test("Our entry comes and goes, the entries of another controller stay as they are, and so does the rest")
    func foreignEntries() async throws {
        try await withIngress { client, writer, created in
            try await write(client, [foreign])
            try await writer.reconcile(try await read(client), programmed: true)
            #expect(try await entries(client) == [foreign, own])
            #expect(try await read(client).spec == created.spec)
            #expect(try await read(client).metadata.generation == created.metadata.generation)
            try await writer.reconcile(try await read(client), programmed: false)
            #expect(try await entries(client) == [foreign])
        }
    }

    @Test("An Ingress that somebody has changed since it was read is read again, and nothing of the change is lost")
    func conflict() async throws {
        try await withIngress { client, writer, stale in
            try await write(client, [foreign])
            try await writer.reconcile(stale, programmed: true)
            #expect(try await entries(client) == [foreign, own])
            // The cache may show a state from before our own write, too.
            try await writer.reconcile(stale, programmed: true)
            #expect(try await entries(client) == [foreign, own])
        }
    }

    @Test("An Ingress that is as it should be costs no write")
    func noWrites() async throws {
        try await withIngress { client, writer, created in
            try await writer.reconcile(created, programmed: false)
            try await writer.reconcile(created, programmed: true)
            let written = try await read(client)
            #expect(written.metadata.resourceVersion != created.metadata.resourceVersion)
            for _ in 1...3 { try await writer.reconcile(written, programmed: true) }
            #expect(try await read(client).metadata.resourceVersion == written.metadata.resourceVersion)
        }
    }

    @Test("An Ingress that is gone, or is another one by now, is left alone")
    func gone() async throws {
        try await withIngress { client, writer, created in
            try await client.delete(Ingress.self, created.key)
            try await writer.reconcile(created, programmed: true)
            _ = try await client.create(Self.bare)
            try await writer.reconcile(created, programmed: true)
            #expect(try await entries(client) == [])
        }
    }

    @Test("The write is conditional, and given up to the work queue's backoff where it never succeeds")
    func endlessConflict() async throws {
        let object = #"{"metadata":{"name":"my-app","namespace":"default","uid":"u","resourceVersion":"7"}}"#
        let conflict = #"{"kind":"Status","apiVersion":"v1","status":"Failure","code":409,"reason":"Conflict"}"#
        try await withScriptedServer { request, exchange in
            try await exchange.reply(request.method == "GET" ? 200 : 409, request.method == "GET" ? object : conflict)
        } _: { server in
            let error = try await withClient(port: server.port, options: .init()) { client in
                var ingress = Self.bare
                ingress.metadata.uid = "u"
                ingress.metadata.resourceVersion = "6"
                let writer = try Self.writer(client)
                return await #expect(throws: KubernetesError.self) {
                    try await writer.reconcile(ingress, programmed: true)
                }
            }
            #expect(error?.kind == .conflict)
            let patches = server.requests.filter { $0.method == "PATCH" }
            #expect(patches.count == 5)
            let first = try #require(patches.first)
            #expect(first.path == "/apis/networking.k8s.io/v1/namespaces/default/ingresses/my-app/status")
            #expect("\(first.headers)".contains("application/merge-patch+json"))
            #expect(
                try JSONDecoder().decode(PatchBody.self, from: Data(first.body.utf8))
                    == PatchBody(
                        metadata: ["resourceVersion": "6"], status: .init(loadBalancer: .init(ingress: [own]))))
            #expect(patches.last?.body.contains(#""resourceVersion":"7""#) == true)
        }
    }

    private struct PatchBody: Decodable, Equatable {
        var metadata: [String: String]
        var status: Ingress.Status
    }
}
