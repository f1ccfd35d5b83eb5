import ClusterAgent
import Foundation
import KubernetesAPI
import Testing
import Yams

@Suite("crds/gatewayroutes.yaml")
struct CustomResourceDefinitionTests {
    static func definition() throws -> Node {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "crds/gatewayroutes.yaml")
        return try #require(try Yams.compose(yaml: String(contentsOf: file, encoding: .utf8)))
    }

    static func version() throws -> Node { try #require(try definition()["spec"]?["versions"]?[0]) }

    static func schema() throws -> Node { try #require(try version()["schema"]?["openAPIV3Schema"]) }

    /// `maxLength` of a condition's message.
    static func longestMessage() throws -> Int {
        let conditions = try schema()["properties"]?["status"]?["properties"]?["conditions"]
        return try #require(conditions?["items"]?["properties"]?["message"]?["maxLength"]?.int)
    }

    @Test("Names are those of the type in the code")
    func names() throws {
        let spec = try #require(try Self.definition()["spec"])
        let ours = GatewayRoute.definition
        #expect(spec["group"]?.string == ours.group)
        #expect(spec["names"]?["plural"]?.string == ours.plural)
        #expect(spec["names"]?["kind"]?.string == ours.kind)
        #expect(spec["names"]?["shortNames"]?.array().map(\.string) == ["gwr"])
        #expect(spec["names"]?["categories"]?.array().map(\.string) == ["pipeops", "gateway"])
        #expect(try Self.version()["name"]?.string == ours.version)
        #expect(try Self.version()["subresources"]?["status"] != nil)
        #expect(try Self.definition()["metadata"]?["name"]?.string == "\(ours.plural).\(ours.group)")
    }

    @Test("Every field that the code writes is in the schema, so that nothing is pruned")
    func fields() throws {
        let written = try GatewayRoutePlanTests.written(try GatewayRoutePlanTests.plan { $0.revision = 7 })
        let data = try KubernetesJSON.encoder.encode(written)
        let object = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        for part in ["spec", "status"] {
            let schema = try #require(try Self.schema()["properties"]?[part])
            Self.check(try #require(object[part]), schema, at: part)
        }
    }

    private static func check(_ value: Any, _ schema: Node, at path: String) {
        if let fields = value as? [String: Any] {
            for (name, field) in fields {
                guard let property = schema["properties"]?[name] else {
                    Issue.record("\(path).\(name) is not in the schema")
                    continue
                }
                check(field, property, at: "\(path).\(name)")
            }
        } else if let items = value as? [Any] {
            guard let schema = schema["items"] else {
                Issue.record("\(path) has no items in the schema")
                return
            }
            for item in items { check(item, schema, at: "\(path)[]") }
        }
    }

    @Test("Every field says what it is")
    func descriptions() throws {
        func check(_ schema: Node, at path: String) {
            for (name, property) in schema["properties"]?.mapping ?? [:] {
                let field = "\(path).\(name.string ?? "")"
                if field != ".metadata" { #expect(property["description"]?.string?.hasSuffix(".") == true, "\(field)") }
                check(property, at: field)
                if let items = property["items"] { check(items, at: "\(field)[]") }
            }
        }
        check(try Self.schema(), at: "")
    }

    @Test("The columns are those that kubectl is to show")
    func columns() throws {
        let columns = try Self.version()["additionalPrinterColumns"]?.array() ?? []
        let shown = columns.filter { ($0["priority"]?.int ?? 0) == 0 }.map { $0["name"]?.string }
        let wide = columns.filter { ($0["priority"]?.int ?? 0) == 1 }.map { $0["name"]?.string }
        #expect(shown == ["Cluster Type", "Hosts", "Routes", "Programmed", "Age"])
        #expect(wide == ["Reason", "Target"])
    }
}
