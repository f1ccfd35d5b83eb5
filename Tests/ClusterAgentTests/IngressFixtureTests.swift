import ClusterAgent
import Foundation
import KubernetesAPI
import Routing
import Testing
import Yams

@Suite("What becomes of an Ingress")
struct IngressFixtureTests {
    static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/ingress")

    static var names: [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return files.filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(5)) }.sorted()
    }

    struct Expected: Decodable {
        struct ExpectedRoute: Decodable, Hashable {
            var host: String
            var path: String
            var pathType: String
            var service: String
            var port: Int
            var tls: Bool
            var target: String
        }

        /// The name of the Ingress, where the fixture has several.
        var ingress: String?
        /// Absent for true. Nothing else is said of an Ingress that is not selected.
        var selected: Bool?
        var routes: [ExpectedRoute]?
        var accepted: String?
        var resolvedRefs: String?
        /// Once the gateway has accepted everything it was sent; absent for `Programmed`, or `NoRoutes` without routes.
        var programmed: String?
        var hosts: [String]?
        var messages: [String]?
        var annotations: [String: String]?
    }

    struct Selection: Decodable {
        var classes: [String]?
        var selector: String?
        var namespaces: [String]?
    }

    struct Fixture {
        var selection = IngressSelection.all
        var ingresses: [Ingress] = []
        var services: [Service] = []
        var expected: [Expected] = []

        init(_ name: String) throws {
            let file = IngressFixtureTests.directory.appending(path: "\(name).yaml")
            for node in try Yams.compose_all(yaml: String(contentsOf: file, encoding: .utf8)) {
                let decoder = YAMLDecoder()
                switch node["kind"]?.string {
                case "Selection":
                    let given = try decoder.decode(Selection.self, from: node)
                    selection = IngressSelection(
                        classes: given.classes ?? [], selector: try given.selector.map { try LabelSelector($0) },
                        namespaces: given.namespaces ?? [])
                case "Ingress": ingresses.append(try decoder.decode(Ingress.self, from: node))
                case "Service": services.append(try decoder.decode(Service.self, from: node))
                case "Expected": expected.append(try decoder.decode(Expected.self, from: node))
                default: Issue.record("\(name): a document of unknown kind")
                }
            }
            try #require(!expected.isEmpty && expected.count == ingresses.count)
        }

        func ingress(of expected: Expected) throws -> Ingress {
            try #require(ingresses.first { expected.ingress == nil || $0.metadata.name == expected.ingress })
        }

        /// With what all selected Ingresses ask for, and the gateway's consent.
        func ledger() throws -> RouteLedger {
            var ledger = RouteLedger()
            _ = ledger.setPublication(.published)
            for ingress in ingresses where selection.includes(ingress) {
                let routes = try Sample.extract(ingress, services).routes
                _ = ledger.replace(ingress: ingress.key, createdAt: ingress.createdAt, with: routes)
            }
            _ = ledger.settle(ledger.routesInOrder.map { .init(route: $0, verdict: .accepted(revision: 1)) })
            return ledger
        }
    }

    @Test("There are fixtures to go by")
    func fixturesExist() { #expect(Self.names.count >= 60) }

    @Test("The fixture's routes, targets and conditions", arguments: Self.names)
    func fixture(_ name: String) throws {
        let fixture = try Fixture(name)
        for expected in fixture.expected {
            let ingress = try fixture.ingress(of: expected)
            #expect(fixture.selection.includes(ingress) == expected.selected ?? true)
            if fixture.selection.includes(ingress) { try check(expected, of: ingress, in: fixture) }
        }
    }

    private func check(_ expected: Expected, of ingress: Ingress, in fixture: Fixture) throws {
        let extraction = try Sample.extract(ingress, fixture.services)
        let routes = extraction.routes.map { extracted in
            Expected.ExpectedRoute(
                host: extracted.route.host.text, path: extracted.route.path,
                pathType: extracted.route.pathType.rawValue, service: extracted.route.service,
                port: extracted.route.port, tls: extracted.route.tls, target: extracted.target.endpoint.text)
        }
        #expect(routes == expected.routes)
        #expect(extraction.accepted.reason.rawValue == expected.accepted)
        #expect(extraction.accepted.isTrue == (expected.accepted == "Accepted"))
        #expect(extraction.resolvedRefs.reason.rawValue == expected.resolvedRefs)
        #expect(extraction.resolvedRefs.isTrue == (expected.resolvedRefs == "ResolvedRefs"))
        if let hosts = expected.hosts { #expect(extraction.hosts.map(\.text) == hosts) }

        let standing = try fixture.ledger().standing(
            of: ingress.key, createdAt: ingress.createdAt, routes: extraction.routes)
        let programmed = try GatewayRoutePlanTests.plan({ $0 = standing }, ingress: ingress).programmedVerdict
        let reason = expected.programmed ?? (routes.isEmpty ? "NoRoutes" : "Programmed")
        #expect(programmed.reason.rawValue == reason)
        #expect(programmed.isTrue == (reason == "Programmed"))
        for message in expected.messages ?? [] {
            let said = [extraction.accepted.message, extraction.resolvedRefs.message, programmed.message]
            #expect(said.contains { $0.contains(message) }, "\(said) says nothing of: \(message)")
        }
        for extracted in extraction.routes {
            #expect(extracted.route.annotations == expected.annotations ?? [:])
            #expect(extracted.route.namespace == ingress.metadata.namespace)
        }
    }
}

extension Ingress {
    fileprivate var createdAt: Date { metadata.creationTimestamp ?? .distantFuture }
}

@Suite("Limits of an Ingress")
struct IngressLimitTests {
    @Test("An annotation that would not fit a control message is left out, and the condition names it")
    func largeAnnotations() throws {
        let ingress = Sample.ingress(
            "my-app",
            annotations: [
                "nginx.ingress.kubernetes.io/configuration-snippet": String(repeating: "x", count: 20_000),
                "gateway.pipeops.io/idle-timeout": "1h",
            ])
        let extraction = try Sample.extract(ingress, [Sample.service("my-app")])
        #expect(extraction.routes.map(\.route.annotations) == [["gateway.pipeops.io/idle-timeout": "1h"]])
        #expect(extraction.accepted.message.contains("nginx.ingress.kubernetes.io/configuration-snippet"))
    }

    @Test("A path too long for a control message is refused by name")
    func longPath() throws {
        let ingress = Sample.ingress("my-app", paths: ["/" + String(repeating: "x", count: 5000): "my-app"])
        let extraction = try Sample.extract(ingress, [Sample.service("my-app")])
        #expect(extraction.routes.isEmpty)
        #expect(extraction.accepted.reason == .invalidPath)
    }

    @Test("Of hundreds of annotations that do not fit a few are named, and the rest counted")
    func manyLargeAnnotations() throws {
        let value = String(repeating: "x", count: AnnotationPolicy.maximumBytes)
        let annotations = Dictionary(uniqueKeysWithValues: (0..<700).map { ("gateway.pipeops.io/a\($0)", value) })
        let extraction = try Sample.extract(
            Sample.ingress("my-app", annotations: annotations), [Sample.service("my-app")])
        #expect(extraction.accepted.message.utf8.count < 1024)
        #expect(extraction.accepted.message.contains("and 695 more"))
    }

    @Test("What an Ingress quotes in full is cut to what a condition may hold")
    func longConditions() throws {
        let paths = Dictionary(
            uniqueKeysWithValues: (0..<5).map { ("\($0)" + String(repeating: "x", count: 9000), "s") })
        let plan = try GatewayRoutePlanTests.plan(ingress: Sample.ingress("my-app", paths: paths))
        #expect(plan.extraction.accepted.message.utf8.count > 45_000)
        let status = try #require(try GatewayRoutePlanTests.written(plan).status)
        let accepted = try #require(status.condition(.accepted))
        #expect(accepted.reason == "InvalidPath")
        #expect(try accepted.message.unicodeScalars.count == CustomResourceDefinitionTests.longestMessage())
    }

    @Test("A condition's message stays readable however much is wrong")
    func manyProblems() throws {
        let paths = Dictionary(uniqueKeysWithValues: (0..<500).map { ("/\($0)", "gone-\($0)") })
        let extraction = try Sample.extract(Sample.ingress("my-app", paths: paths), [])
        #expect(extraction.resolvedRefs.message.utf8.count < 1024)
        #expect(extraction.resolvedRefs.message.contains("and 495 more"))
    }

    @Test("The index of Services has every backend, also that of the default backend and one that is missing")
    func services() throws {
        var ingress = Sample.ingress("my-app", paths: ["/": "a", "/b": "b"])
        ingress.spec?.defaultBackend = .init(service: .init(name: "c", port: .init(number: 80)))
        let keys = IngressExtraction.services(namedBy: ingress)
        #expect(keys == [Sample.key("a"), Sample.key("b"), Sample.key("c")])
    }
}

extension ForwardTarget.Endpoint {
    /// `host:port`, IPv6 in brackets.
    var text: String {
        switch self {
        case .address(let ip, let port): ip.contains(":") ? "[\(ip)]:\(port)" : "\(ip):\(port)"
        case .name(let name, let port): "\(name):\(port)"
        }
    }
}
