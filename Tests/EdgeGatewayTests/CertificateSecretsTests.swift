import Foundation
import KubernetesAPI
import Logging
import NIOSSL
import Telemetry
import TestSupport
import Testing

@testable import EdgeGateway

@Suite("Certificates from Secrets", .timeLimit(.minutes(2)))
struct CertificateSecretsTests {
    /// What takes certificates in, and those who issue them.
    private final class Bench: Sendable {
        let certificates: TestCertificates
        let store = CertificateStore()
        let log = LogRecorder()
        let registry = PrometheusRegistry()
        let intake: CertificateIntake

        init(_ sources: Set<CertificateIntake.Source> = [.secrets]) throws {
            certificates = try TestCertificates.made.get()
            intake = CertificateIntake(sources, store: store, factory: registry, logger: log.logger("certificates"))
        }

        func secrets(_ client: KubernetesClient) -> CertificateSecrets {
            CertificateSecrets(client: client, namespace: "default", intake: intake, logger: log.logger("secrets"))
        }

        var refusals: [String] { log.lines("Certificate refused").compactMap { $0.fields["error"] } }
        var names: [String] { log.lines("Certificate loaded").compactMap { $0.fields["certificate"] } }

        func series(_ name: String) -> [String] {
            registry.exposition().split(separator: "\n").map(String.init).filter { $0.hasPrefix(name + "{") }
        }

        func secret(
            _ name: String, _ pair: TestCertificates.Pair, type: String = Secret.tlsType,
            labels: [String: String] = [CertificateSecrets.label: "true"], isDefault: Bool = false
        ) -> Secret {
            Secret(
                metadata: ObjectMeta(
                    name: name, namespace: "default", labels: labels,
                    annotations: [
                        CertificateSecrets.defaultAnnotation: isDefault ? "true" : "false",
                        "kubectl.kubernetes.io/last-applied-configuration": pair.key,
                    ]),
                type: type, data: ["tls.crt": Data(pair.certificate.utf8), "tls.key": Data(pair.key.utf8)])
        }

        func pair(_ hosts: String..., until expires: Date = TestCertificates.inAnHour) throws -> TestCertificates.Pair {
            try certificates.server(for: hosts, until: expires)
        }
    }

    /// A change of what a Secret holds.
    private struct DataPatch: Encodable { var data: [String: Data] }
    private struct LabelPatch: Encodable {
        struct Metadata: Encodable { var labels: [String: String] }
        var metadata: Metadata
    }

    private func key(_ name: String) -> ObjectKey { ObjectKey(namespace: "default", name: name) }

    @Test("those with the label are served by name, wildcard and default; no other is, and no key is in any text")
    func served() async throws {
        let bench = try Bench()
        let secret = try bench.pair("exact.test")
        try await TestCluster.run { client in
            _ = try await client.create(bench.secret("exact", secret))
            _ = try await client.create(bench.secret("wild", bench.pair("*.apps.test")))
            _ = try await client.create(bench.secret("fallback", bench.pair("fallback.test"), isDefault: true))
            _ = try await client.create(bench.secret("unlabelled", bench.pair("unlabelled.test"), labels: [:]))
            _ = try await client.create(
                bench.secret("switched-off", bench.pair("off.test"), labels: [CertificateSecrets.label: "false"]))
            _ = try await client.create(bench.secret("opaque", bench.pair("opaque.test"), type: "Opaque"))
            let secrets = bench.secrets(client)
            #expect(secrets.reasons.count == 1)
            #expect(bench.store.context(for: nil) == nil)
            try await withRunning(secrets.run) {
                try await eventually("it is ready") { secrets.reasons.isEmpty }
                #expect(bench.names == ["default/exact", "default/fallback", "default/wild"])
                let byDefault = try #require(bench.store.context(for: "nobody.test"))
                #expect(bench.store.context(for: nil) === byDefault)
                #expect(bench.store.context(for: "fallback.test") === byDefault)
                for name in ["unlabelled.test", "off.test", "opaque.test", "x.exact.test"] {
                    #expect(bench.store.context(for: name) === byDefault, "\(name)")
                }
                let exact = try #require(bench.store.context(for: "exact.test"))
                let wild = try #require(bench.store.context(for: "one.apps.test"))
                #expect(exact !== wild && exact !== byDefault && wild !== byDefault)
            }
            #expect(bench.refusals == ["Secret default/opaque is of the type Opaque, not kubernetes.io/tls"])
        }
        let body = secret.key.split(separator: "\n").dropFirst().first.map(String.init) ?? "no key"
        var texts = bench.log.lines.map(\.description)
        let object = bench.secret("exact", secret)
        var dumped = ""
        dump(object, to: &dumped)
        texts += ["\(object)", String(reflecting: object), dumped]
        for text in texts { #expect(!text.contains(body) && !text.contains("PRIVATE KEY")) }
    }

    @Test("a change is taken in; what is broken leaves what was before and is told; what is gone, or unlabelled, goes")
    func reload() async throws {
        let bench = try Bench()
        let expiry = "gateway_certificate_expiry_timestamp_seconds"
        try await TestCluster.run { client in
            let first = try bench.pair("a.test", until: Date(timeIntervalSince1970: 4_000_000_000))
            _ = try await client.create(bench.secret("a", first))
            _ = try await client.create(bench.secret("b", bench.pair("b.test")))
            try await withRunning(bench.secrets(client).run) {
                try await eventually("both are served") { bench.series(expiry).count == 2 }
                #expect(bench.series(expiry).contains(#"\#(expiry){certificate="default/a"} 4000000000"#))
                let a = try #require(bench.store.context(for: "a.test"))

                let renewed = try bench.pair("new.test", until: Date().addingTimeInterval(20 * 86_400 + 60))
                _ = try await client.apply(bench.secret("b", renewed), fieldManager: "tests", force: true)
                try await eventually("b is another") { bench.store.context(for: "new.test") != nil }
                #expect(bench.store.context(for: "b.test") == nil)
                #expect(bench.store.context(for: "a.test") === a, "what has not changed keeps its sessions")
                try await eventually("its end is told") {
                    bench.log.lines("Certificate expires soon").contains {
                        $0.level == .warning && $0.fields["certificate"] == "default/b" && $0.fields["days"] == "20"
                    }
                }

                for (part, content, problem) in [
                    ("tls.crt", Data("broken".utf8), "tls.crt of Secret default/a has no certificate in PEM"),
                    ("tls.crt", Data(), "tls.crt of Secret default/a is missing or empty"),
                    ("tls.crt", Data(renewed.certificate.utf8), "tls.key of Secret default/a is not the key"),
                ] {
                    _ = try await client.patch(Secret.self, key("a"), merge: DataPatch(data: [part: content]))
                    try await eventually("\(problem)") { bench.refusals.contains { $0.hasPrefix(problem) } }
                    #expect(bench.store.context(for: "a.test") === a)
                }
                #expect(bench.log.lines("Certificate refused").allSatisfy { $0.fields["instead"] == "the one before" })
                #expect(
                    bench.series("gateway_certificate_reloads_total").contains {
                        $0.contains("error") && $0.hasSuffix(" 3")
                    })

                let off = LabelPatch(metadata: .init(labels: [CertificateSecrets.label: "off"]))
                _ = try await client.patch(Secret.self, key("a"), merge: off)
                try await eventually("a is gone") { bench.store.context(for: "a.test") == nil }
                try await eventually("and its series") { bench.series(expiry).count == 1 }
                try await client.delete(Secret.self, key("b"))
                try await eventually("b is gone") { bench.store.context(for: "new.test") == nil }
                try await eventually("it is told that there is none") {
                    bench.log.lines("No certificates, TLS is refused").count == 1
                }
            }
        }
    }

    @Test("another default takes over without its connections' context being made anew")
    func otherDefault() async throws {
        let bench = try Bench()
        try await TestCluster.run { client in
            let pair = try bench.pair("a.test")
            _ = try await client.create(bench.secret("a", pair))
            try await withRunning(bench.secrets(client).run) {
                try await eventually("it is served") { bench.store.context(for: "a.test") != nil }
                let context = bench.store.context(for: "a.test")
                #expect(bench.store.context(for: "other.test") == nil)
                _ = try await client.apply(bench.secret("a", pair, isDefault: true), fieldManager: "tests", force: true)
                try await eventually("it is the default") { bench.store.context(for: "other.test") != nil }
                #expect(bench.store.context(for: "other.test") === context)
            }
        }
    }

    @Test("no more is asked of the API server than the labelled Secrets of the one namespace")
    func request() async throws {
        let bench = try Bench()
        let page = #"{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#
        try await withScriptedServer { request, exchange in
            if request.query["sendInitialEvents"] == "true" { return try await exchange.reply(400, "{}") }
            if request.isWatch {
                try await exchange.begin()
                return try await exchange.hold()
            }
            try await exchange.reply(200, page)
        } _: { server in
            try await withClient(port: server.port) { client in
                try await withRunning(bench.secrets(client).run) {
                    try await eventually("it watches") {
                        server.requests.contains { $0.isWatch && $0.query["sendInitialEvents"] == nil }
                    }
                }
            }
            #expect(server.requests.count >= 3)
            for request in server.requests {
                #expect(request.method == "GET")
                #expect(request.path == "/api/v1/namespaces/default/secrets")
                #expect(request.query["labelSelector"] == "gateway.pipeops.io/certificate=true")
            }
        }
    }

    @Test("beside a directory: that there is none is said once both are heard, and neither loses what the other has")
    func bothSources() throws {
        let bench = try Bench([.directory, .secrets])
        bench.intake.replace(with: [], from: .directory)
        #expect(bench.log.lines("No certificates, TLS is refused").isEmpty)
        bench.intake.change([], gone: [], from: .secrets)
        #expect(bench.log.lines("No certificates, TLS is refused").count == 1)
        let offer = CertificateOffer(bench.secret("a", try bench.pair("a.test")))
        bench.intake.change([offer], gone: [], from: .secrets)
        bench.intake.replace(with: [], from: .directory)
        #expect(bench.store.context(for: "a.test") != nil)
        bench.intake.change([], gone: ["default/a"], from: .secrets)
        #expect(bench.store.context(for: "a.test") == nil)
    }

    @Test("ends are told as time passes, not only when something changes")
    func passingTime() async throws {
        let log = LogRecorder()
        let clock = ManualClock()
        let start = Date()
        let intake = CertificateIntake(
            [.secrets], store: CertificateStore(), interval: .milliseconds(2),
            now: { start.addingTimeInterval(clock.now.offset / .seconds(1)) },
            factory: PrometheusRegistry(), logger: log.logger("certificates"))
        let bench = try Bench()
        let pair = try bench.pair("a.test", until: Date().addingTimeInterval(40 * 86_400))
        intake.change([CertificateOffer(bench.secret("a", pair))], gone: [], from: .secrets)
        #expect(log.lines("Certificate expires soon").isEmpty)
        try await withRunning(intake.run) {
            clock.advance(by: .seconds(20 * 86_400))
            try await eventually("it is told") { log.lines("Certificate expires soon").count == 1 }
        }
    }
}
