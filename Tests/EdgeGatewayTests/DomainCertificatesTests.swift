import Foundation
import KubernetesAPI
import Synchronization
import Telemetry
import TestSupport
import Testing

@testable import EdgeGateway

/// `apiextensions.k8s.io/v1` CustomResourceDefinition of cert-manager's Certificates, as far as they are used.
private struct CertificateDefinition: KubernetesResource {
    static let definition = ResourceDefinition(
        group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions",
        kind: "CustomResourceDefinition", namespaced: false)

    var metadata: ObjectMeta
    var spec: OpaqueJSON

    static func made() throws -> Self {
        let text = #"""
            {"metadata": {"name": "certificates.cert-manager.io"}, "spec": {
                "group": "cert-manager.io", "scope": "Namespaced",
                "names": {"plural": "certificates", "singular": "certificate", "kind": "Certificate", "listKind": "CertificateList"},
                "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "required": ["issuerRef", "secretName"], "properties": {
                            "dnsNames": {"type": "array", "items": {"type": "string"}},
                            "secretName": {"type": "string"},
                            "issuerRef": {"type": "object", "required": ["name"], "properties": {
                                "name": {"type": "string"}, "kind": {"type": "string"}, "group": {"type": "string"}}},
                            "privateKey": {"type": "object", "properties": {
                                "algorithm": {"type": "string", "enum": ["RSA", "ECDSA", "Ed25519"]},
                                "size": {"type": "integer"},
                                "rotationPolicy": {"type": "string", "enum": ["Never", "Always"]}}},
                            "secretTemplate": {"type": "object", "properties": {
                                "labels": {"type": "object", "additionalProperties": {"type": "string"}}}}}},
                        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}]}}
            """#
        return try JSONDecoder().decode(Self.self, from: Data(text.utf8))
    }
}

@Suite("Certificates for users' own domains, against an API server", .timeLimit(.minutes(2)))
struct DomainCertificatesTests {
    private func withCertificates(
        defines: Bool = true, _ body: @escaping @Sendable (Bench) async throws -> Void
    ) async throws {
        try await TestCluster.run { client in
            if defines {
                _ = try await client.create(CertificateDefinition.made())
                try await eventually("the custom resource is served") {
                    (try? await client.list(DomainCertificate.self)) != nil
                }
            }
            try await body(Bench(client))
        }
    }

    private final class Bench: Sendable {
        let client: KubernetesClient
        let domains = Mutex<[DomainCertificatePlan.Domain]>([])
        let now = Mutex(Date(timeIntervalSince1970: 1_700_000_000))
        let log = LogRecorder()
        let metrics = PrometheusRegistry()

        init(_ client: KubernetesClient) { self.client = client }

        func serve(_ names: String...) {
            domains.withLock { $0 = names.map { .init(name: $0, cluster: "cluster-a") } }
        }

        func pass(hours: Double) { now.withLock { $0 += hours * 3600 } }

        func service() throws -> DomainCertificates {
            let issuer = try #require(IssuerReference("letsencrypt"))
            return DomainCertificates(
                client: client, settings: .init(namespace: "default", issuer: issuer), interval: .milliseconds(10),
                settlingTime: 3600,
                domains: { self.domains.withLock { $0 } }, factory: metrics, now: { self.now.withLock { $0 } },
                logger: log.logger("domains"))
        }

        func names() async throws -> [String] {
            try await client.list(DomainCertificate.self).items.compactMap(\.spec?.dnsNames.first).sorted()
        }

        func secret(_ name: String) async throws -> Bool {
            do {
                _ = try await client.get(Secret.self, ObjectKey(namespace: "default", name: name))
                return true
            } catch let error as KubernetesError where error.kind == .notFound {
                return false
            }
        }
    }

    @Test("each domain gets one, which goes with its Secret a day after the domain; two gateways do no harm")
    func life() async throws {
        try await withCertificates { bench in
            let (one, other) = try (bench.service(), bench.service())
            try await withRunning(one.run) {
                try await withRunning(other.run) {
                    bench.serve("shop.example.com", "blog.example.com")
                    try await eventually("both have one") {
                        try await bench.names() == ["blog.example.com", "shop.example.com"]
                    }
                    // As cert-manager does.
                    _ = try await bench.client.create(
                        Secret(
                            metadata: ObjectMeta(name: "domain.blog.example.com", namespace: "default"),
                            type: Secret.tlsType, data: ["tls.crt": Data("c".utf8), "tls.key": Data("k".utf8)]))
                    try await eventually("they are counted") {
                        bench.metrics.exposition().contains("gateway_domain_certificates 2\n")
                    }
                    bench.serve("shop.example.com")
                    bench.pass(hours: 23)
                    try await eventually("the other's note is new") {
                        let all = try await bench.client.list(DomainCertificate.self).items
                        return all.contains { $0.servedAt == bench.now.withLock { $0 } }
                    }
                    #expect(try await bench.names().count == 2)
                    bench.pass(hours: 1)
                    try await eventually("it is gone") { try await bench.names() == ["shop.example.com"] }
                    try await eventually("its Secret, too") {
                        try await !bench.secret("domain.blog.example.com")
                    }
                }
            }
            #expect(Set(bench.log.lines("Certificate requested").compactMap { $0.fields["host"] }).count == 2)
            #expect(bench.log.lines("Certificate deleted, its domain is gone").count >= 1)
        }
    }

    @Test("one of somebody else's making is not overwritten, and the log says which")
    func foreign() async throws {
        try await withCertificates { bench in
            var foreign = DomainCertificate(
                domain: "shop.example.com", cluster: "cluster-b", namespace: "default",
                issuer: try #require(IssuerReference("Issuer/another")), servedAt: .distantPast)
            foreign.metadata.labels = nil
            _ = try await bench.client.create(foreign)
            bench.serve("shop.example.com")
            try await withRunning(bench.service().run) {
                try await eventually("it is told") {
                    bench.log.lines("Certificate of a domain not brought in line, tried again in a minute").contains {
                        $0.fields["certificate"] == "default/domain.shop.example.com"
                    }
                }
            }
            let there = try await bench.client.get(DomainCertificate.self, foreign.key)
            #expect(there.spec?.issuerRef.name == "another")
        }
    }
}

@Suite("Solvers of challenges")
struct ChallengeSolversTests {
    static let path = "/.well-known/acme-challenge/token-1"

    /// As cert-manager makes one.
    static func ingress(
        _ name: String = "cm-acme-http-solver-x", host: String = "shop.example.com", path: String = path
    )
        -> Ingress
    {
        Ingress(
            metadata: ObjectMeta(
                name: name, namespace: "default", labels: ["acme.cert-manager.io/http01-solver": "true"]),
            spec: .init(
                ingressClassName: "pipeops-gateway",
                rules: [
                    .init(
                        host: host,
                        http: .init(paths: [
                            .init(
                                path: path, pathType: "ImplementationSpecific",
                                backend: .init(service: .init(name: name, port: .init(number: 8089))))
                        ]))
                ]))
    }

    static func service(_ name: String = "cm-acme-http-solver-x", address: String? = "10.96.0.7") -> Service {
        Service(
            metadata: ObjectMeta(
                name: name, namespace: "default", labels: ["acme.cert-manager.io/http01-solver": "true"]),
            spec: .init(type: "NodePort", clusterIP: address, ports: [.init(name: "http", port: 8089)]))
    }

    @Test("answer for the host and path of their Ingress, where their Service is, and for nothing but challenges")
    func table() {
        func solvers(_ ingress: Ingress, _ service: Service?) -> [ChallengeTable.Key: ChallengeTable.Solver] {
            ChallengeSolvers.solvers([ingress]) { $0 == service?.key ? service : nil }
        }
        let found = solvers(Self.ingress(), Self.service())
        #expect(
            found == [.init(host: "shop.example.com", path: Self.path): .init(address: "10.96.0.7", port: 8089)])
        #expect(solvers(Self.ingress(), nil).isEmpty)
        #expect(solvers(Self.ingress(), Self.service(address: "None")).isEmpty)
        #expect(solvers(Self.ingress(path: "/admin"), Self.service()).isEmpty)
        for path in ["/", ChallengeTable.prefix, Self.path + "/../../admin", Self.path + "?a"] {
            #expect(solvers(Self.ingress(path: path), Self.service()).isEmpty)
        }
    }

    @Test("come and go with their objects")
    func watched() async throws {
        try await TestCluster.run { client in
            let table = ChallengeTable()
            let solvers = ChallengeSolvers(client: client, namespace: "default", table: table, logger: .silent)
            try await withRunning(solvers.run) {
                _ = try await client.create(Self.ingress())
                _ = try await client.create(Self.service(address: nil))
                try await eventually("it is in the table") {
                    table.solver(host: "shop.example.com", path: Self.path)?.port == 8089
                }
                #expect(table.solver(host: "other.example.com", path: Self.path) == nil)
                #expect(table.solver(host: "shop.example.com", path: Self.path + "x") == nil)
                try await client.delete(Ingress.self, Self.ingress().key)
                try await eventually("it is gone") { table.solver(host: "shop.example.com", path: Self.path) == nil }
            }
            try await table.shutdown()
        }
    }
}
