import KubernetesAPI
import Synchronization
import TestSupport
import Testing

@testable import ClusterAgent

@Suite("The first status of a GatewayRoute")
struct FirstStatusTests {
    @Test("It waits for the set to be sent and then, with patience, for the answer; one that comes later does not wait")
    func waits() {
        let first = FirstStatus(patience: .seconds(5))
        let (early, late) = (Sample.key("early"), Sample.key("late"))
        #expect(first.delay(early, isPublished: false, now: .seconds(1)) == .seconds(10))
        #expect(first.delay(early, isPublished: false, now: .seconds(11)) == .seconds(10))
        #expect(first.delay(early, isPublished: true, now: .seconds(20)) == .seconds(5))
        #expect(first.delay(early, isPublished: true, now: .seconds(22)) == .seconds(3))
        #expect(first.delay(early, isPublished: true, now: .seconds(25)) == nil)
        #expect(first.delay(late, isPublished: true, now: .seconds(20)) == nil)
        first.settled(early)
        #expect(first.delay(early, isPublished: true, now: .seconds(26)) == nil)
    }

    @Test("A cluster that is met for the first time costs two writes a GatewayRoute")
    func twoWrites() async throws {
        let start = Mutex("")
        try await PipelineWorld.run(
            before: { client in
                let names = ["a", "b", "c"]
                for var ingress in names.map({ Sample.ingress($0, host: "\($0).example.com") }) {
                    ingress.metadata.uid = nil
                    ingress.metadata.generation = nil
                    ingress.metadata.creationTimestamp = nil
                    _ = try await client.create(ingress)
                }
                var service = Sample.service("my-app", clusterIP: nil)
                service.metadata.uid = nil
                _ = try await client.create(service)
                let version = try await client.list(GatewayRoute.self).metadata.resourceVersion ?? ""
                start.withLock { $0 = version }
            },
            { world in
                for name in ["a", "b", "c"] { try await world.expect(name, .programmed, "Programmed") }
                // The history since then, as every watch gets it.
                let events = try await world.client.watch(
                    GatewayRoute.self, options: WatchOptions(resourceVersion: start.withLock { $0 }))
                var writes: [String: [String]] = [:]
                for try await event in events {
                    switch event {
                    case .added(let route): writes[route.key.name, default: []].append("created")
                    case .modified(let route):
                        let reason = route.status?.condition(.programmed)?.reason
                        writes[route.key.name, default: []].append(reason ?? "without status")
                    default: break
                    }
                    if writes.values.reduce(0, { $0 + $1.count }) == 6 { break }
                }
                let each = ["created", "Programmed"]
                #expect(writes == ["a": each, "b": each, "c": each])
            })
    }
}
