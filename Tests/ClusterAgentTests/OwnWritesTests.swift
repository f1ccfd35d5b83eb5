import KubernetesAPI
import Testing

@testable import ClusterAgent

@Suite("A write is known before the watch shows it")
struct OwnWritesTests {
    static func route(_ version: String, uid: String = "1") -> GatewayRoute {
        GatewayRoute(metadata: ObjectMeta(name: "a", namespace: "default", uid: uid, resourceVersion: version))
    }

    static let key = Sample.key("a")

    @Test("The newer of cache and write counts")
    func newest() {
        let writes = OwnWrites()
        #expect(writes.newest(Self.key, cached: nil) == nil)
        writes.end(Self.key, Self.route("9"))
        #expect(writes.newest(Self.key, cached: nil) == Self.route("9"))
        #expect(writes.newest(Self.key, cached: Self.route("8")) == Self.route("9"))
        #expect(writes.newest(Self.key, cached: Self.route("10")) == Self.route("10"))
    }

    @Test("The echo of a write, and what came before it, is nobody's news; what comes after it is")
    func echoes() {
        let writes = OwnWrites()
        writes.end(Self.key, Self.route("5"))
        writes.end(Self.key, Self.route("7"))
        #expect(writes.observed(Self.route("5")))
        #expect(writes.observed(Self.route("7")))
        #expect(!writes.observed(Self.route("8")))
        writes.end(Self.key, Self.route("9"))
        #expect(!writes.observed(Self.route("11")), "somebody wrote after us, and the watch skipped ours")
        #expect(writes.newest(Self.key, cached: Self.route("11")) == Self.route("11"))
    }

    @Test("A deletion is known at once, and does not hide what is made anew")
    func deletions() {
        let writes = OwnWrites()
        writes.deleted(Self.route("5"))
        #expect(writes.newest(Self.key, cached: Self.route("5")) == nil)
        #expect(writes.newest(Self.key, cached: Self.route("9", uid: "2")) == Self.route("9", uid: "2"))
        writes.observedDeletion(of: Self.route("6"))
        #expect(writes.newest(Self.key, cached: Self.route("5")) == Self.route("5"))
    }

    @Test("A watch that is quicker than the answer to the write is believed")
    func overtaken() {
        let writes = OwnWrites()
        writes.begin(Self.key)
        #expect(!writes.observed(Self.route("7")))
        writes.end(Self.key, Self.route("7"))
        #expect(writes.newest(Self.key, cached: Self.route("7")) == Self.route("7"))
        writes.begin(Self.key)
        #expect(!writes.observed(Self.route("8")))
        writes.observedDeletion(of: Self.route("9"))
        writes.end(Self.key, Self.route("8"))
        #expect(writes.newest(Self.key, cached: nil) == nil, "what is gone is not taken for there")
    }

    @Test("A deletion of the object before does not hide the one that was written since")
    func staleDeletion() {
        let writes = OwnWrites()
        writes.end(Self.key, Self.route("9", uid: "2"))
        writes.observedDeletion(of: Self.route("8", uid: "1"))
        #expect(writes.newest(Self.key, cached: nil) == Self.route("9", uid: "2"))
        writes.observedDeletion(of: Self.route("10", uid: "2"))
        #expect(writes.newest(Self.key, cached: nil) == nil)
    }
}
