import Foundation
import KubernetesAPI
import Testing

@testable import EdgeGateway

@Suite("Which domains get a certificate, and until when")
struct DomainCertificatePlanTests {
    private static let start = Date(timeIntervalSince1970: 1_700_000_000)
    private static let hour: TimeInterval = 3600

    private func settings(_ most: Int = 100) throws -> DomainCertificatePlan.Settings {
        .init(namespace: "gateways", issuer: try #require(IssuerReference("letsencrypt")), mostPerCluster: most)
    }

    private func plan(
        _ domains: [String], _ existing: [DomainCertificate], at hours: Double = 0, most: Int = 100,
        cluster: String = "a"
    ) throws -> DomainCertificatePlan {
        DomainCertificatePlan(
            domains: domains.map { .init(name: $0, cluster: cluster) }, existing: existing,
            settings: try settings(most), now: Self.start + hours * Self.hour)
    }

    private func certificate(_ domain: String, servedAt hours: Double? = 0) throws -> DomainCertificate {
        var made = DomainCertificate(
            domain: domain, cluster: "a", namespace: "gateways", issuer: try settings().issuer,
            servedAt: Self.start + (hours ?? 0) * Self.hour)
        if hours == nil { made.metadata.annotations?[DomainCertificate.servedAtAnnotation] = nil }
        return made
    }

    @Test("a new one is asked for as it is to be, in a Secret that the gateway takes certificates from")
    func new() throws {
        guard case .apply(let made, isNew: true)? = try plan(["shop.example.com"], []).changes.first else {
            Issue.record("nothing is applied")
            return
        }
        #expect(made.key == ObjectKey(namespace: "gateways", name: "domain.shop.example.com"))
        #expect(made.spec?.dnsNames == ["shop.example.com"])
        #expect(made.spec?.secretName == "domain.shop.example.com")
        #expect(made.spec?.issuerRef == IssuerReference("ClusterIssuer/letsencrypt"))
        #expect(made.spec?.secretTemplate?.labels == ["gateway.pipeops.io/certificate": "true"])
        #expect(made.metadata.labels == ["app.kubernetes.io/managed-by": "pipeops-gateway"])
        #expect(made.servedAt == Self.start)
    }

    @Test("one that is there is left alone, until its note is an hour old, or another issuer is to issue it")
    func existing() throws {
        let there = try certificate("shop.example.com")
        #expect(try plan(["shop.example.com"], [there], at: 0.9).changes == [])
        let noted = try certificate("shop.example.com", servedAt: 1)
        #expect(try plan(["shop.example.com"], [there], at: 1).changes == [.apply(noted, isNew: false)])
        var labelled = there
        labelled.spec?.secretTemplate?.labels["team"] = "shop"
        #expect(try plan(["shop.example.com"], [labelled]).changes == [])
        var other = there
        other.spec?.issuerRef = try #require(IssuerReference("Issuer/staging"))
        #expect(try plan(["shop.example.com"], [other]).changes == [.apply(there, isNew: false)])
    }

    @Test("one whose domain nobody serves is deleted after a day, and not by a gateway that has just started")
    func gone() throws {
        let there = try certificate("shop.example.com")
        #expect(try plan([], [there], at: 23.9).changes == [])
        #expect(try plan([], [there], at: 24).changes == [.delete(there)])
        let settling = DomainCertificatePlan(
            domains: [], existing: [there], mayDelete: false, settings: try settings(),
            now: Self.start + 100 * Self.hour)
        #expect(settling.changes == [])
        // Another gateway has noted meanwhile that it serves it.
        #expect(try plan([], [certificate("shop.example.com", servedAt: 23)], at: 24).changes == [])
        // Its note is lost: the time runs from now.
        let unnoted = try certificate("shop.example.com", servedAt: nil)
        let noted = try certificate("shop.example.com", servedAt: 5)
        #expect(try plan([], [unnoted], at: 5).changes == [.apply(noted, isNew: false)])
        var person = unnoted
        person.metadata.name = "my-own"
        #expect(try plan([], [person], at: 5).changes == [])
        var leaving = there
        leaving.metadata.deletionTimestamp = Self.start
        #expect(try plan([], [leaving], at: 48).changes == [])
    }

    @Test("a cluster has so many and no more, and who has one keeps it")
    func limit() throws {
        let there = try certificate("z.example.com")
        let plan = try plan(["a.example.com", "b.example.com", "z.example.com"], [there], most: 2)
        #expect(plan.changes == [.apply(try certificate("a.example.com"), isNew: true)])
        #expect(plan.leftOut == ["a": 1])
    }

    @Test("those of domains that are gone count for as long as they are kept, for their own cluster")
    func churn() throws {
        let gone = [try certificate("x.example.com"), try certificate("y.example.com")]
        let plan = try plan(["a.example.com"], gone, most: 2)
        #expect(plan.changes == [])
        #expect(plan.leftOut == ["a": 1])
        #expect(try self.plan(["a.example.com"], gone, most: 2, cluster: "b").changes.count == 1)
        #expect(try self.plan(["a.example.com", "x.example.com"], gone, most: 3).changes.count == 1)
    }

    @Test("a name that is too long for an object's has a digest in its place")
    func longName() throws {
        let label = String(repeating: "a", count: 60)
        let long = [label, label, label, label, "example.co"].joined(separator: ".")
        #expect(long.count > 246)
        let name = DomainCertificate.name(of: long)
        #expect(name.count == 63 && ObjectNames.isSubdomain(name))
        #expect(name != DomainCertificate.name(of: "b" + long.dropFirst()))
    }

    @Test(
        "an issuer is a name, or a kind and a name",
        arguments: [
            ("a", "ClusterIssuer"), ("ClusterIssuer/a", "ClusterIssuer"), ("Issuer/a", "Issuer"), ("", nil), ("A", nil),
            ("Secret/a", nil), ("Issuer/a/b", nil), ("Issuer/", nil),
        ])
    func issuer(text: String, kind: String?) { #expect(IssuerReference(text)?.kind == kind) }
}
