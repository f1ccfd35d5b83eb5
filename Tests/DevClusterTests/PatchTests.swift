import DevCluster
import Testing

@Suite("Merge patch")
struct MergePatchTests {
    // The examples of RFC 7396, appendix A.
    @Test(
        "The examples of RFC 7396 hold",
        arguments: [
            (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
            (#"{"a":"b"}"#, #"{"a":null}"#, "{}"), (#"{"a":"b","b":"c"}"#, #"{"a":null}"#, #"{"b":"c"}"#),
            (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"c"}"#, #"{"a":["b"]}"#, #"{"a":["b"]}"#),
            (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#),
            (#"{"a":[{"b":"c"}]}"#, #"{"a":[1]}"#, #"{"a":[1]}"#), (#"["a","b"]"#, #"["c","d"]"#, #"["c","d"]"#),
            (#"{"a":"b"}"#, #"["c"]"#, #"["c"]"#), (#"{"a":"foo"}"#, "null", "null"),
            (#"{"e":null}"#, #"{"a":1}"#, #"{"a":1,"e":null}"#),
            ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
        ])
    func appendixA(original: String, patch: String, result: String) throws {
        let merged = try JSONValue(parsing: original).merged(with: JSONValue(parsing: patch))
        #expect(merged == (try JSONValue(parsing: result)))
    }
}

@Suite("JSON patch")
struct JSONPatchTests {
    private func apply(_ patch: String, to document: JSONValue) throws -> JSONValue {
        try JSONPatch(JSONValue(parsing: patch)).apply(to: document)
    }

    @Test("Members and elements are added, replaced, removed, moved and copied")
    func operations() throws {
        let document: JSONValue = ["a": [1, 2], "b": ["c/d": 3]]
        let result = try apply(
            #"""
            [{"op":"test","path":"/a/0","value":1},{"op":"add","path":"/a/1","value":9},{"op":"add","path":"/a/-","value":7},
             {"op":"replace","path":"/b/c~1d","value":4},{"op":"copy","from":"/b","path":"/e"},
             {"op":"move","from":"/a/0","path":"/f"},{"op":"remove","path":"/b"}]
            """#, to: document)
        #expect(result == ["a": [9, 2, 7], "e": ["c/d": 4], "f": 1])
    }

    @Test(
        "An operation that cannot be done fails the whole patch",
        arguments: [
            #"[{"op":"test","path":"/a","value":2}]"#, #"[{"op":"remove","path":"/x"}]"#,
            #"[{"op":"replace","path":"/x","value":1}]"#, #"[{"op":"add","path":"/x/y","value":1}]"#,
            #"[{"op":"paint","path":"/a"}]"#, #"[{"op":"add","path":"a","value":1}]"#, #"{"op":"add"}"#,
        ])
    func failures(patch: String) {
        #expect(throws: JSONPatchError.self) { try apply(patch, to: ["a": 1]) }
    }
}

@Suite("Strategic merge patch")
struct StrategicMergePatchTests {
    private let shape = MergeShape.object([
        "ports": .listMap(["port"]), "finalizers": .set, "plain": .plain,
        "volumes": .listMap(["name"]),
    ])

    @Test("A keyed list is merged element by element, a plain one replaced")
    func lists() {
        let live: JSONValue = ["ports": [["port": 80, "name": "a"], ["port": 90]], "plain": [1, 2]]
        let patch: JSONValue = ["ports": [["port": 80, "name": "b"], ["port": 70]], "plain": [3]]
        let expected1: JSONValue = ["ports": [["port": 80, "name": "b"], ["port": 90], ["port": 70]], "plain": [3]]
        #expect(live.strategicallyMerged(with: patch, shape: shape) == expected1)
    }

    @Test("The directives delete, replace, retain and order")
    func directives() {
        let live: JSONValue = [
            "ports": [["port": 1], ["port": 2], ["port": 3]], "finalizers": ["a", "b"],
            "volumes": [["name": "v", "emptyDir": [:]]],
        ]
        let patch: JSONValue = [
            "ports": [["port": 2, "$patch": "delete"], ["port": 4]],
            "$setElementOrder/ports": [["port": 4], ["port": 3], ["port": 1]],
            "$deleteFromPrimitiveList/finalizers": ["a"],
            "volumes": [["name": "v", "configMap": ["name": "c"], "$retainKeys": ["name", "configMap"]]],
        ]
        let expected2: JSONValue = [
            "ports": [["port": 4], ["port": 3], ["port": 1]], "finalizers": ["b"],
            "volumes": [["name": "v", "configMap": ["name": "c"]]],
        ]
        #expect(live.strategicallyMerged(with: patch, shape: shape) == expected2)
        let expected3: JSONValue = [["port": 9]]
        #expect(
            live.strategicallyMerged(with: ["ports": [["$patch": "replace"], ["port": 9]]], shape: shape)["ports"]
                == expected3)
    }
}
