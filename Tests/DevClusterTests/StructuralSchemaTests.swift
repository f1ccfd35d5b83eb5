import DevCluster
import Testing

@Suite("Structural schemas")
struct StructuralSchemaTests {
    private func schema(_ yaml: String) throws -> StructuralSchema {
        try StructuralSchema(json: JSONValue.documents(inYAML: yaml).first ?? [:])
    }

    @Test("Defaults fill in what is missing, also inside elements and inside defaults")
    func defaults() throws {
        let schema = try schema(
            """
            type: object
            properties:
              mode: {type: string, default: auto}
              nested: {type: object, default: {}, properties: {size: {type: integer, default: 3}}}
              list: {type: array, items: {type: object, properties: {tls: {type: boolean, default: false}}}}
              kept: {type: string, nullable: true, default: x}
            """)
        let expected1: JSONValue = [
            "mode": "auto", "nested": ["size": 3], "list": [["tls": false], ["tls": true]], "kept": .null,
        ]
        #expect(schema.defaulted(["list": [[:], ["tls": true]], "mode": .null, "kept": .null]) == expected1)
    }

    @Test("Unknown members are pruned and named, unless the schema keeps them")
    func pruning() throws {
        let schema = try schema(
            """
            type: object
            properties:
              known: {type: object, properties: {a: {type: string}}}
              open: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: object}}}
              map: {type: object, additionalProperties: {type: object, properties: {v: {type: string}}}}
              list: {type: array, items: {type: object, properties: {a: {type: string}}}}
            """)
        var removed: [String] = []
        let pruned = schema.pruned(
            [
                "known": ["a": "1", "b": "2"], "open": ["x": ["y": 1], "a": ["z": 1]], "other": 1,
                "map": ["k": ["v": "1", "w": 2]], "list": [["a": "1"], ["b": "2"]],
            ], removed: &removed)
        let expected2: JSONValue = [
            "known": ["a": "1"], "open": ["x": ["y": 1], "a": [:]], "map": ["k": ["v": "1"]],
            "list": [["a": "1"], [:]],
        ]
        #expect(pruned == expected2)
        #expect(Set(removed) == ["known.b", "open.a.z", "other", "map.k.w", "list[1].b"])
    }

    @Test(
        "A value that breaks a rule is refused at its path",
        arguments: [
            ("{type: string}", "1", "FieldValueTypeInvalid"), ("{type: integer}", "1.5", "FieldValueTypeInvalid"),
            ("{type: string, enum: [a, b]}", "c", "FieldValueNotSupported"),
            ("{type: string, pattern: '^[a-z]+$'}", "A1", "FieldValueInvalid"),
            ("{type: integer, minimum: 1}", "0", "FieldValueInvalid"),
            ("{type: integer, maximum: 5, exclusiveMaximum: true}", "5", "FieldValueInvalid"),
            ("{type: string, minLength: 2}", "a", "FieldValueInvalid"),
            ("{type: string, maxLength: 2}", "abc", "FieldValueTooLong"),
            ("{type: array, items: {type: integer}, minItems: 1}", "[]", "FieldValueInvalid"),
            ("{type: array, items: {type: integer}, maxItems: 1}", "[1, 2]", "FieldValueTooMany"),
            ("{type: array, items: {type: integer}, x-kubernetes-list-type: set}", "[1, 1]", "FieldValueDuplicate"),
            ("{type: string}", "~", "FieldValueTypeInvalid"),
            ("{x-kubernetes-int-or-string: true}", "[]", "FieldValueTypeInvalid"),
        ])
    func violations(schemaText: String, value: String, reason: String) throws {
        let outer = try schema("{type: object, properties: {v: \(schemaText)}}")
        let object = try #require(try JSONValue.documents(inYAML: "v: \(value)").first)
        let causes = outer.validate(object, at: "spec")
        #expect(causes.map(\.reason) == [reason])
        #expect(causes.first?.field.hasPrefix("spec.v") == true)
    }

    @Test("Required members are missed by name; what fits passes")
    func required() throws {
        let schema = try schema(
            """
            {type: object, required: [a, b], properties: {a: {type: string, nullable: true}, b: {x-kubernetes-int-or-string: true}}}
            """)
        #expect(schema.validate([:], at: "spec") == [.required("spec.a"), .required("spec.b")])
        #expect(schema.validate(["a": .null, "b": "80%"], at: "spec").isEmpty)
        #expect(schema.validate(["a": "x", "b": 80], at: "spec").isEmpty)
    }

    @Test("List types become merge shapes")
    func shapes() throws {
        let schema = try schema(
            """
            type: object
            properties:
              conditions:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [type]
                items: {type: object, properties: {type: {type: string}}}
              names: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              whole: {type: object, x-kubernetes-map-type: atomic}
            """)
        #expect(schema.shape.field("conditions").list == .map(keys: ["type"], defaults: [:]))
        #expect(schema.shape.field("names").list == .set)
        #expect(schema.shape.field("whole").isAtomicMap)
    }
}

@Suite("JSONPath")
struct JSONPathTests {
    private let document: JSONValue = [
        "status": [
            "conditions": [
                ["type": "Accepted", "status": "True", "n": 1], ["type": "Programmed", "status": "False", "n": 2],
            ],
            "hosts": ["a", "b", "c"],
        ],
        "metadata": ["annotations": ["example.com/x": "y"]],
    ]

    @Test(
        "Expressions find what they describe",
        arguments: [
            (#".status.conditions[?(@.type=="Programmed")].status"#, #"["False"]"#),
            (#"{.status.conditions[?(@.type == 'Accepted')].status}"#, #"["True"]"#),
            (#".status.conditions[?(@.n>1)].type"#, #"["Programmed"]"#),
            (#".status.conditions[?(@.missing)].type"#, "[]"),
            (#".status.conditions[?(@.n)].type"#, #"["Accepted","Programmed"]"#),
            (".status.conditions[*].n", "[1,2]"), (".status.hosts", #"[["a","b","c"]]"#),
            (".status.hosts[0]", #"["a"]"#), (".status.hosts[-1]", #"["c"]"#), (".status.hosts[1:]", #"["b","c"]"#),
            (".status.hosts[9]", "[]"), (#".metadata.annotations.example\.com/x"#, #"["y"]"#),
            (#".metadata.annotations['example.com/x']"#, #"["y"]"#), ("..n", "[1,2]"), (".nothing.here", "[]"),
        ])
    func expressions(expression: String, found: String) throws {
        #expect(JSONValue.array(try JSONPath(expression).evaluate(document)).jsonText == found)
    }

    @Test("What is no expression is refused", arguments: [".a[", ".a[?(@.b==]", ".a[x]", ".a]", "..", ".a['b]"])
    func malformed(expression: String) {
        #expect(throws: JSONPathError.self) { try JSONPath(expression) }
    }
}
