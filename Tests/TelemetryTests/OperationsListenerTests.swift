import Foundation
import Logging
import Metrics
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization
import Telemetry
import Testing

@Suite("Operations listener", .timeLimit(.minutes(1)))
struct OperationsListenerTests {
    @Test("It serves health, metrics and further pages, and nothing else")
    func pages() async throws {
        let registry = PrometheusRegistry()
        Counter(label: "c_total", dimensions: [], factory: registry).increment()
        let routes = [OperationsRoute("/routes") { _ in OperationsAnswer(json: Array(#"{"routes":[]}"#.utf8)) }]
        try await withListener(metrics: registry, routes: routes) { address in
            let health = try await get("/healthz?verbose", from: address)
            #expect(health.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(health.hasSuffix("\r\n\r\nok\n"))

            let metrics = try await get("/metrics", from: address)
            #expect(metrics.contains("content-type: text/plain; version=0.0.4"))
            #expect(metrics.hasSuffix("\r\n\r\n# TYPE c_total counter\nc_total 1\n"))

            let page = try await get("/routes", from: address)
            #expect(page.contains("content-type: application/json\r\n"))
            #expect(page.hasSuffix(#"{"routes":[]}"#))

            for unknown in ["/", "/routes/", "/Healthz", "/metrics/x"] {
                try #expect(await get(unknown, from: address).hasPrefix("HTTP/1.1 404 "))
            }
        }
    }

    @Test("Readiness answers 503 with the reasons until there is none")
    func readiness() async throws {
        let reasons = SharedReasons(["caches not synced", "no tunnel"])
        try await withListener(readiness: { reasons.current }) { address in
            let unready = try await get("/readyz", from: address)
            #expect(unready.hasPrefix("HTTP/1.1 503 "))
            #expect(unready.hasSuffix("\r\n\r\nnot ready: caches not synced\nnot ready: no tunnel\n"))
            reasons.current = []
            try #expect(await get("/readyz", from: address).hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test("Only reading is allowed, and HEAD has no body")
    func methods() async throws {
        try await withListener { address in
            let post = try await exchange(
                "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi",
                with: address)
            #expect(post.hasPrefix("HTTP/1.1 405 "))
            #expect(post.contains("allow: GET, HEAD\r\n"))
            let head = try await exchange(
                "HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", with: address)
            #expect(head.contains("content-length: 3\r\n"))
            #expect(head.hasSuffix("\r\n\r\n"))
        }
    }

    @Test("Pipelined requests are answered in order on one connection")
    func pipelining() async throws {
        try await withListener { address in
            let answers = try await exchange(
                "GET /nope HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                with: address)
            let parts = answers.split(separator: "HTTP/1.1 ")
            #expect(parts.map { $0.prefix(3) } == ["404", "200"])
        }
    }

    @Test(
        "What is not HTTP, or far too large, closes that connection and no other",
        arguments: [
            "\u{0}\u{1}nonsense\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nx: " + String(repeating: "y", count: 200_000) + "\r\n\r\n",
            "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n"
                + String(repeating: "z", count: 300_000),
        ])
    func badInput(request: String) async throws {
        try await withListener { address in
            // Whether an answer arrives before the close does not matter; that the close comes does.
            let answer = (try? await exchange(request, with: address)) ?? ""
            #expect(!answer.hasPrefix("HTTP/1.1 200 "))
            try #expect(await get("/healthz", from: address).hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test("Graceful shutdown ends it and closes idle connections")
    func gracefulShutdown() async throws {
        let (bound, continuation) = AsyncStream<SocketAddress>.makeStream()
        let listener = OperationsListener(
            host: "127.0.0.1", port: 0, metrics: PrometheusRegistry(), logger: Logger(label: "test"),
            onListening: { continuation.yield($0) })
        let services = ServiceGroup(services: [listener], logger: Logger(label: "test"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await services.run() }
            let address = try #require(await bound.first { _ in true })
            let idle = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connect(to: address).get()
            try #expect(await get("/healthz", from: address).hasPrefix("HTTP/1.1 200 "))
            await services.triggerGracefulShutdown()
            try await idle.closeFuture.get()
            try await group.waitForAll()
        }
    }

    @Test("Bound to :: it answers at every address of the machine, those of IPv4 too")
    func everyAddress() async throws {
        try await withListener(host: "::") { address in
            let port = try #require(address.port)
            // A machine without IPv6 has only the first.
            let loopback = address.protocol == .inet6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"]
            for host in loopback {
                let address = try SocketAddress(ipAddress: host, port: port)
                try #expect(await get("/healthz", from: address).hasPrefix("HTTP/1.1 200 "), "\(host)")
            }
        }
    }

    @Test("IPv4 takes the place of :: where the machine has no IPv6, and for no other reason")
    func withoutIPv6() {
        #expect([EAFNOSUPPORT, EADDRNOTAVAIL].allSatisfy(OperationsListener.meansNoIPv6))
        #expect(![EADDRINUSE, EACCES, EMFILE].contains(where: OperationsListener.meansNoIPv6))
    }

    @Test("A port that is taken is an error, not a crash")
    func portTaken() async throws {
        try await withListener { address in
            let second = OperationsListener(
                host: "127.0.0.1", port: address.port ?? 0, metrics: PrometheusRegistry(),
                logger: Logger(label: "test"))
            await #expect(throws: (any Error).self) { try await second.run() }
        }
    }
}

private final class SharedReasons: Sendable {
    private let reasons: Mutex<[String]>

    init(_ reasons: [String]) { self.reasons = Mutex(reasons) }

    var current: [String] {
        get { reasons.withLock { $0 } }
        set { reasons.withLock { $0 = newValue } }
    }
}

/// Runs a listener on a free port while the body runs.
private func withListener(
    host: String = "127.0.0.1", metrics: PrometheusRegistry = PrometheusRegistry(),
    readiness: @escaping @Sendable () -> [String] = { [] },
    routes: [OperationsRoute] = [], body: (SocketAddress) async throws -> Void
) async throws {
    let (bound, continuation) = AsyncStream<SocketAddress>.makeStream()
    let listener = OperationsListener(
        host: host, port: 0, metrics: metrics, readiness: readiness, routes: routes,
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, onListening: { continuation.yield($0) })
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
            defer { continuation.finish() }
            try await listener.run()
        }
        guard let address = await bound.first(where: { _ in true }) else { return try await group.waitForAll() }
        defer { group.cancelAll() }
        try await body(address)
    }
}

private func get(_ path: String, from address: SocketAddress) async throws -> String {
    try await exchange("GET \(path) HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", with: address)
}

/// Sends the bytes and returns everything that comes until the other side closes.
private func exchange(_ request: String, with address: SocketAddress) async throws -> String {
    let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup).connect(to: address) {
        channel in
        channel.eventLoop.makeCompletedFuture {
            try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
    }
    return try await channel.executeThenClose { inbound, outbound in
        try await outbound.write(ByteBuffer(string: request))
        var answer = ByteBuffer()
        for try await part in inbound { answer.writeImmutableBuffer(part) }
        return String(buffer: answer)
    }
}
