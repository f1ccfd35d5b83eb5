import DevCluster
import Testing

@Suite("Services")
struct ServiceTests {
    typealias Cluster = PureCluster

    private func service(_ name: String, _ spec: JSONValue) -> JSONValue {
        var spec = spec
        if spec["ports"] == nil { spec["ports"] = [["port": 80]] }
        return ["metadata": ["name": .string(name)], "spec": spec]
    }

    @Test("A Service gets the next address of the range and the defaults of its type")
    func allocation() {
        var cluster = Cluster()
        let a = cluster.call("POST", Cluster.services, service("a", [:])).document
        let b = cluster.call("POST", Cluster.services, service("b", [:])).document
        #expect(a.text("spec", "clusterIP").hasPrefix("127.96."))
        #expect(a.text("spec", "clusterIP") != b.text("spec", "clusterIP"))
        #expect(a[path: ["spec", "clusterIPs"]] == [.string(a.text("spec", "clusterIP"))])
        #expect(a.text("spec", "type") == "ClusterIP")
        #expect(a.list("spec", "ports") == [["port": 80, "protocol": "TCP", "targetPort": 80]])
        #expect(a[path: ["status", "loadBalancer"]] == [:])
        // A freed address is not given to the next one at once.
        cluster.call("DELETE", "\(Cluster.services)/b")
        let c = cluster.call("POST", Cluster.services, service("c", [:])).document
        #expect(c.text("spec", "clusterIP") != b.text("spec", "clusterIP"))
    }

    @Test("A given address is honoured; one outside the range or taken is invalid")
    func givenAddress() {
        var cluster = Cluster()
        let given = cluster.call("POST", Cluster.services, service("a", ["clusterIP": "127.96.0.9"]))
        #expect(given.document.text("spec", "clusterIP") == "127.96.0.9")
        let taken = cluster.call("POST", Cluster.services, service("b", ["clusterIP": "127.96.0.9"]))
        #expect(taken.code == 422)
        #expect(taken.document.text("message").contains("provided IP is already allocated"))
        let outside = cluster.call("POST", Cluster.services, service("b", ["clusterIP": "10.0.0.1"]))
        #expect(outside.code == 422)
        #expect(outside.document.text("message").contains("not in the valid range"))
        #expect(cluster.call("POST", Cluster.services, service("b", ["clusterIP": "x"])).code == 422)
    }

    @Test("An address is taken for as long as its Service has it, whatever the store has forgotten meanwhile")
    func addressesByTime() {
        var cluster = Cluster()
        let wanted = service("a", ["clusterIP": "127.96.0.9"])
        func attempt(_ name: String) -> Int {
            cluster.call("POST", Cluster.services, service(name, ["clusterIP": "127.96.0.9"])).code
        }
        cluster.call("POST", Cluster.services, wanted)
        #expect(cluster.call("POST", Cluster.services, wanted).code == 409)
        #expect(attempt("b") == 422)
        cluster.state.compact()
        #expect(attempt("b") == 422)
        cluster.call("DELETE", "\(Cluster.services)/a")
        #expect(attempt("b") == 201)
        cluster.call("DELETE", "\(Cluster.services)/b")
        cluster.state.compact()
        #expect(attempt("c") == 201)
    }

    @Test("An address cannot change, and an update that leaves it out keeps it")
    func immutability() {
        var cluster = Cluster()
        let address = cluster.call("POST", Cluster.services, service("a", [:])).document.text("spec", "clusterIP")
        let changed = cluster.merge("\(Cluster.services)/a", ["spec": ["clusterIP": "127.96.9.9"]])
        #expect(changed.code == 422)
        #expect(changed.document.text("message").contains("may not change once set"))
        let replaced = cluster.call("PUT", "\(Cluster.services)/a", service("a", ["sessionAffinity": "ClientIP"]))
        #expect(replaced.document.text("spec", "clusterIP") == address)
    }

    @Test("Headless and ExternalName Services have no address of their own")
    func headless() {
        var cluster = Cluster()
        let headless = cluster.call("POST", Cluster.services, service("a", ["clusterIP": "None"])).document
        #expect(headless.text("spec", "clusterIP") == "None")
        let external: JSONValue = ["type": "ExternalName", "externalName": "db.example.com"]
        let object = cluster.call("POST", Cluster.services, service("b", external)).document
        #expect(object[path: ["spec", "clusterIP"]] == nil)
        #expect(cluster.call("POST", Cluster.services, service("c", ["type": "ExternalName"])).code == 422)
    }

    @Test("NodePort and LoadBalancer Services get node ports and lose them with their type")
    func nodePorts() {
        var cluster = Cluster()
        let object = cluster.call("POST", Cluster.services, service("a", ["type": "NodePort"])).document
        let port = object.list("spec", "ports").first?.integer("nodePort") ?? 0
        #expect((30_000...32_767).contains(port))
        let clash: JSONValue = ["type": "NodePort", "ports": [["port": 1, "nodePort": .integer(port)]]]
        #expect(cluster.call("POST", Cluster.services, service("b", clash)).code == 422)
        let back = cluster.merge("\(Cluster.services)/a", ["spec": ["type": "ClusterIP"]]).document
        #expect(back.list("spec", "ports").first?["nodePort"] == nil)
    }

    @Test("External addresses come and go through the status, for LoadBalancers only")
    func loadBalancer() {
        var cluster = Cluster()
        cluster.call("POST", Cluster.services, service("a", [:]))
        let status: JSONValue = ["status": ["loadBalancer": ["ingress": [["ip": "203.0.113.7"]]]]]
        #expect(cluster.merge("\(Cluster.services)/a/status", status).code == 422)
        #expect(cluster.merge("\(Cluster.services)/a", ["spec": ["type": "LoadBalancer"]]).code == 200)
        let set = cluster.merge("\(Cluster.services)/a/status", status)
        #expect(set.code == 200)
        #expect(set.document["status"] == status["status"])
        let gone = cluster.merge("\(Cluster.services)/a", ["spec": ["type": "ClusterIP"]]).document
        #expect(gone[path: ["status", "loadBalancer"]] == [:])
    }

    @Test(
        "A Service that breaks a rule is invalid",
        arguments: [
            #"{"ports":[]}"#, #"{"ports":[{"port":0}]}"#, #"{"ports":[{"port":80},{"port":81}]}"#,
            #"{"ports":[{"port":80,"name":"a"},{"port":80,"name":"b"}]}"#, #"{"type":"Magic"}"#,
            #"{"ports":[{"port":80,"protocol":"X"}]}"#, #"{"ports":[{"port":80,"targetPort":70000}]}"#,
        ])
    func invalid(spec: String) throws {
        var cluster = Cluster()
        #expect(cluster.call("POST", Cluster.services, service("a", try JSONValue(parsing: spec))).code == 422)
        #expect(cluster.call("POST", Cluster.services, service("1a", [:])).code == 422)
    }
}

@Suite("Ingresses")
struct IngressTests {
    typealias Cluster = PureCluster

    @Test(
        "An Ingress that breaks a rule is invalid, and the field is named",
        arguments: [
            ("{}", "spec"), (#"{"rules":[{"host":"1.2.3.4"}]}"#, "spec.rules[0].host"),
            (#"{"rules":[{"host":"*.*.example.com"}]}"#, "spec.rules[0].host"),
            (#"{"rules":[{"host":"a:80"}]}"#, "spec.rules[0].host"),
            (#"{"rules":[{"http":{"paths":[]}}]}"#, "spec.rules[0].http.paths"),
            (#"{"defaultBackend":{}}"#, "spec.defaultBackend"),
            (#"{"defaultBackend":{"service":{"name":"a"}}}"#, "spec.defaultBackend.service.port"),
            (
                #"{"defaultBackend":{"service":{"name":"a","port":{"number":80}},"resource":{"kind":"A","name":"b"}}}"#,
                "spec.defaultBackend"
            ),
            (
                #"{"defaultBackend":{"service":{"name":"a","port":{"number":80,"name":"http"}}}}"#,
                "spec.defaultBackend.service.port"
            ),
        ])
    func invalid(spec: String, field: String) throws {
        var cluster = Cluster()
        let body: JSONValue = ["metadata": ["name": "a"], "spec": try JSONValue(parsing: spec)]
        let (code, status) = cluster.call("POST", Cluster.ingresses, body)
        #expect(code == 422)
        #expect(status.text("reason") == "Invalid")
        #expect(status.list("details", "causes").map { $0.text("field") } == [field])
    }

    @Test(
        "Paths must be absolute and typed",
        arguments: [
            ("Prefix", "a", false), ("Exact", "", false), ("Prefix", "/a//b", false), ("Prefix", "/a/../b", false),
            ("", "/", false), ("Regex", "/", false), ("Prefix", "/a", true), ("Exact", "/", true),
            ("ImplementationSpecific", "", true),
        ])
    func paths(type: String, path: String, valid: Bool) {
        var cluster = Cluster()
        var ingress = Cluster.ingress("a")
        var entry: JSONValue = [
            "path": .string(path), "backend": ["service": ["name": "w", "port": ["name": "http"]]],
        ]
        if !type.isEmpty { entry["pathType"] = .string(type) }
        ingress["spec"] = ["rules": [["host": "*.example.com", "http": ["paths": [entry]]]]]
        #expect(cluster.call("POST", Cluster.ingresses, ingress).code == (valid ? 201 : 422))
    }

    @Test("A rule without paths, and a backend that is no Service, are valid")
    func unusualButValid() {
        var cluster = Cluster()
        let bare: JSONValue = ["metadata": ["name": "a"], "spec": ["rules": [["host": "a.example.com"]]]]
        #expect(cluster.call("POST", Cluster.ingresses, bare).code == 201)
        let backend: JSONValue = ["resource": ["apiGroup": "k8s.example.com", "kind": "Bucket", "name": "b"]]
        let resource: JSONValue = ["metadata": ["name": "b"], "spec": ["defaultBackend": backend]]
        #expect(cluster.call("POST", Cluster.ingresses, resource).code == 201)
    }

    @Test("The default class is given to an Ingress without one")
    func defaultClass() {
        var cluster = Cluster()
        let annotations: JSONValue = ["ingressclass.kubernetes.io/is-default-class": "true"]
        let ingressClass: JSONValue = [
            "metadata": ["name": "main", "annotations": annotations], "spec": ["controller": "example.com/x"],
        ]
        cluster.call("POST", "/apis/networking.k8s.io/v1/ingressclasses", ingressClass)
        let object = cluster.call("POST", Cluster.ingresses, Cluster.ingress("a")).document
        #expect(object.text("spec", "ingressClassName") == "main")
    }
}

@Suite("Events")
struct EventTests {
    typealias Cluster = PureCluster

    private static let event: JSONValue = [
        "metadata": ["name": "e"], "eventTime": "2024-01-01T00:00:00.000001Z", "reportingController": "c/d",
        "reportingInstance": "i", "action": "Sync", "reason": "Synced", "type": "Normal", "note": "hello",
        "regarding": ["kind": "Ingress", "namespace": "default", "name": "a"],
    ]
    private let path = "/apis/events.k8s.io/v1/namespaces/default/events"

    @Test("Both spellings show one event")
    func conversion() {
        var cluster = Cluster()
        #expect(cluster.call("POST", path, Self.event).code == 201)
        let core = cluster.call("GET", "/api/v1/namespaces/default/events/e").document
        #expect(core.text("message") == "hello")
        #expect(core.text("involvedObject", "name") == "a")
        #expect(core.text("reportingComponent") == "c/d")
        #expect(core["note"] == nil)
        let again = cluster.call("GET", "\(path)/e").document
        #expect(again.text("note") == "hello")
        #expect(again.text("apiVersion") == "events.k8s.io/v1")
        let selected = cluster.call(
            "GET", "/api/v1/events?fieldSelector=involvedObject.name%3Da,involvedObject.namespace%3Ddefault")
        #expect(selected.document.list("items").count == 1)
        #expect(cluster.call("GET", "\(path)?fieldSelector=regarding.name%3Db").document.list("items").isEmpty)
        let series: JSONValue = ["series": ["count": 5, "lastObservedTime": "2024-01-01T00:01:00.000000Z"]]
        #expect(cluster.merge("\(path)/e", series).code == 200)
        let table = cluster.call(
            "GET", "/api/v1/namespaces/default/events", accept: "application/json;as=Table;v=v1;g=meta.k8s.io")
        let cells = table.document.list("rows").first?.list("cells") ?? []
        #expect(cells[1...3] == ["Normal", "Synced", "ingress/a"])
    }

    @Test(
        "An event must say what, who and about what",
        arguments: ["eventTime", "reportingController", "action", "reason", "type"])
    func required(field: String) {
        var cluster = Cluster()
        var event = Self.event
        event[field] = nil
        #expect(cluster.call("POST", path, event).code == 422)
    }

    @Test("An event is in the namespace of what it is about")
    func namespace() {
        var cluster = Cluster()
        #expect(cluster.call("POST", "/apis/events.k8s.io/v1/namespaces/kube-public/events", Self.event).code == 422)
    }
}

@Suite("Custom resources")
struct CustomResourceTests {
    typealias Cluster = PureCluster

    private static let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    private static let things = "/apis/example.com/v1/namespaces/default/things"

    static func definition() throws -> JSONValue {
        try JSONValue.documents(
            inYAML: """
                metadata: {name: things.example.com}
                spec:
                  group: example.com
                  scope: Namespaced
                  names: {kind: Thing, plural: things, shortNames: [th]}
                  versions:
                    - name: v1
                      served: true
                      storage: true
                      subresources: {status: {}}
                      additionalPrinterColumns:
                        - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
                        - {name: Size, type: integer, jsonPath: .spec.size}
                      schema:
                        openAPIV3Schema:
                          type: object
                          properties:
                            spec:
                              type: object
                              required: [name]
                              properties:
                                name: {type: string}
                                size: {type: integer, default: 3, maximum: 10}
                            status:
                              type: object
                              properties:
                                conditions:
                                  type: array
                                  x-kubernetes-list-type: map
                                  x-kubernetes-list-map-keys: [type]
                                  items: {type: object, properties: {type: {type: string}, status: {type: string}}}
                """)[0]
    }

    private func cluster() throws -> Cluster {
        var cluster = Cluster()
        #expect(cluster.call("POST", Self.definitions, try Self.definition()).code == 201)
        return cluster
    }

    private func thing(_ spec: JSONValue) -> JSONValue { ["metadata": ["name": "a"], "spec": spec] }

    @Test("A definition is established and its type served at once")
    func serving() throws {
        var cluster = try cluster()
        let definition = cluster.call("GET", "\(Self.definitions)/things.example.com").document
        let established = definition.list("status", "conditions").first { $0.text("type") == "Established" }
        #expect(established?.text("status") == "True")
        #expect(definition.text("status", "acceptedNames", "singular") == "thing")
        #expect(cluster.call("GET", Self.things).document.text("kind") == "ThingList")
        let listed = cluster.call("GET", "/apis/example.com/v1").document.list("resources")
        #expect(listed.map { $0.text("name") } == ["things", "things/status"])
    }

    @Test("Objects are pruned, defaulted and validated")
    func schema() throws {
        var cluster = try cluster()
        let created = cluster.call("POST", Self.things, thing(["name": "x", "wrong": 1]))
        #expect(created.code == 201)
        #expect(created.document["spec"] == ["name": "x", "size": 3])
        let invalid = cluster.call("POST", Self.things, thing(["size": 11]))
        #expect(invalid.code == 422)
        #expect(
            Set(invalid.document.list("details", "causes").map { $0.text("field") }) == ["spec.name", "spec.size"])
        let strict = cluster.call("POST", "\(Self.things)?fieldValidation=Strict", thing(["name": "x", "wrong": 1]))
        #expect(strict.code == 400)
        #expect(strict.document.text("message").contains(#"unknown field "spec.wrong""#))
    }

    @Test("The generation counts changes outside metadata and status; the status has its own door")
    func status() throws {
        var cluster = try cluster()
        var object = thing(["name": "x"])
        object["status"] = ["conditions": [["type": "Ready", "status": "True"]]]
        let created = cluster.call("POST", Self.things, object).document
        #expect(created["status"] == nil)
        #expect(created.integer("metadata", "generation") == 1)
        let conditions: JSONValue = ["status": ["conditions": [["type": "Ready", "status": "False"]]]]
        let updated = cluster.apply("\(Self.things)/a/status", conditions, manager: "one").document
        #expect(updated.integer("metadata", "generation") == 1)
        let other: JSONValue = ["status": ["conditions": [["type": "Synced", "status": "True"]]]]
        let both = cluster.apply("\(Self.things)/a/status", other, manager: "two").document
        #expect(both.list("status", "conditions").map { $0.text("type") } == ["Ready", "Synced"])
        let changed = cluster.merge("\(Self.things)/a", ["spec": ["size": 4]]).document
        #expect(changed.integer("metadata", "generation") == 2)
        #expect(changed["status"] == both["status"])
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        let row = cluster.call("GET", Self.things, accept: accept).document.list("rows").first ?? .null
        #expect(row["cells"] == ["a", "False", 4])
    }

    @Test("A PUT needs the version it replaces; strategic merge patches are not for custom resources")
    func updates() throws {
        var cluster = try cluster()
        cluster.call("POST", Self.things, thing(["name": "x"]))
        #expect(cluster.call("PUT", "\(Self.things)/a", thing(["name": "y"])).code == 422)
        let strategic = cluster.call(
            "PATCH", "\(Self.things)/a", [:], type: "application/strategic-merge-patch+json")
        #expect(strategic.code == 415)
    }

    @Test("With the definition go its objects and its type")
    func removal() throws {
        var cluster = try cluster()
        cluster.call("POST", Self.things, thing(["name": "x"]))
        #expect(cluster.call("DELETE", "\(Self.definitions)/things.example.com").code == 200)
        #expect(cluster.call("GET", Self.things).code == 404)
        #expect(cluster.call("GET", "/apis/example.com/v1").code == 404)
        #expect(cluster.call("POST", Self.definitions, try Self.definition()).code == 201)
        #expect(cluster.call("GET", Self.things).document.list("items").isEmpty)
    }

    @Test("A definition that is no good is refused with the place")
    func invalidDefinition() throws {
        var cluster = Cluster()
        var definition = try Self.definition()
        definition[path: ["metadata", "name"]] = "other.example.com"
        #expect(cluster.call("POST", Self.definitions, definition).code == 422)
        definition = try Self.definition()
        definition[path: ["spec", "versions"]] = [["name": "v1", "served": true, "storage": true]]
        let status = cluster.call("POST", Self.definitions, definition)
        #expect(status.document.text("message").contains("spec.versions[0].schema.openAPIV3Schema"))
    }
}
