import DevCluster
import Testing

/// A cluster without sockets: requests go straight into the state.
struct PureCluster {
    var state = ClusterState(now: Timestamp(seconds: 1_700_000_000))
    var now = Timestamp(seconds: 1_700_000_000)

    /// - Returns: The status code and the document.
    @discardableResult
    mutating func call(
        _ method: String, _ target: String, _ body: JSONValue? = nil, type: String = "application/json",
        accept: String = ""
    ) -> (code: Int, document: JSONValue) {
        var request = APIRequest(method: method, target: target, body: body?.serialized() ?? [])
        request.contentType = type
        request.accept = accept
        request.userAgent = "tester/1"
        switch state.respond(to: request, now: now) {
        case .document(let document, let code, _, _): return (code, document)
        case .bytes(_, let code, _): return (code, .null)
        case .watch: return (200, "watch")
        }
    }

    mutating func apply(
        _ target: String, _ body: JSONValue, manager: String = "tester", force: Bool = false
    ) -> (code: Int, document: JSONValue) {
        call(
            "PATCH", "\(target)?fieldManager=\(manager)&force=\(force)", body, type: "application/apply-patch+yaml")
    }

    mutating func merge(_ target: String, _ body: JSONValue) -> (code: Int, document: JSONValue) {
        call("PATCH", target, body, type: "application/merge-patch+json")
    }

    static let services = "/api/v1/namespaces/default/services"
    static let configMaps = "/api/v1/namespaces/default/configmaps"
    static let ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"

    static func ingress(_ name: String, host: String = "a.example.com") -> JSONValue {
        let backend: JSONValue = ["service": ["name": "web", "port": ["number": 80]]]
        let path: JSONValue = ["path": "/", "pathType": "Prefix", "backend": backend]
        return [
            "metadata": ["name": .string(name)],
            "spec": ["rules": [["host": .string(host), "http": ["paths": [path]]]]],
        ]
    }

    static func named(_ name: String) -> JSONValue { ["metadata": ["name": .string(name)]] }
}

@Suite("Objects")
struct ClusterStateTests {
    typealias Cluster = PureCluster

    @Test("A created object has what only the server gives, and cannot be created twice")
    func create() {
        var cluster = Cluster()
        let (code, object) = cluster.call("POST", Cluster.configMaps, Cluster.named("a"))
        #expect(code == 201)
        #expect(object.text("metadata", "uid").count == 36)
        #expect(object.text("metadata", "creationTimestamp") == "2023-11-14T22:13:20Z")
        #expect(object.text("metadata", "namespace") == "default")
        #expect(object.text("apiVersion") == "v1")
        let (again, status) = cluster.call("POST", Cluster.configMaps, Cluster.named("a"))
        #expect(again == 409)
        #expect(status.text("reason") == "AlreadyExists")
        #expect(status.text("message") == #"configmaps "a" already exists"#)
        #expect(status.text("details", "name") == "a")
    }

    @Test("A missing object, type or namespace is not found")
    func notFound() {
        var cluster = Cluster()
        let (code, status) = cluster.call("GET", "\(Cluster.ingresses)/a")
        #expect(code == 404)
        #expect(status.text("message") == #"ingresses.networking.k8s.io "a" not found"#)
        #expect(status.text("details", "group") == "networking.k8s.io")
        #expect(cluster.call("GET", "/apis/none/v1/things").code == 404)
        let missing = cluster.call("POST", "/api/v1/namespaces/nope/configmaps", Cluster.named("a"))
        #expect(missing.code == 404)
        #expect(missing.document.text("message") == #"namespaces "nope" not found"#)
    }

    @Test("A generated name is the prefix and five characters")
    func generateName() {
        var cluster = Cluster()
        let (_, object) = cluster.call("POST", Cluster.configMaps, ["metadata": ["generateName": "a-"]])
        #expect(object.text("metadata", "name").hasPrefix("a-"))
        #expect(object.text("metadata", "name").count == 7)
    }

    @Test("A stale resource version conflicts, a wrong one in a patch too")
    func conflict() {
        var cluster = Cluster()
        var object = cluster.call("POST", Cluster.configMaps, Cluster.named("a")).document
        object["data"] = ["x": "1"]
        #expect(cluster.call("PUT", "\(Cluster.configMaps)/a", object).code == 200)
        object["data"] = ["x": "2"]
        let (code, status) = cluster.call("PUT", "\(Cluster.configMaps)/a", object)
        #expect(code == 409)
        #expect(status.text("reason") == "Conflict")
        let patch: JSONValue = ["metadata": ["resourceVersion": "1"], "data": ["x": "3"]]
        #expect(cluster.merge("\(Cluster.configMaps)/a", patch).code == 409)
    }

    @Test("A write that changes nothing makes no new version")
    func noChange() {
        var cluster = Cluster()
        let created = cluster.call("POST", Cluster.ingresses, Cluster.ingress("a")).document
        let revision = cluster.state.store.revision
        #expect(cluster.call("PUT", "\(Cluster.ingresses)/a", created).code == 200)
        #expect(cluster.merge("\(Cluster.ingresses)/a", ["spec": created["spec"] ?? .null]).code == 200)
        #expect(cluster.state.store.revision == revision)
        cluster.now = Timestamp(seconds: 1_800_000_000)
        _ = cluster.apply("\(Cluster.ingresses)/b", Cluster.ingress("b"))
        let applied = cluster.state.store.revision
        cluster.now = Timestamp(seconds: 1_900_000_000)
        #expect(cluster.apply("\(Cluster.ingresses)/b", Cluster.ingress("b")).code == 200)
        #expect(cluster.state.store.revision == applied)
    }

    @Test("The generation counts changes of the specification only")
    func generation() {
        var cluster = Cluster()
        #expect(
            cluster.call("POST", Cluster.ingresses, Cluster.ingress("a")).document.integer("metadata", "generation")
                == 1)
        let labelled = cluster.merge("\(Cluster.ingresses)/a", ["metadata": ["labels": ["x": "y"]]])
        #expect(labelled.document.integer("metadata", "generation") == 1)
        let status: JSONValue = ["status": ["loadBalancer": ["ingress": [["ip": "1.2.3.4"]]]]]
        #expect(cluster.merge("\(Cluster.ingresses)/a/status", status).document.integer("metadata", "generation") == 1)
        let changed = cluster.merge("\(Cluster.ingresses)/a", ["spec": ["ingressClassName": "nginx"]])
        #expect(changed.document.integer("metadata", "generation") == 2)
    }

    @Test("The status is changed through its subresource only, and nothing else is")
    func statusSubresource() {
        var cluster = Cluster()
        cluster.call("POST", Cluster.ingresses, Cluster.ingress("a"))
        let status: JSONValue = ["loadBalancer": ["ingress": [["ip": "1.2.3.4"]]]]
        let ignored = cluster.merge("\(Cluster.ingresses)/a", ["status": status]).document
        #expect(ignored["status"] == nil)
        let patch: JSONValue = [
            "status": status, "spec": ["ingressClassName": "x"], "metadata": ["labels": ["a": "b"]],
        ]
        let changed = cluster.merge("\(Cluster.ingresses)/a/status", patch).document
        #expect(changed["status"] == status)
        #expect(changed[path: ["spec", "ingressClassName"]] == nil)
        #expect(changed[path: ["metadata", "labels"]] == nil)
        #expect(cluster.call("GET", "\(Cluster.configMaps)/x/status").code == 404)
    }

    @Test("A dry run answers and leaves nothing")
    func dryRun() {
        var cluster = Cluster()
        let revision = cluster.state.store.revision
        #expect(cluster.call("POST", "\(Cluster.configMaps)?dryRun=All", Cluster.named("a")).code == 201)
        #expect(cluster.call("GET", "\(Cluster.configMaps)/a").code == 404)
        #expect(cluster.state.store.revision == revision)
    }

    @Test("A list comes in pieces that show one version, and an old piece expires")
    func paging() throws {
        var cluster = Cluster()
        for index in 0..<5 { cluster.call("POST", Cluster.configMaps, Cluster.named("c\(index)")) }
        let first = cluster.call("GET", "\(Cluster.configMaps)?limit=2").document
        #expect(first.list("items").map { $0.text("metadata", "name") } == ["c0", "c1"])
        #expect(first.integer("metadata", "remainingItemCount") == 3)
        let token = first.text("metadata", "continue").replacing("=", with: "%3D").replacing("+", with: "%2B")
        cluster.call("DELETE", "\(Cluster.configMaps)/c2")
        cluster.call("POST", Cluster.configMaps, Cluster.named("c9"))
        let rest = cluster.call("GET", "\(Cluster.configMaps)?limit=10&continue=\(token)").document
        #expect(rest.list("items").map { $0.text("metadata", "name") } == ["c2", "c3", "c4"])
        #expect(rest.text("metadata", "resourceVersion") == first.text("metadata", "resourceVersion"))
        cluster.state.compact()
        let expired = cluster.call("GET", "\(Cluster.configMaps)?limit=10&continue=\(token)")
        #expect(expired.code == 410)
        #expect(expired.document.text("reason") == "Expired")
    }

    @Test("A version that has not been reached is a timeout, not a guess")
    func futureVersion() {
        var cluster = Cluster()
        let (code, status) = cluster.call("GET", "\(Cluster.configMaps)?resourceVersion=999999")
        #expect(code == 504)
        #expect(status.text("reason") == "Timeout")
    }

    @Test("Finalizers hold a deleted object until they are gone")
    func finalizers() {
        var cluster = Cluster()
        let object: JSONValue = ["metadata": ["name": "a", "finalizers": ["example.com/x"]]]
        cluster.call("POST", Cluster.configMaps, object)
        let deleted = cluster.call("DELETE", "\(Cluster.configMaps)/a")
        #expect(deleted.code == 200)
        #expect(!deleted.document.text("metadata", "deletionTimestamp").isEmpty)
        #expect(cluster.call("GET", "\(Cluster.configMaps)/a").code == 200)
        #expect(cluster.merge("\(Cluster.configMaps)/a", ["metadata": ["finalizers": .null]]).code == 200)
        #expect(cluster.call("GET", "\(Cluster.configMaps)/a").code == 404)
    }

    @Test("A delete with another UID is refused")
    func preconditions() {
        var cluster = Cluster()
        cluster.call("POST", Cluster.configMaps, Cluster.named("a"))
        let refused = cluster.call("DELETE", "\(Cluster.configMaps)/a", ["preconditions": ["uid": "other"]])
        #expect(refused.code == 409)
        #expect(cluster.call("GET", "\(Cluster.configMaps)/a").code == 200)
    }

    @Test("Dependents go after their owner, or lose their reference if they are to be orphaned")
    func garbage() {
        var cluster = Cluster()
        for policy in ["Background", "Foreground", "Orphan"] {
            let owner = cluster.call("POST", Cluster.configMaps, Cluster.named("owner")).document
            let reference: JSONValue = [
                "apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
                "uid": owner[path: ["metadata", "uid"]] ?? .null,
            ]
            let child: JSONValue = ["metadata": ["name": "child", "ownerReferences": [reference]]]
            cluster.call("POST", Cluster.configMaps, child)
            let early = cluster.state.collectGarbage(now: cluster.now)
            #expect(!early)
            cluster.call("DELETE", "\(Cluster.configMaps)/owner?propagationPolicy=\(policy)")
            while cluster.state.collectGarbage(now: cluster.now) {}
            #expect(cluster.call("GET", "\(Cluster.configMaps)/owner").code == 404)
            let left = cluster.call("GET", "\(Cluster.configMaps)/child")
            #expect(left.code == (policy == "Orphan" ? 200 : 404))
            #expect(left.document.list("metadata", "ownerReferences").isEmpty)
        }
    }

    @Test("Only an object that is born without any of its owners is work for the garbage collector")
    func bornOrphans() {
        var cluster = Cluster()
        let owner = cluster.call("POST", Cluster.configMaps, Cluster.named("owner")).document
        let uid = owner[path: ["metadata", "uid"]] ?? .null
        func reference(_ kind: JSONValue, _ uid: JSONValue) -> JSONValue {
            ["apiVersion": "v1", "kind": kind, "name": "owner", "uid": uid]
        }
        let cases: [(name: String, references: [JSONValue], isGarbage: Bool)] = [
            ("owned", [reference("ConfigMap", uid)], false),
            ("half-owned", [reference("ConfigMap", "other"), reference("ConfigMap", uid)], false),
            ("successor-of-owner", [reference("ConfigMap", "other")], true),
            ("other-kind", [reference("Secret", uid)], true),
            ("unknown-kind", [reference("Nonsense", uid)], true),
        ]
        for (name, references, isGarbage) in cases {
            cluster.call(
                "POST", Cluster.configMaps,
                ["metadata": ["name": .string(name), "ownerReferences": .array(references)]])
            #expect(cluster.state.takeGarbageFlag() == isGarbage, "\(name)")
        }
    }

    @Test("A deleted namespace takes its objects with it and accepts no new ones meanwhile")
    func namespaces() {
        var cluster = Cluster()
        cluster.call("POST", "/api/v1/namespaces", Cluster.named("team"))
        cluster.call("POST", "/api/v1/namespaces/team/configmaps", Cluster.named("a"))
        #expect(cluster.call("DELETE", "/api/v1/namespaces/team").document.text("status", "phase") == "Terminating")
        #expect(cluster.call("POST", "/api/v1/namespaces/team/configmaps", Cluster.named("b")).code == 403)
        while cluster.state.collectGarbage(now: cluster.now) {}
        #expect(cluster.call("GET", "/api/v1/namespaces/team").code == 404)
        #expect(cluster.call("GET", "/api/v1/configmaps").document.list("items").isEmpty)
    }

    @Test("Every cluster has its namespaces, each with a UID")
    func initialNamespaces() {
        var cluster = Cluster()
        let (code, object) = cluster.call("GET", "/api/v1/namespaces/kube-system")
        #expect(code == 200)
        #expect(!object.text("metadata", "uid").isEmpty)
    }

    @Test("A body in a form the server does not read is refused with 415, an Accept it cannot serve with 406")
    func mediaTypes() {
        var cluster = Cluster()
        #expect(cluster.call("POST", Cluster.configMaps, [:], type: "application/cbor").code == 415)
        #expect(cluster.call("PATCH", "\(Cluster.configMaps)/a", [:], type: "application/json").code == 415)
        #expect(cluster.call("GET", Cluster.configMaps, accept: "application/vnd.kubernetes.protobuf").code == 406)
        let both = "application/vnd.kubernetes.protobuf, application/json"
        #expect(cluster.call("GET", Cluster.configMaps, accept: both).code == 200)
        #expect(cluster.call("POST", Cluster.configMaps, "text").code == 400)
    }

    @Test("A Table has the type's columns, and only metadata in its rows")
    func tables() {
        var cluster = Cluster()
        cluster.call("POST", Cluster.ingresses, Cluster.ingress("a"))
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
        let table = cluster.call("GET", Cluster.ingresses, accept: accept).document
        #expect(table.text("kind") == "Table")
        #expect(
            table.list("columnDefinitions").map { $0.text("name") }
                == ["Name", "Class", "Hosts", "Address", "Ports", "Age"])
        let row = table.list("rows").first ?? .null
        #expect(row["cells"] == ["a", "<none>", "a.example.com", "", "80", "0s"])
        #expect(row.text("object", "kind") == "PartialObjectMetadata")
    }

    @Test("Server-side apply creates, conflicts, forces, and forgets what is no longer applied")
    func serverSideApply() {
        var cluster = Cluster()
        let target = "\(Cluster.configMaps)/a"
        #expect(
            cluster.apply(target, ["metadata": ["name": "a"], "data": ["x": "1", "y": "1"]], manager: "m").code == 201)
        let conflict = cluster.apply(target, ["data": ["x": "2"]], manager: "n")
        #expect(conflict.code == 409)
        #expect(conflict.document.text("message").contains(#"conflict with "m" using v1: .data.x"#))
        let causes = conflict.document.list("details", "causes")
        #expect(causes.map { $0.text("reason") } == ["FieldManagerConflict"])
        #expect(cluster.apply(target, ["data": ["x": "2"]], manager: "n", force: true).code == 200)
        #expect(cluster.apply(target, ["data": ["x": "2"]], manager: "m").document["data"] == ["x": "2"])
        #expect(cluster.call("PATCH", target, [:], type: "application/apply-patch+yaml").code == 422)
    }

    @Test("An update by another manager takes what it changes; the next apply conflicts with it")
    func updateTakesOwnership() {
        var cluster = Cluster()
        let target = "\(Cluster.configMaps)/a"
        _ = cluster.apply(target, ["data": ["x": "1"]], manager: "m")
        #expect(cluster.merge(target, ["data": ["x": "9"]]).code == 200)
        let conflict = cluster.apply(target, ["data": ["x": "1"]], manager: "m")
        #expect(conflict.code == 409)
        #expect(conflict.document.text("message").contains(#""tester""#))
    }
}
