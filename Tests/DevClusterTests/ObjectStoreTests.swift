import DevCluster
import KubernetesAPI
import Testing

@Suite("Store and history")
struct ObjectStoreTests {
    private func name(_ text: String) -> ObjectName { ObjectName(namespace: "default", name: text) }

    private func object(_ text: String, _ labels: JSONValue = [:]) -> JSONValue {
        ["metadata": ["name": .string(text), "namespace": "default", "labels": labels]]
    }

    private func configMaps() throws -> APIResource {
        try #require(ResourceCatalog().resource(group: "", version: "v1", plural: "configmaps"))
    }

    @Test("Every change has the next version, removals too")
    func versions() {
        var store = ObjectStore(firstRevision: 10)
        #expect(store.put("configmaps", name("a"), object("a")).revision == 11)
        #expect(store.put("services", name("a"), object("a")).revision == 12)
        #expect(store.remove("configmaps", name("a"))?.revision == 13)
        #expect(store.remove("configmaps", name("a")) == nil)
        #expect(store.revision == 13)
    }

    @Test("An earlier version of a list can be read until the history is gone")
    func snapshots() throws {
        var store = ObjectStore()
        store.put("configmaps", name("a"), object("a"))
        store.put("configmaps", name("b"), object("b"))
        store.remove("configmaps", name("a"))
        store.put("configmaps", name("b"), object("b", ["x": "y"]))
        let before = try store.objects("configmaps", namespace: nil, at: 2)
        #expect(before.map(\.name.name) == ["a", "b"])
        #expect(before.map(\.revision) == [1, 2])
        store.compact()
        #expect(throws: APIStatus.expired(requested: 2, oldest: 4)) {
            try store.objects("configmaps", namespace: nil, at: 2)
        }
    }

    @Test("The history is bounded; who is further back gets 410")
    func bound() {
        var store = ObjectStore(historyLimit: 3)
        for index in 0..<10 { store.put("configmaps", name("\(index)"), object("\(index)")) }
        #expect((try? store.changes(after: 7))?.map(\.revision) == [8, 9, 10])
        #expect((try? store.changes(after: 10))?.isEmpty == true)
        #expect(throws: APIStatus.expired(requested: 6, oldest: 7)) { try store.changes(after: 6) }
    }

    @Test("A watch from now begins with what is there, and goes on with changes")
    func watchFromNow() throws {
        var store = ObjectStore()
        store.put("configmaps", name("a"), object("a"))
        var cursor = WatchCursor(
            selection: ObjectSelection(resource: try configMaps(), namespace: nil), start: .now(bookmarkWhenDone: true))
        let first = cursor.next(from: store)
        #expect(first.map(\.kind) == [.added, .bookmark])
        #expect(
            first.last?.object[path: ["metadata", "annotations", "k8s.io/initial-events-end"]] == "true")
        #expect(first.last?.object.text("metadata", "resourceVersion") == "1")
        store.put("configmaps", name("a"), object("a", ["x": "y"]))
        store.put("services", name("a"), object("a"))
        store.remove("configmaps", name("a"))
        let then = cursor.next(from: store)
        #expect(then.map(\.kind) == [.modified, .deleted])
        #expect(then.map { $0.object.text("metadata", "resourceVersion") } == ["2", "4"])
        #expect(cursor.next(from: store).isEmpty)
    }

    @Test("An object that leaves or enters the selection is deleted or added for the watcher")
    func transitions() throws {
        var store = ObjectStore()
        let selection = ObjectSelection(
            resource: try configMaps(), namespace: "default", labels: try LabelSelector("on=yes"))
        var cursor = WatchCursor(selection: selection, start: .after(0))
        store.put("configmaps", name("a"), object("a"))
        store.put("configmaps", name("a"), object("a", ["on": "yes"]))
        store.put("configmaps", name("a"), object("a", ["on": "yes", "x": "y"]))
        store.put("configmaps", name("a"), object("a"))
        store.remove("configmaps", name("a"))
        let events = cursor.next(from: store)
        #expect(events.map(\.kind) == [.added, .modified, .deleted])
        // The deletion shows the object as it was when it was last selected.
        #expect(events.last?.object[path: ["metadata", "labels", "x"]] == "y")
        #expect(events.last?.object.text("metadata", "resourceVersion") == "4")
    }

    @Test("A watch that resumes behind the history gets one ERROR with 410 and ends")
    func expiry() throws {
        var store = ObjectStore()
        store.put("configmaps", name("a"), object("a"))
        store.put("configmaps", name("b"), object("b"))
        store.compact()
        var cursor = WatchCursor(
            selection: ObjectSelection(resource: try configMaps(), namespace: nil), start: .after(1))
        let events = cursor.next(from: store)
        #expect(events.map(\.kind) == [.error])
        #expect(events.first?.object["code"] == 410)
        #expect(events.first?.object["reason"] == "Expired")
        #expect(cursor.isFinished)
        #expect(cursor.next(from: store).isEmpty)
    }

    @Test("Continue tokens survive being written and read, and nothing else is taken for one")
    func tokens() throws {
        let token = ContinueToken(revision: 7, after: name("a"))
        #expect(try ContinueToken(token.text) == token)
        #expect(throws: APIStatus.self) { try ContinueToken("bm9uc2Vuc2U=") }
    }
}
