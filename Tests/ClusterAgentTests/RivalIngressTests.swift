import ClusterAgent
import KubernetesAPI
import KubernetesRuntime
import Synchronization
import TestSupport
import Testing

@Suite("An Ingress whose rival comes while its status is written")
struct RivalIngressTests {
    /// Reconciles `my-app`, which the ledger does not have yet; `meanwhile` happens after its status was planned.
    ///
    /// - Returns: what is to be reconciled again.
    private func reconcile(meanwhile: @escaping @Sendable (LiveRouteLedger) -> Void) async throws -> Set<ObjectKey> {
        let requeued = Mutex<Set<ObjectKey>>([])
        try await ReconcilerScene.run { scene in
            let ingress = Sample.ingress("my-app")
            _ = scene.ingresses.set(ingress)
            let ledger = scene.ledger
            _ = ledger.setPublication(.published)
            let asked = CallCount()
            let reconciler = try scene.reconciler(
                isLeading: {
                    // First before anything is read, then before the write.
                    if asked.next() == 2 { meanwhile(ledger) }
                    return true
                }, requeue: { keys in requeued.withLock { $0.formUnion(keys) } })
            _ = try await reconciler.reconcile(ingress.key)
            #expect(ledger.read { $0.ingresses }.contains(ingress.key))
        }
        return requeued.withLock { $0 }
    }

    @Test("is looked at again where the rival won and was answered first")
    func rivalWins() async throws {
        let route = try Sample.route("my-app.example.com")
        let requeued = try await reconcile { ledger in
            _ = ledger.replace(ingress: Sample.key("a-rival"), createdAt: Sample.date(0), with: [route])
        }
        #expect(requeued == [Sample.key("my-app")])
    }

    @Test("is looked at again where the tunnel went")
    func tunnelLost() async throws {
        let requeued = try await reconcile { _ = $0.setTunnel(.down) }
        #expect(requeued == [Sample.key("my-app")])
    }

    @Test("is not looked at again where nothing came between")
    func alone() async throws {
        #expect(try await reconcile { _ in } == [])
    }
}
