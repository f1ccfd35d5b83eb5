import KubernetesAPI
import Testing

@testable import KubernetesRuntime

@Suite("Store")
struct StoreTests {
    private func writer() -> StoreWriter<Ingress> {
        StoreWriter(indices: ["class": { [$0.spec?.ingressClassName].compactMap { $0 } }])
    }

    @Test("a relist tells what is gone, what is new and what has changed, and nothing of what has not")
    func replace() {
        let writer = writer()
        #expect(
            writer.replace(with: [ingress("b", 2), ingress("a", 1), ingress("c", 3)])
                == [.added(ingress("a", 1)), .added(ingress("b", 2)), .added(ingress("c", 3))])
        #expect(
            writer.replace(with: [ingress("a", 1), ingress("c", 9), ingress("d", 8)])
                == [
                    .deleted(ingress("b", 2)), .updated(old: ingress("c", 3), new: ingress("c", 9)),
                    .added(ingress("d", 8)),
                ])
        #expect(Set(writer.store.all().map(\.metadata.name)) == ["a", "c", "d"])
    }

    @Test("an object made anew under the name of an old one is a change, even with the same version")
    func recreated() {
        let writer = writer()
        _ = writer.replace(with: [ingress("a", 1)])
        var other = ingress("a", 1)
        other.metadata.uid = "other"
        #expect(writer.replace(with: [other]) == [.updated(old: ingress("a", 1), new: other)])
    }

    @Test("what could not be read in a relist stays as it was known, if it was known")
    func keeping() {
        let writer = writer()
        _ = writer.replace(with: [ingress("a", 1, class: "x"), ingress("b", 2)])
        #expect(writer.replace(with: [ingress("b", 2)], keeping: [key("a"), key("z")]) == [])
        #expect(writer.store.get(key("a")) == ingress("a", 1, class: "x"))
        #expect(writer.store.keys(index: "class", value: "x") == [key("a")])
        #expect(writer.store.get(key("z")) == nil)
    }

    @Test("where it cannot be told what could not be read, nothing known goes, and what is new comes")
    func keepingAll() {
        let writer = writer()
        _ = writer.replace(with: [ingress("a", 1), ingress("b", 2)])
        #expect(
            writer.replace(with: [ingress("b", 3), ingress("c", 4)], keeping: .all)
                == [.updated(old: ingress("b", 2), new: ingress("b", 3)), .added(ingress("c", 4))])
        #expect(writer.store.get(key("a")) == ingress("a", 1))
    }

    @Test("single changes tell old and new; what was not there cannot go")
    func singleChanges() {
        let writer = writer()
        #expect(writer.set(ingress("a", 1)) == .added(ingress("a", 1)))
        #expect(writer.set(ingress("a", 2)) == .updated(old: ingress("a", 1), new: ingress("a", 2)))
        #expect(writer.remove(key("a"), last: ingress("a", 3)) == .deleted(ingress("a", 3)))
        #expect(writer.remove(key("a"), last: nil) == nil)
        _ = writer.set(ingress("b", 1))
        #expect(writer.remove(key("b"), last: nil) == .deleted(ingress("b", 1)))
    }

    @Test("an index follows its objects through every change")
    func index() {
        let writer = writer()
        func keys(_ value: String) -> [String] { writer.store.keys(index: "class", value: value).map(\.name) }
        _ = writer.replace(with: [ingress("a", 1, class: "x"), ingress("b", 1, class: "x"), ingress("c", 1)])
        #expect(keys("x") == ["a", "b"])
        _ = writer.set(ingress("a", 2, class: "y"))
        #expect(keys("x") == ["b"] && keys("y") == ["a"])
        #expect(writer.store.objects(index: "class", value: "y") == [ingress("a", 2, class: "y")])
        _ = writer.remove(key("b"), last: nil)
        #expect(keys("x") == [])
        _ = writer.replace(with: [ingress("c", 2, class: "y")])
        #expect(keys("y") == ["c"])
    }

    @Test("a snapshot does not change under its reader")
    func snapshot() {
        let writer = writer()
        _ = writer.set(ingress("a", 1))
        let snapshot = writer.store.snapshot()
        _ = writer.replace(with: [])
        #expect(snapshot[key("a")] == ingress("a", 1))
        #expect(writer.store.count == 0)
    }
}
