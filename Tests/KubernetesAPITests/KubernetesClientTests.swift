import Foundation
import KubernetesAPI
import Logging
import NIOCore
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@Suite("Kubernetes client")
struct KubernetesClientTests {
    private static let quick = KubernetesClient.Options(
        requestTimeout: .seconds(5),
        retry: RetryPolicy(initialDelay: .milliseconds(2), maximumDelay: .milliseconds(10)))

    private func withClient<Result>(
        port: Int, credentials: KubernetesConfiguration.Credentials = .token("t"),
        options: KubernetesClient.Options = KubernetesClientTests.quick, clock: any Clock<Duration> = ContinuousClock(),
        _ body: (KubernetesClient) async throws -> Result
    ) async throws -> Result {
        let client = try KubernetesClient(
            configuration: KubernetesConfiguration(
                server: ServerAddress(isTLS: false, host: "127.0.0.1", port: port), credentials: credentials),
            logger: Logger(label: "test"), userAgent: "tests/1.0", options: options, clock: clock, random: { 0 })
        return try await TestSupport.withClient(client, body)
    }

    private static let object = #"{"metadata":{"name":"web","namespace":"shop","resourceVersion":"3"}}"#
    private static let key = ObjectKey(namespace: "shop", name: "web")

    private func status(_ code: Int, _ reason: String, _ message: String = "") -> String {
        #"{"kind":"Status","apiVersion":"v1","status":"Failure","code":\#(code),"reason":"\#(reason)","#
            + #""message":"\#(message)"}"#
    }

    @Test("each verb sends the request that the API defines")
    func verbs() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.reply(200, Self.object)
        } _: { server in
            try await withClient(port: server.port) { client in
                let ingress = Ingress(metadata: ObjectMeta(name: "web", namespace: "shop"), spec: nil)
                _ = try await client.list(
                    Ingress.self, namespace: "shop", options: ListOptions(limit: 5, labelSelector: "a=b"))
                _ = try await client.list(Ingress.self)
                _ = try await client.get(Ingress.self, Self.key)
                _ = try await client.create(ingress)
                _ = try await client.apply(ingress, fieldManager: "agent", force: true)
                _ = try await client.applyStatus(ingress, fieldManager: "agent")
                _ = try await client.patch(Ingress.self, Self.key, merge: ["metadata": ["labels": ["a": "b"]]])
                try await client.delete(Ingress.self, Self.key)
                try await client.delete(
                    Ingress.self, Self.key, options: DeleteOptions(uid: "u", propagationPolicy: "Background"))
            }
            let base = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses"
            let seen = server.requests.map { "\($0.method) \($0.path)" }
            #expect(
                seen == [
                    "GET \(base)", "GET /apis/networking.k8s.io/v1/ingresses", "GET \(base)/web", "POST \(base)",
                    "PATCH \(base)/web", "PATCH \(base)/web/status", "PATCH \(base)/web", "DELETE \(base)/web",
                    "DELETE \(base)/web",
                ])
            #expect(server.requests[0].query == ["limit": "5", "labelSelector": "a=b"])
            #expect(server.requests[4].query == ["fieldManager": "agent", "force": "true"])
            #expect(server.requests[4].headers.first(name: "content-type") == "application/apply-patch+yaml")
            #expect(server.requests[4].body.contains(#""kind":"Ingress""#))
            #expect(server.requests[5].query == ["fieldManager": "agent", "force": "false"])
            #expect(server.requests[6].headers.first(name: "content-type") == "application/merge-patch+json")
            #expect(server.requests[6].body == #"{"metadata":{"labels":{"a":"b"}}}"#)
            #expect(server.requests[7].body == "")
            #expect(
                server.requests[8].body == #"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u"},"#
                    + #""propagationPolicy":"Background"}"#)
            for request in server.requests {
                #expect(request.headers.first(name: "authorization") == "Bearer t")
                #expect(request.headers.first(name: "user-agent") == "tests/1.0")
                #expect(request.headers.first(name: "accept") == "application/json")
            }
        }
    }

    @Test("a refusal carries the server's status, its kind, and which request it was")
    func typedError() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.reply(404, status(404, "NotFound", "ingresses \\\"web\\\" not found"))
        } _: { server in
            try await withClient(port: server.port) { client in
                let error = await #expect(throws: KubernetesError.self) {
                    try await client.get(Ingress.self, Self.key)
                }
                #expect(error?.kind == .notFound)
                #expect(error?.verb == .get)
                #expect(error?.path == "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web")
                #expect(error?.status?.reason == "NotFound")
                #expect(error?.message == #"ingresses "web" not found"#)
            }
            #expect(server.requests.count == 1)
        }
    }

    @Test("429 is repeated after the wait the server asks for, whatever the verb")
    func retryAfter() async throws {
        let count = CallCount()
        try await withScriptedServer { _, exchange in
            if count.next() <= 2 {
                try await exchange.reply(429, status(429, "TooManyRequests"), headers: [("Retry-After", "7")])
            } else {
                try await exchange.reply(201, Self.object)
            }
        } _: { server in
            let clock = ManualClock()
            try await withClient(port: server.port, clock: clock) { client in
                async let created = client.create(Ingress(metadata: ObjectMeta(namespace: "shop"), spec: nil))
                for round in 1...2 {
                    try await eventually("the client waits") { clock.sleepers == 1 }
                    #expect(server.requests.count == round)
                    clock.advance(by: .seconds(7) - .milliseconds(1))
                    #expect(clock.sleepers == 1)
                    clock.advance(by: .milliseconds(1))
                }
                let object = try await created
                #expect(object.key == Self.key)
                #expect(clock.slept == [.seconds(7), .seconds(7)])
            }
            #expect(server.requests.count == 3)
        }
    }

    @Test("a storm of 429 ends after the last attempt with the wait in the error")
    func storm() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.reply(429, status(429, "TooManyRequests"), headers: [("Retry-After", "0")])
        } _: { server in
            try await withClient(port: server.port) { client in
                let error = await #expect(throws: KubernetesError.self) {
                    try await client.get(Ingress.self, Self.key)
                }
                #expect(error?.kind == .tooManyRequests(retryAfter: .zero))
            }
            #expect(server.requests.count == 4)
        }
    }

    @Test("a 5xx is repeated for what may be repeated, and not for a creation")
    func serverErrors() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.reply(500, status(500, "InternalError"))
        } _: { server in
            try await withClient(port: server.port) { client in
                let ingress = Ingress(metadata: ObjectMeta(name: "web", namespace: "shop"), spec: nil)
                await #expect(throws: KubernetesError.self) { try await client.create(ingress) }
                #expect(server.requests.count == 1)
                await #expect(throws: KubernetesError.self) { try await client.apply(ingress, fieldManager: "a") }
                #expect(server.requests.count == 1 + 4)
            }
        }
    }

    @Test("an answer cut in its middle is fetched again")
    func cutAnswer() async throws {
        let count = CallCount()
        try await withScriptedServer { _, exchange in
            if count.next() == 1 {
                try await exchange.begin()
                try await exchange.chunk(#"{"metadata":{"#)
                try await exchange.cut()
            } else {
                try await exchange.reply(200, Self.object)
            }
        } _: { server in
            try await withClient(port: server.port) { client in
                let object = try await client.get(Ingress.self, Self.key)
                #expect(object.key == Self.key)
            }
            #expect(server.requests.count == 2)
        }
    }

    @Test("a server that is away is a connection error that was not processed; back again, it is used again")
    func awayAndBack() async throws {
        let reserved = try ReservedPort()
        let port = reserved.number
        try await withClient(port: port) { client in
            let error = await #expect(throws: KubernetesError.self) { try await client.get(Ingress.self, Self.key) }
            #expect(error?.kind == .connection)
            #expect(error?.mayHaveBeenProcessed == false)
            #expect(error?.isRetryable == true)
            try await withScriptedServer(port: port) { _, exchange in
                try await exchange.reply(200, Self.object)
            } _: { _ in
                let object = try await client.get(Ingress.self, Self.key)
                #expect(object.key == Self.key)
            }
        }
    }

    @Test("a server that does not answer is a timeout")
    func timeout() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.hold()
        } _: { server in
            let options = KubernetesClient.Options(requestTimeout: .milliseconds(100), retry: .never)
            try await withClient(port: server.port, options: options) { client in
                let error = await #expect(throws: KubernetesError.self) {
                    try await client.get(Ingress.self, Self.key)
                }
                #expect(error?.kind == .timeout)
                #expect(error?.mayHaveBeenProcessed == true)
            }
        }
    }

    @Test("an answer beyond the limit is refused")
    func bodyLimit() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.reply(200, String(repeating: " ", count: 5000) + Self.object)
        } _: { server in
            let options = KubernetesClient.Options(responseBodyLimit: 4096)
            try await withClient(port: server.port, options: options) { client in
                let error = await #expect(throws: KubernetesError.self) {
                    try await client.get(Ingress.self, Self.key)
                }
                #expect(error?.kind == .responseTooLarge)
            }
        }
    }

    @Test("an answer that is no such object says where it is not")
    func undecodableAnswer() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.reply(200, #"{"metadata":{"name":7}}"#)
        } _: { server in
            try await withClient(port: server.port) { client in
                let error = await #expect(throws: KubernetesError.self) {
                    try await client.get(Ingress.self, Self.key)
                }
                #expect(error?.kind == .decoding)
                #expect(error?.message.contains(".metadata.name") == true)
            }
        }
    }

    @Test("a rotated token is picked up in the very call that the old one failed")
    func tokenRotation() async throws {
        try await withTemporaryDirectory { directory in
            try await withScriptedServer { request, exchange in
                if request.headers.first(name: "authorization") == "Bearer new" {
                    try await exchange.reply(200, Self.object)
                } else {
                    try await exchange.reply(401, status(401, "Unauthorized"))
                }
            } _: { server in
                let path = try directory.write("token", "old")
                try await withClient(port: server.port, credentials: .tokenFile(path: path)) { client in
                    let error = await #expect(throws: KubernetesError.self) {
                        try await client.get(Ingress.self, Self.key)
                    }
                    #expect(error?.kind == .unauthorized)
                    #expect(server.requests.count == 2)
                    try directory.write("token", "new")
                    let object = try await client.get(Ingress.self, Self.key)
                    #expect(object.key == Self.key)
                    let options = WatchOptions(resourceVersion: "1")
                    _ = try await client.watch(Ingress.self, options: options)
                }
            }
        }
    }

    @Test("a watch yields events as they come and ends when the server ends it")
    func watch() async throws {
        let (steps, proceed) = AsyncStream<Void>.makeStream()
        try await withScriptedServer { _, exchange in
            try await exchange.begin()
            var steps = steps.makeAsyncIterator()
            for type in ["ADDED", "MODIFIED"] {
                try await exchange.chunk(#"{"type":"\#(type)","object":\#(Self.object)}"# + "\n")
                await steps.next()
            }
            try await exchange.end()
        } _: { server in
            try await withClient(port: server.port) { client in
                let options = WatchOptions(resourceVersion: "2", timeoutSeconds: 300, labelSelector: "x")
                var events = try await client.watch(Ingress.self, options: options).makeAsyncIterator()
                guard case .added = try await events.next() else { throw NeverHappened() }
                proceed.yield()
                guard case .modified = try await events.next() else { throw NeverHappened() }
                proceed.yield()
                #expect(try await events.next() == nil)
            }
            #expect(
                server.requests[0].query == [
                    "watch": "true", "resourceVersion": "2", "timeoutSeconds": "300", "allowWatchBookmarks": "true",
                    "labelSelector": "x",
                ])
        }
    }

    @Test("a watch that is cut throws a connection error, one with an endless line a size error")
    func brokenWatches() async throws {
        try await withScriptedServer { request, exchange in
            try await exchange.begin()
            if request.query["labelSelector"] == "cut" {
                try await exchange.chunk(#"{"type":"ADD"#)
                try await exchange.cut()
            } else {
                try await exchange.chunk(String(repeating: "x", count: 3000))
                try await exchange.hold()
            }
        } _: { server in
            let options = KubernetesClient.Options(watchLineLimit: 2000)
            try await withClient(port: server.port, options: options) { client in
                for (selector, kind) in [("cut", KubernetesError.Kind.connection), ("long", .responseTooLarge)] {
                    let error = await #expect(throws: KubernetesError.self) {
                        let options = WatchOptions(resourceVersion: "2", labelSelector: selector)
                        for try await _ in try await client.watch(Ingress.self, options: options) {}
                    }
                    #expect(error?.kind == kind)
                }
            }
        }
    }

    @Test("a watch that is shed carries the wait, and is not opened again within the call", arguments: [429, 503])
    func shedWatch(code: Int) async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.reply(code, status(code, "TooManyRequests"), headers: [("Retry-After", "9")])
        } _: { server in
            try await withClient(port: server.port) { client in
                let error = await #expect(throws: KubernetesError.self) {
                    try await client.watch(Ingress.self, options: WatchOptions(resourceVersion: "1"))
                }
                #expect(error?.kind == .tooManyRequests(retryAfter: .seconds(9)))
                #expect(error?.httpStatus == code)
            }
            #expect(server.requests.count == 1)
        }
    }

    @Test("a 503 with Retry-After is repeated after that wait, for a creation too")
    func shedCreation() async throws {
        let count = CallCount()
        try await withScriptedServer { _, exchange in
            if count.next() == 1 {
                try await exchange.reply(503, status(503, "ServiceUnavailable"), headers: [("Retry-After", "7")])
            } else {
                try await exchange.reply(201, Self.object)
            }
        } _: { server in
            let clock = ManualClock()
            try await withClient(port: server.port, clock: clock) { client in
                async let created = client.create(Ingress(metadata: ObjectMeta(namespace: "shop"), spec: nil))
                try await eventually("the client waits") { clock.sleepers == 1 }
                clock.advance(by: .seconds(7))
                #expect(try await created.key == Self.key)
                #expect(clock.slept == [.seconds(7)])
            }
            #expect(server.requests.count == 2)
        }
    }

    @Test("a refused watch is a typed error, at once")
    func refusedWatch() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.reply(410, status(410, "Expired", "too old resource version"))
        } _: { server in
            try await withClient(port: server.port) { client in
                let error = await #expect(throws: KubernetesError.self) {
                    try await client.watch(Ingress.self, options: WatchOptions(resourceVersion: "1"))
                }
                #expect(error?.kind == .gone)
            }
            #expect(server.requests.count == 1)
        }
    }

    @Test("cancelling the task ends a request and a watch promptly, with CancellationError")
    func cancellation() async throws {
        try await withScriptedServer { request, exchange in
            if request.isWatch { try await exchange.begin() }
            try await exchange.hold()
        } _: { server in
            try await withClient(port: server.port) { client in
                for watches in [false, true] {
                    let started = ContinuousClock.now
                    await #expect(throws: CancellationError.self) {
                        try await withThrowingTaskGroup(of: Void.self) { group in
                            group.addTask {
                                if watches {
                                    let options = WatchOptions(resourceVersion: "1")
                                    for try await _ in try await client.watch(Ingress.self, options: options) {}
                                } else {
                                    _ = try await client.get(Ingress.self, Self.key)
                                }
                            }
                            let count = watches ? 2 : 1
                            try await eventually("the request arrives") { server.requests.count == count }
                            group.cancelAll()
                            try await group.next()
                        }
                    }
                    #expect(ContinuousClock.now - started < .seconds(3))
                }
            }
        }
    }

    @Test("requests beyond the rate wait on this side")
    func rateLimit() async throws {
        try await withScriptedServer { _, exchange in
            try await exchange.reply(200, Self.object)
        } _: { server in
            let clock = ManualClock()
            let options = KubernetesClient.Options(rateLimit: (rate: 2, burst: 1))
            try await withClient(port: server.port, options: options, clock: clock) { client in
                _ = try await client.get(Ingress.self, Self.key)
                async let second = client.get(Ingress.self, Self.key)
                try await eventually("the client waits") { clock.sleepers == 1 }
                #expect(server.requests.count == 1)
                clock.advance(by: .milliseconds(500))
                _ = try await second
                #expect(server.requests.count == 2)
            }
        }
    }
}
