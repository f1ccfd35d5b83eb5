import DevCluster
import Testing

@Suite("Server-side apply")
struct ServerSideApplyTests {
    private let shape = MergeShape.object([
        "metadata": .object(["finalizers": .set]),
        "spec": .object([
            "ports": .listMap(["port", "protocol"], defaults: ["protocol": "TCP"]), "atomic": .atomicMap,
        ]),
    ])

    private func manager(_ name: String) -> FieldManager {
        FieldManager(name: name, operation: .apply, apiVersion: "v1")
    }

    private func apply(
        _ object: JSONValue, by name: String, to live: ServerSideApply.Result, force: Bool = false, time: String = "t"
    ) throws -> ServerSideApply.Result {
        try ServerSideApply(manager: manager(name), force: force, shape: shape, scope: .exceptStatus)
            .apply(object, to: live.object, managedFields: live.managedFields, time: time)
    }

    private let nothing = ServerSideApply.Result(object: [:], managedFields: ManagedFields())

    @Test("What is applied is merged and owned")
    func ownership() throws {
        let result = try apply(["spec": ["a": 1, "b": ["c": 2]]], by: "x", to: nothing)
        #expect(result.object == ["spec": ["a": 1, "b": ["c": 2]]])
        let expected1: JSONValue = ["f:spec": ["f:a": [:], "f:b": ["f:c": [:]]]]
        #expect(result.managedFields.entries[manager("x")]?.fields.json == expected1)
    }

    @Test("Another value for somebody else's field conflicts, and names the field")
    func conflict() throws {
        let live = try apply(["spec": ["a": 1, "b": 1]], by: "x", to: nothing)
        let conflict = #expect(throws: ServerSideApply.Conflict.self) {
            try apply(["spec": ["a": 2, "b": 1]], by: "y", to: live)
        }
        #expect(conflict?.fields == [manager("x"): [".spec.a"]])
        #expect(conflict?.status.code == 409)
        #expect(
            conflict?.status.message == "Apply failed with 1 conflict: conflict with \"x\" using v1: .spec.a")
    }

    @Test("Force takes the contested field and leaves the rest")
    func force() throws {
        let live = try apply(["spec": ["a": 1, "b": 1]], by: "x", to: nothing)
        let result = try apply(["spec": ["a": 2]], by: "y", to: live, force: true)
        #expect(result.object == ["spec": ["a": 2, "b": 1]])
        let expected2: JSONValue = ["f:spec": ["f:b": [:]]]
        #expect(result.managedFields.entries[manager("x")]?.fields.json == expected2)
        let expected3: JSONValue = ["f:spec": ["f:a": [:]]]
        #expect(result.managedFields.entries[manager("y")]?.fields.json == expected3)
    }

    @Test("The same value is shared, and stays until its last owner lets go")
    func sharing() throws {
        let live = try apply(["spec": ["a": 1]], by: "x", to: nothing)
        let shared = try apply(["spec": ["a": 1, "b": 2]], by: "y", to: live)
        let one = try apply(["spec": ["b": 2]], by: "y", to: shared)
        #expect(one.object == ["spec": ["a": 1, "b": 2]])
        let none = try apply(["spec": [:]], by: "x", to: one)
        #expect(none.object == ["spec": ["b": 2]])
    }

    @Test("A field that its only owner no longer applies is removed, with what it contained")
    func removal() throws {
        let live = try apply(["spec": ["a": 1, "gone": ["deep": true]]], by: "x", to: nothing)
        let expected4: JSONValue = ["spec": ["a": 1]]
        #expect(try apply(["spec": ["a": 1]], by: "x", to: live).object == expected4)
    }

    @Test("Fields nobody owns stay")
    func unowned() throws {
        let live = ServerSideApply.Result(object: ["spec": ["server": 1]], managedFields: ManagedFields())
        let first = try apply(["spec": ["a": 1]], by: "x", to: live)
        let expected5: JSONValue = ["spec": ["server": 1, "b": 1]]
        #expect(try apply(["spec": ["b": 1]], by: "x", to: first).object == expected5)
    }

    @Test("Keyed lists merge by their keys, with the keys' defaults")
    func listMaps() throws {
        let live = try apply(["spec": ["ports": [["port": 80, "name": "a"]]]], by: "x", to: nothing)
        let both = try apply(
            ["spec": ["ports": [["port": 81], ["port": 80, "protocol": "TCP", "targetPort": 8080]]]], by: "y",
            to: live)
        let expected6: JSONValue = [
            "spec": [
                "ports": [
                    ["port": 80, "name": "a", "protocol": "TCP", "targetPort": 8080], ["port": 81],
                ]
            ]
        ]
        #expect(both.object == expected6)
        // x's element stays because y shares it, but loses what only x owned in it.
        let less = try apply(["spec": ["ports": []]], by: "x", to: both)
        let expected7: JSONValue = [
            "spec": ["ports": [["port": 80, "protocol": "TCP", "targetPort": 8080], ["port": 81]]]
        ]
        #expect(less.object == expected7)
    }

    @Test("Atomic maps and lists are replaced and owned as a whole")
    func atomics() throws {
        let live = try apply(["spec": ["atomic": ["a": 1], "list": [1]]], by: "x", to: nothing)
        let result = try apply(["spec": ["atomic": ["b": 1], "list": [2]]], by: "y", to: live, force: true)
        let expected8: JSONValue = ["spec": ["atomic": ["b": 1], "list": [2]]]
        #expect(result.object == expected8)
        #expect(result.managedFields.entries[manager("x")] == nil)
    }

    @Test("Sets merge value by value")
    func sets() throws {
        let live = try apply(["metadata": ["finalizers": ["a"]]], by: "x", to: nothing)
        let both = try apply(["metadata": ["finalizers": ["b"]]], by: "y", to: live)
        #expect(both.object == ["metadata": ["finalizers": ["a", "b"]]])
        let expected9: JSONValue = ["metadata": ["finalizers": ["b"]]]
        #expect(try apply(["metadata": [:]], by: "x", to: both).object == expected9)
    }

    @Test("Applying the same again changes nothing, not even the time")
    func idempotence() throws {
        let object: JSONValue = ["spec": ["a": 1, "ports": [["port": 1]]]]
        let first = try apply(object, by: "x", to: nothing, time: "2024-01-01T00:00:00Z")
        #expect(try apply(object, by: "x", to: first, time: "2025-01-01T00:00:00Z") == first)
    }

    @Test("managedFields survive being written and read")
    func serialization() throws {
        let live = try apply(
            ["metadata": ["finalizers": ["a"]], "spec": ["ports": [["port": 1]], "empty": [:]]], by: "x", to: nothing)
        #expect(ManagedFields(json: live.managedFields.json) == live.managedFields)
    }
}
