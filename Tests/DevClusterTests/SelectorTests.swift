import DevCluster
import Testing

@Suite("Selectors")
struct SelectorTests {
    @Test("Labels are selected in lists, and a selector that cannot be read is a bad request")
    func labelSelectors() {
        var cluster = PureCluster()
        for (name, labels) in [("a", ["app": "web"]), ("b", ["app": "db"]), ("c", [:])] as [(String, JSONValue)] {
            cluster.call(
                "POST", PureCluster.configMaps, ["metadata": ["name": .string(name), "labels": labels]])
        }
        func names(_ selector: String) -> [String] {
            let list = cluster.call("GET", "\(PureCluster.configMaps)?labelSelector=\(selector)").document
            return list.list("items").map { $0.text("metadata", "name") }
        }
        #expect(names("app%3Dweb") == ["a"])
        #expect(names("app%20notin%20(web)") == ["b", "c"])
        #expect(names("!app") == ["c"])
        let (code, status) = cluster.call("GET", "\(PureCluster.configMaps)?labelSelector=a%20in%20b")
        #expect(code == 400)
        #expect(status.text("message").contains("at character 6 has \"b\""))
    }

    @Test("Fields are selected where the type allows it, and refused otherwise")
    func fieldSelectors() throws {
        let catalog = ResourceCatalog()
        let events = try #require(catalog.resource(group: "", version: "v1", plural: "events"))
        let selector = try FieldSelector("involvedObject.name=a,type!=Warning", resource: events)
        #expect(selector.matches(["involvedObject": ["name": "a"], "type": "Normal"]))
        #expect(!selector.matches(["involvedObject": ["name": "a"], "type": "Warning"]))
        #expect(throws: APIStatus.badRequest("field label not supported: spec.x")) {
            try FieldSelector("spec.x=1", resource: events)
        }
    }
}
