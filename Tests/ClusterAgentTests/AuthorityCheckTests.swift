import ClusterAgent
import Foundation
import KubernetesAPI
import TestSupport
import Testing

@Suite("A Secret with backends' authorities that cannot be used", .timeLimit(.minutes(1)))
struct AuthorityCheckTests {
    private static let secret = ObjectKey(namespace: "default", name: "authority")
    private static let ingress = Sample.ingress(
        "my-app",
        annotations: [
            "gateway.pipeops.io/backend-protocol": "https", "gateway.pipeops.io/backend-ca-secret": "authority",
        ])

    private static func extraction(_ ingress: Ingress, services: [String] = ["my-app"]) throws -> IngressExtraction {
        IngressExtraction(ingress, settings: try Sample.extractionSettings()) { key in
            services.contains(key.name) ? Sample.service(key.name) : nil
        }
    }

    @Test("It is said in the condition and as an Event, the route stays, and the condition follows the Secret")
    func followed() async throws {
        let authority = try TestCertificates.made.get().authority
        try await PipelineWorld.run(configure: { settings in
            settings.authorityAges.good = .milliseconds(50)
            settings.authorityAges.bad = .milliseconds(50)
        }) { world in
            func message() async throws -> String {
                try await world.route("my-app")?.status?.condition(.resolvedRefs)?.message ?? ""
            }
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(Self.ingress)
            try await world.expect("my-app", .resolvedRefs, "InvalidCACertificateRef")
            #expect(try await message().contains("Secret default/authority does not exist"))
            try await world.expect("my-app", .programmed, "Programmed")
            try await eventually("an Event says so") {
                try await world.eventReasons(of: "my-app").contains("InvalidCACertificateRef")
            }
            try await world.create(
                Secret(metadata: ObjectMeta(name: "authority", namespace: "default"), data: ["ca.crt": Data("no".utf8)])
            )
            try await eventually("what is in it is said") {
                try await message().contains("its ca.crt has no certificate in PEM")
            }
            try await world.client.delete(Secret.self, Self.secret)
            try await world.create(
                Secret(
                    metadata: ObjectMeta(name: "authority", namespace: "default"),
                    data: ["ca.crt": Data(authority.utf8)]))
            try await world.expect("my-app", .resolvedRefs, "ResolvedRefs")
            try await world.client.delete(Secret.self, Self.secret)
            try await world.expect("my-app", .resolvedRefs, "InvalidCACertificateRef")
        }
    }

    @Test("What the API server does not say, now, changes nothing; what it said is believed for a while")
    func unknown() async throws {
        let answers = CallCount()
        try await withScriptedServer { _, exchange in
            let isFirst = answers.next() == 1
            try await exchange.reply(
                isFirst ? 404 : 500,
                #"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "\#(isFirst ? "NotFound" : "InternalError")", "code": \#(isFirst ? 404 : 500)}"#
            )
        } _: { server in
            try await withClient(port: server.port) { client in
                var ages = AuthorityCheck.Ages()
                let patient = AuthorityCheck(client: client, ages: ages)
                let finding = await patient.finding(Self.secret)
                #expect(finding.problem == "Secret default/authority does not exist")
                #expect(finding.lookAgain == ages.bad)
                #expect(await patient.finding(Self.secret) == finding)
                #expect(server.requests.count == 1)
                ages.bad = .zero
                let hasty = AuthorityCheck(client: client, ages: ages)
                #expect(await hasty.finding(Self.secret).problem == nil)
                #expect(server.requests.count > 1)
            }
        }
    }

    @Test("Only a Secret that TLS may come to use is asked for")
    func named() throws {
        #expect(try Self.extraction(Self.ingress).authoritySecret == Self.secret)
        var plain = Self.ingress
        plain.metadata.annotations?["gateway.pipeops.io/backend-protocol"] = "http"
        #expect(try Self.extraction(plain).authoritySecret == nil)
        var unverified = Self.ingress
        unverified.metadata.annotations?["gateway.pipeops.io/backend-tls-verify"] = "false"
        #expect(try Self.extraction(unverified).authoritySecret == nil)
    }

    @Test("What is wrong with Services is said first")
    func both() throws {
        let ingress = Sample.ingress(
            "my-app", paths: ["/": "my-app", "/gone": "gone"], annotations: Self.ingress.metadata.annotations)
        var extraction = try Self.extraction(ingress)
        extraction.note(authorityProblem: "Secret default/authority does not exist")
        #expect(extraction.resolvedRefs.reason == .serviceNotFound)
        #expect(extraction.resolvedRefs.message.contains("gone"))
        #expect(extraction.resolvedRefs.message.contains("Secret default/authority does not exist"))
    }
}
