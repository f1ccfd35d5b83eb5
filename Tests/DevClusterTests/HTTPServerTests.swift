import AsyncHTTPClient
import DevCluster
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
import Testing

/// A running server and a client that trusts it.
struct ServerUnderTest {
    let cluster: DevCluster
    let client: HTTPClient

    static func with(
        _ configure: (inout DevCluster.Configuration) -> Void = { _ in },
        _ body: (ServerUnderTest) async throws -> Void
    ) async throws {
        var configuration = DevCluster.Configuration()
        configure(&configuration)
        let cluster = try await DevCluster.start(configuration)
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .certificates(
            try NIOSSLCertificate.fromPEMBytes(Array(cluster.certificateAuthorityPEM.utf8)))
        let client = HTTPClient(
            eventLoopGroupProvider: .singleton, configuration: .init(tlsConfiguration: tls))
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(ServerUnderTest(cluster: cluster, client: client)))
        } catch {
            result = .failure(error)
        }
        try await client.shutdown()
        try await cluster.shutDown()
        try result.get()
    }

    func request(_ method: HTTPMethod, _ target: String, token: String? = nil) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: cluster.url + target)
        request.method = method
        let token = token ?? cluster.token
        if !token.isEmpty { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        return request
    }

    func send(
        _ method: HTTPMethod, _ target: String, _ body: JSONValue? = nil, type: String = "application/json",
        token: String? = nil
    ) async throws -> (code: UInt, document: JSONValue) {
        var request = request(method, target, token: token)
        if let body {
            request.headers.add(name: "content-type", value: type)
            request.body = .bytes(body.serialized())
        }
        let response = try await client.execute(request, timeout: .seconds(10))
        let bytes = try await response.body.collect(upTo: 16 * 1024 * 1024)
        let document = try? JSONValue(parsing: bytes.readableBytesView)
        return (response.status.code, document ?? .null)
    }

    /// Opens a watch.
    func watch(_ target: String) async throws -> WatchLines {
        let response = try await client.execute(request(.GET, target), timeout: .seconds(30))
        #expect(response.status == .ok)
        return WatchLines(body: response.body)
    }
}

/// The lines of a watch response, one by one.
struct WatchLines {
    private var iterator: HTTPClientResponse.Body.AsyncIterator
    private var pending = ""

    init(body: HTTPClientResponse.Body) {
        iterator = body.makeAsyncIterator()
    }

    /// The next event; nil at the end of the response.
    mutating func next() async throws -> JSONValue? {
        while true {
            if let end = pending.firstIndex(of: "\n") {
                let line = String(pending[..<end])
                pending = String(pending[pending.index(after: end)...])
                return try JSONValue(parsing: line)
            }
            guard let chunk = try await iterator.next(isolation: #isolation) else { return nil }
            pending += String(buffer: chunk)
        }
    }

    /// The types of the next events.
    mutating func types(_ count: Int) async throws -> [String] {
        var types: [String] = []
        while types.count < count, let event = try await next() { types.append(event.text("type")) }
        return types
    }
}

@Suite("The server over HTTP", .timeLimit(.minutes(1)))
struct HTTPServerTests {
    private let configMaps = "/api/v1/namespaces/default/configmaps"

    private func configMap(_ name: String, _ value: String = "1") -> JSONValue {
        ["metadata": ["name": .string(name), "labels": ["v": .string(value)]], "data": ["v": .string(value)]]
    }

    @Test("Without a known token everything but health and version is 401 with a Status")
    func authentication() async throws {
        try await ServerUnderTest.with { server in
            for token in ["", "wrong"] {
                let (code, status) = try await server.send(.GET, configMaps, token: token)
                #expect(code == 401)
                #expect(status.text("kind") == "Status")
                #expect(status.text("reason") == "Unauthorized")
            }
            for path in ["/healthz", "/readyz", "/livez", "/version"] {
                #expect(try await server.send(.GET, path, token: "").code == 200)
            }
            server.cluster.replaceTokens(["rotated"])
            #expect(try await server.send(.GET, configMaps).code == 401)
            #expect(try await server.send(.GET, configMaps, token: "rotated").code == 200)
        }
    }

    @Test("A client that does not know the authority does not connect")
    func untrusted() async throws {
        try await ServerUnderTest.with { server in
            let stranger = HTTPClient(eventLoopGroupProvider: .singleton)
            await #expect(throws: (any Error).self) {
                _ = try await stranger.execute(server.request(.GET, "/version"), timeout: .seconds(5))
            }
            try await stranger.shutdown()
        }
    }

    @Test("Changes reach a watcher as they happen")
    func watching() async throws {
        try await ServerUnderTest.with { server in
            #expect(try await server.send(.POST, configMaps, configMap("a")).code == 201)
            var lines = try await server.watch("\(configMaps)?watch=true")
            #expect(try await lines.next()?.text("type") == "ADDED")
            // Each change is waited for before the next is made: none may be held back.
            var slowest = Duration.zero
            for value in 2...21 {
                let start = ContinuousClock.now
                #expect(try await server.send(.PUT, "\(configMaps)/a", configMap("a", "\(value)")).code == 200)
                let event = try await lines.next()
                slowest = max(slowest, ContinuousClock.now - start)
                #expect(event?.text("type") == "MODIFIED")
                #expect(event?.text("object", "data", "v") == "\(value)")
            }
            #expect(slowest < .seconds(5))
            #expect(try await server.send(.DELETE, "\(configMaps)/a").code == 200)
            #expect(try await lines.next()?.text("type") == "DELETED")
        }
    }

    @Test("A watch resumes after a version without gap or repetition")
    func resuming() async throws {
        try await ServerUnderTest.with { server in
            let first = try await server.send(.POST, configMaps, configMap("a")).document
            #expect(try await server.send(.POST, configMaps, configMap("b")).code == 201)
            let version = first.text("metadata", "resourceVersion")
            var lines = try await server.watch("\(configMaps)?watch=true&resourceVersion=\(version)")
            #expect(try await server.send(.POST, configMaps, configMap("c")).code == 201)
            var names: [String] = []
            while names.count < 2, let event = try await lines.next() {
                names.append(event.text("object", "metadata", "name"))
            }
            #expect(names == ["b", "c"])
        }
    }

    @Test("A resume from a compacted version is answered 200 with one ERROR event of 410, and ends")
    func gone() async throws {
        try await ServerUnderTest.with { server in
            let first = try await server.send(.POST, configMaps, configMap("a")).document
            #expect(try await server.send(.POST, configMaps, configMap("b")).code == 201)
            server.cluster.compact()
            let version = first.text("metadata", "resourceVersion")
            var lines = try await server.watch("\(configMaps)?watch=true&resourceVersion=\(version)")
            let event = try await lines.next()
            #expect(event?.text("type") == "ERROR")
            #expect(event?.integer("object", "code") == 410)
            #expect(event?.text("object", "reason") == "Expired")
            #expect(try await lines.next() == nil)
        }
    }

    @Test("A streaming list ends its initial events with the annotated bookmark")
    func streamingList() async throws {
        try await ServerUnderTest.with { server in
            #expect(try await server.send(.POST, configMaps, configMap("a")).code == 201)
            #expect(try await server.send(.POST, configMaps, configMap("b")).code == 201)
            let options = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
            var lines = try await server.watch("\(configMaps)?\(options)")
            #expect(try await lines.types(2) == ["ADDED", "ADDED"])
            let bookmark = try await lines.next()
            #expect(bookmark?.text("type") == "BOOKMARK")
            #expect(
                bookmark?[path: ["object", "metadata", "annotations", "k8s.io/initial-events-end"]] == "true")
            #expect(try await server.send(.GET, "\(configMaps)?watch=true&sendInitialEvents=true").code == 422)
        }
    }

    @Test("Bookmarks come regularly and carry the newest version")
    func bookmarks() async throws {
        try await ServerUnderTest.with({ $0.bookmarkInterval = .milliseconds(50) }) { server in
            var lines = try await server.watch("\(configMaps)?watch=true&allowWatchBookmarks=true")
            // A change of another type moves the version on, too.
            let other: JSONValue = ["metadata": ["name": "x"]]
            let made = try await server.send(.POST, "/api/v1/namespaces/default/secrets", other).document
            let wanted = made.text("metadata", "resourceVersion")
            var seen = ""
            while seen != wanted, let event = try await lines.next() {
                #expect(event.text("type") == "BOOKMARK")
                seen = event.text("object", "metadata", "resourceVersion")
            }
            #expect(seen == wanted)
        }
    }

    @Test("A watch ends after its timeout, when it is closed, and when its type is gone")
    func endings() async throws {
        try await ServerUnderTest.with { server in
            var timed = try await server.watch("\(configMaps)?watch=true&timeoutSeconds=1")
            #expect(try await timed.next() == nil)
            var closed = try await server.watch("\(configMaps)?watch=true")
            while server.cluster.openWatches == 0 { await Task.yield() }
            server.cluster.closeWatches()
            #expect(try await closed.next() == nil)

            let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            #expect(try await server.send(.POST, definitions, CustomResourceTests.definition()).code == 201)
            let things = "/apis/example.com/v1/namespaces/default/things"
            let thing: JSONValue = ["metadata": ["name": "a"], "spec": ["name": "x"]]
            #expect(try await server.send(.POST, things, thing).code == 201)
            var lines = try await server.watch("\(things)?watch=true")
            #expect(try await lines.types(1) == ["ADDED"])
            #expect(try await server.send(.DELETE, "\(definitions)/things.example.com").code == 200)
            #expect(try await lines.types(1) == ["DELETED"])
            #expect(server.cluster.openWatches <= 1)
        }
    }

    @Test("A watch of Tables describes its columns once")
    func tableWatch() async throws {
        try await ServerUnderTest.with { server in
            #expect(try await server.send(.POST, configMaps, configMap("a")).code == 201)
            var request = server.request(.GET, "\(configMaps)?watch=true")
            request.headers.add(name: "accept", value: "application/json;as=Table;v=v1;g=meta.k8s.io")
            let response = try await server.client.execute(request, timeout: .seconds(10))
            var lines = WatchLines(body: response.body)
            let first = try await lines.next()
            #expect(first?.text("object", "kind") == "Table")
            #expect(first?.list("object", "columnDefinitions").count == 3)
            #expect(try await server.send(.POST, configMaps, configMap("b")).code == 201)
            let second = try await lines.next()
            #expect(second?[path: ["object", "columnDefinitions"]] == .null)
            #expect(second?.list("object", "rows").first?.list("cells").first == "b")
        }
    }

    @Test("Dropped connections end watches, and new ones are accepted")
    func dropping() async throws {
        try await ServerUnderTest.with { server in
            let lines = try await server.watch("\(configMaps)?watch=true")
            while server.cluster.openWatches == 0 { await Task.yield() }
            await server.cluster.dropConnections()
            await #expect(throws: (any Error).self) {
                var lines = lines
                while try await lines.next() != nil {}
            }
            #expect(try await server.send(.GET, configMaps).code == 200)
        }
    }

    @Test("A body beyond the limit is refused with 413")
    func largeBody() async throws {
        try await ServerUnderTest.with { server in
            let big: JSONValue = [
                "metadata": ["name": "a"], "data": ["x": .string(String(repeating: "x", count: 4_000_000))],
            ]
            let (code, status) = try await server.send(.POST, configMaps, big)
            #expect(code == 413)
            #expect(status.text("reason") == "RequestEntityTooLarge")
            #expect(try await server.send(.GET, configMaps).code == 200)
        }
    }

    @Test("Writers on many connections lose no update and repeat no version")
    func concurrency() async throws {
        try await ServerUnderTest.with { server in
            var lines = try await server.watch("\(configMaps)?watch=true")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<8 {
                    group.addTask {
                        for index in 0..<10 {
                            let code = try await server.send(
                                .POST, configMaps, configMap("c-\(writer)-\(index)")
                            ).code
                            #expect(code == 201)
                        }
                    }
                }
                try await group.waitForAll()
            }
            var versions: [Int64] = []
            while versions.count < 80, let event = try await lines.next() {
                versions.append(Int64(event.text("object", "metadata", "resourceVersion")) ?? 0)
            }
            #expect(versions == versions.sorted())
            #expect(Set(versions).count == 80)
        }
    }

    @Test("The kubeconfig is written for its owner only")
    func kubeconfig() async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("sub/config").path
        try await ServerUnderTest.with({ $0.kubeconfigPath = path }) { server in
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(text == server.cluster.kubeconfig.yaml)
            let document = try JSONValue.documents(inYAML: text).first
            #expect(document?.text("current-context") == "devcluster")
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
        }
    }
}
