import ClusterAgent
import Foundation
import KubernetesAPI
import Routing
import Testing

/// What broke for others once; the numbers are the rows of the list it was taken from.
@Suite("Defects of the ancestor, each of which must not come back")
struct AncestorDefectTests {
    @Test("8: an Ingress that is deleted after its Service is unregistered all the same")
    func deletedAfterService() throws {
        var ledger = RouteLedgerTests.ledger()
        let ingress = Sample.ingress("my-app")
        let served = try Sample.extract(ingress, [Sample.service("my-app")])
        _ = ledger.replace(ingress: ingress.key, createdAt: Sample.date(0), with: served.routes)
        _ = ledger.takeChangedKeys()
        // The Service goes: its route goes with it, by key and not by what a lookup finds now.
        let bereft = try Sample.extract(ingress, [])
        #expect(ledger.replace(ingress: ingress.key, createdAt: Sample.date(0), with: bereft.routes).routesChanged)
        #expect(ledger.takeChangedKeys() == Set(served.routes.map(\.key)))
        #expect(ledger.remove(ingress: ingress.key) == RouteLedger.Change())
        #expect(ledger.routeCount == 0)
    }

    @Test("9: a renamed host, a removed rule and a new opt-out leave no stale route")
    func renamedHost() throws {
        var transcript = RouteSyncMachineTests.Transcript()
        let services = [Sample.service("my-app")]
        func submit(_ ingress: Ingress) throws {
            let routes = try Sample.extract(ingress, services).routes
            _ = transcript.ledger.replace(ingress: ingress.key, createdAt: Sample.date(0), with: routes)
        }
        try submit(Sample.ingress("my-app", host: "old.example.com"))
        _ = transcript.established()
        _ = transcript.acknowledge(3)
        try submit(Sample.ingress("my-app", host: "new.example.com"))
        #expect(
            transcript.changed() == ["delete @5: old.example.com/=my-app", "add @6: new.example.com/=my-app"])
        _ = transcript.acknowledge(5)
        _ = transcript.acknowledge(6)
        var bare = Sample.ingress("my-app")
        bare.spec?.rules = []
        try submit(bare)
        #expect(transcript.changed() == ["delete @8: new.example.com/=my-app"])
        _ = transcript.acknowledge(8)
        try submit(Sample.ingress("my-app"))
        #expect(transcript.changed() == ["add @10: my-app.example.com/=my-app"])
        _ = transcript.acknowledge(10)
        let optedOut = Sample.ingress("my-app", annotations: ["gateway.pipeops.io/expose": "false"])
        #expect(!IngressSelection.all.includes(optedOut))
        _ = transcript.ledger.remove(ingress: optedOut.key)
        #expect(transcript.changed() == ["delete @12: my-app.example.com/=my-app"])
    }

    @Test("9: a sync with no Ingresses at all is sent, so that the gateway forgets what was deleted meanwhile")
    func emptySync() {
        var transcript = RouteSyncMachineTests.Transcript()
        #expect(transcript.established() == ["sync @2 page 0 last: "])
    }

    @Test("10: deleting one Ingress leaves the other Ingresses' paths of the same host alone")
    func sharedHost() throws {
        let (live, forwarding) = ForwardingTests.live()
        _ = live.setPublication(.published)
        let host = "shop.example.com"
        for (name, path) in [("front", "/"), ("api", "/api"), ("admin", "/admin")] {
            _ = live.replace(
                ingress: Sample.key(name), createdAt: Sample.date(0),
                with: [try Sample.route(host, path, service: name)])
        }
        let change = live.remove(ingress: Sample.key("api"))
        #expect(change.affected.isEmpty)
        #expect(live.read { $0.routesInOrder.map(\.path) } == ["/", "/admin"])
        // The path falls to the one that covers it now, and its neighbour stays.
        for (path, service) in [("/api/x", "front"), ("/admin", "admin")] {
            guard case .found(let target) = forwarding.target(host: host, path: path) else {
                Issue.record("\(path) is not served")
                continue
            }
            #expect(target.service == Sample.key(service))
        }
    }

    @Test("11: TLS is per host, a defaultBackend counts, and no type or namespace of a Service is skipped")
    func nothingSkipped() throws {
        var ingress = Sample.ingress("my-app", host: "a.example.com")
        ingress.metadata.namespace = "kube-system"
        ingress.spec?.rules?.append(.init(host: "b.example.com"))
        ingress.spec?.tls = [.init(hosts: ["b.example.com"])]
        ingress.spec?.defaultBackend = .init(service: .init(name: "balanced", port: .init(number: 8080)))
        let extraction = try Sample.extract(
            ingress,
            [
                Sample.service("my-app", namespace: "kube-system"),
                Sample.service(
                    "balanced", namespace: "kube-system", type: "LoadBalancer", addresses: [.init(ip: "203.0.113.7")]),
            ])
        #expect(
            extraction.routes.map { "\($0.route.host)\($0.route.path) \($0.route.service) \($0.route.tls)" } == [
                "a.example.com/ my-app false", "b.example.com/ balanced true",
            ])
    }

    @Test("12: a thousand changes while an answer is awaited cost one batch, and an unchanged world costs none")
    func coalescing() throws {
        var transcript = RouteSyncMachineTests.Transcript()
        _ = transcript.established()
        for index in 0..<1000 {
            transcript.submit("a", try Sample.route("a.example.com", service: "s\(index)"))
            #expect(transcript.changed() == [])
        }
        #expect(transcript.acknowledge(2) == ["add @1003: a.example.com/=s999"])
        #expect(transcript.acknowledge(1003) == [])
        transcript.submit("a", try Sample.route("a.example.com", service: "s999"))
        #expect(transcript.changed() == [])
    }

    @Test("13: a heartbeat counts the routes that were advertised, and asks nobody")
    func heartbeatCount() throws {
        var transcript = RouteSyncMachineTests.Transcript(.withdrawn)
        transcript.submit("a", try Sample.route("a.example.com"))
        _ = transcript.established()
        #expect(transcript.heartbeat(isPrivate: false).first?.hasPrefix("heartbeat not private 0 ") == true)
        _ = transcript.acknowledge(3)
        _ = transcript.ledger.setPublication(.published)
        _ = transcript.changed()
        #expect(transcript.heartbeat().first?.hasPrefix("heartbeat private 1 ") == true)
    }

    @Test("14: the agent's plan for an Ingress writes a GatewayRoute and nothing of the Ingress")
    func onlyOurOwn() throws {
        let object = try #require(try GatewayRoutePlanTests.plan().object(existing: nil))
        let data = try KubernetesJSON.encode(object)
        let fields = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(fields["kind"] as? String == "GatewayRoute")
        #expect(Set(fields.keys) == ["apiVersion", "kind", "metadata", "spec"])
        let metadata = try #require(fields["metadata"] as? [String: Any])
        #expect(Set(metadata.keys) == ["name", "namespace", "labels", "ownerReferences"])
    }

    @Test("15: an app's own /api path is a path like any other, and the API server is behind none of them")
    func ownAPIPath() throws {
        let (live, forwarding) = ForwardingTests.live()
        _ = live.setPublication(.published)
        let route = try Sample.route("my-app.example.com", "/")
        _ = live.replace(ingress: Sample.key("a"), createdAt: Sample.date(0), with: [route])
        for path in ["/api/v1/pods", "/apis", "/healthz", "/version", "/openapi/v2"] {
            #expect(forwarding.target(host: "my-app.example.com", path: path) == .found(route.target))
            #expect(forwarding.target(host: "other.example.com", path: path) == .noSuchHost)
        }
    }
}
