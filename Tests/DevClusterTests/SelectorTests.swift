import DevCluster
import Testing

@Suite("Selectors")
struct SelectorTests {
    private let labels: [String: JSONValue] = ["app": "web", "tier": "front", "n": "5"]

    @Test(
        "Labels are selected by equality and by sets",
        arguments: [
            ("", true), ("app=web", true), ("app==web,tier=front", true), ("app=db", false), ("app!=db", true),
            ("missing!=x", true), ("app in (web, db)", true), ("app notin (web)", false), ("missing notin (a)", true),
            ("app", true), ("!app", false), ("!missing", true), ("n>4", true), ("n<5", false),
            ("app in (web),tier!=back", true),
        ])
    func labelSelectors(text: String, selected: Bool) throws {
        #expect(try LabelSelector(text).matches(labels) == selected)
    }

    @Test(
        "A label selector that cannot be read is a bad request", arguments: ["a in b", "=x", "a in (b", "a ~ b", "n>x"])
    func malformed(text: String) {
        let status = #expect(throws: APIStatus.self) { try LabelSelector(text) }
        #expect(status?.code == 400)
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
