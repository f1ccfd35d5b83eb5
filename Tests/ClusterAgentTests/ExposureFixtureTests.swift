import ClusterAgent
import Foundation
import KubernetesAPI
import Testing
import Yams

@Suite("What kind of cluster it is, and where requests go")
struct ExposureFixtureTests {
    static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/exposure")

    static var names: [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return files.filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(5)) }.sorted()
    }

    /// What the Services are at a time, and what follows from that.
    struct Step: Decodable {
        struct Expected: Decodable, Equatable {
            var type: ClusterType
            var reason: String
            var service: String?
            var lookAgainAt: Int?
            var target: String
            var targetReason: String
        }

        /// Seconds.
        var at: Int
        var services: [Service]
        var expect: Expected
    }

    struct Fixture: Decodable {
        /// What the setting `ingress-controller` says.
        var configured: String?
        var steps: [Step]
    }

    @Test("Every fixture gives what it says", arguments: names)
    func fixture(name: String) throws {
        let file = Self.directory.appending(path: "\(name).yaml")
        let fixture = try YAMLDecoder().decode(Fixture.self, from: String(contentsOf: file, encoding: .utf8))
        let configured = fixture.configured.map { text in
            let parts = text.split(separator: "/").map(String.init)
            return ObjectKey(namespace: parts[0], name: parts[1])
        }
        let search = IngressControllerSearch(configured: configured)
        var detector = ExposureDetector()
        for step in fixture.steps {
            let candidates = search.candidates(in: step.services)
            let action = detector.observe(now: .seconds(step.at), services: candidates.map(\.service))
            let choice = IngressControllerChoice(candidates)
            let found = Step.Expected(
                type: action.finding.clusterType, reason: action.finding.reason.rawValue,
                service: action.finding.service?.description,
                lookAgainAt: action.lookAgainAt.map { Int($0 / .seconds(1)) },
                target: choice?.service.description ?? "Service",
                targetReason: (choice?.reason ?? search.reasonForNone).rawValue)
            #expect(found == step.expect, "\(name) at \(step.at) s")
        }
    }

    @Test("There is a fixture for every known name and label")
    func complete() throws {
        let all = try Self.names.map {
            try String(contentsOf: Self.directory.appending(path: "\($0).yaml"), encoding: .utf8)
        }.joined()
        for key in KnownIngressControllers.services {
            #expect(all.contains("namespace: \(key.namespace), name: \(key.name),"), "\(key)")
        }
        for labels in KnownIngressControllers.labels {
            let name = try #require(labels["app.kubernetes.io/name"])
            #expect(all.contains("app.kubernetes.io/name: \(name)"), "\(name)")
        }
    }
}
