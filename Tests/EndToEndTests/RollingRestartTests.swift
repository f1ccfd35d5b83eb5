import ClusterAgent
import EdgeGateway
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@Suite("A gateway gives way to another on the same ports", .timeLimit(.minutes(2)))
struct RollingRestartTests {
    private static let big = 128 * 1024

    private static var options: StackOptions {
        var options = StackOptions()
        options.gatewayGrace = .seconds(30)
        options.warmUp = .seconds(20)
        options.sharedPorts = (0, 0)
        options.tunnels = 2
        return options
    }

    @Test("fifty clients at steady load see no request fail that may be repeated, and the old one ends in time")
    func gateway() async throws {
        let options = Self.options
        let backend = try await Backend()
        let old = try await Parts(options, backend: backend)
        let new = try await Parts(options, backend: backend)
        defer {
            old.removeFiles()
            new.removeFiles()
        }
        let load = Load()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await backend.run { try await Self.serve($0) } }
            let first = try RunningGateway(old, options)
            group.addTask { try await first.run() }
            let agentPort = try await first.port(isFront: false)
            group.addTask { try? await old.pool(options, port: agentPort).run() }
            // Warm as soon as the agent has sent its routes.
            let frontPort = try await first.port(isFront: true)
            for client in 0..<50 { group.addTask { await load.run(client, port: frontPort) } }
            try await eventually("the load is under way") { load.answered > 200 }

            var second = options
            second.sharedPorts = (frontPort, agentPort)
            second.instance = "gateway-2"
            let next = try RunningGateway(new, second)
            group.addTask { try await next.run() }
            #expect(try await next.port(isFront: false) == agentPort)
            let start = ContinuousClock.now
            await first.end()
            #expect(try await next.port(isFront: true) == frontPort)
            try await eventually("the old one has ended") { first.hasEnded }
            #expect(ContinuousClock.now - start < .seconds(30))

            let before = load.answered
            try await eventually("the new one carries the load") { load.answered > before + 300 }
            load.stop()
            try await eventually("the clients have ended") { load.clients == 0 }
            #expect(load.failures == [])
            #expect(!new.gatewayLog.lines("Gateway proxy request").isEmpty)
            group.cancelAll()
        }
    }

    /// Answers any number of requests: `/big` with a large body, others with a small one.
    private static func serve(_ connection: RawConnection) async throws {
        while true {
            let head = try await connection.head()
            _ = try await connection.body(of: head)
            let size = head.target == "/big" ? big : 200
            var answer = ByteBuffer(string: "HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
            answer.writeRepeatingByte(0x78, count: size)
            try await connection.send(answer)
        }
    }

    /// Clients as they are found: they keep connections, send one request after another, and repeat on a new connection
    /// a request that a kept one broke off before any byte of the answer.
    private final class Load: Sendable {
        private struct State {
            var answered = 0
            var clients = 0
            var failures: [String] = []
            var isStopped = false
        }

        private let state = Mutex(State())

        var answered: Int { state.withLock { $0.answered } }
        var clients: Int { state.withLock { $0.clients } }
        var failures: [String] { state.withLock { $0.failures } }
        func stop() { state.withLock { $0.isStopped = true } }

        func run(_ client: Int, port: Int) async {
            state.withLock { $0.clients += 1 }
            defer { state.withLock { $0.clients -= 1 } }
            var kept: RawConnection?
            var number = client
            while !state.withLock({ $0.isStopped }), !Task.isCancelled {
                number += 1
                // Steady load, not as much as the machine can bear: other tests run beside this one.
                try? await Task.sleep(for: .milliseconds(200))
                do {
                    kept = try await exchange(number, on: kept, port: port)
                    state.withLock { $0.answered += 1 }
                } catch {
                    kept?.close()
                    kept = nil
                    if !Task.isCancelled { state.withLock { $0.failures.append("\(number): \(error)") } }
                }
            }
            kept?.close()
        }

        /// Returns the connection where it may be used again.
        private func exchange(_ number: Int, on kept: RawConnection?, port: Int) async throws -> RawConnection? {
            let request =
                switch number % 5 {
                case 0: "GET /big HTTP/1.1\r\nHost: app.test\r\n\r\n"
                case 1:
                    "PUT /small HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5000\r\n\r\n"
                        + String(repeating: "y", count: 5000)
                default: "GET /small HTTP/1.1\r\nHost: app.test\r\n\r\n"
                }
            var connection: RawConnection
            if let kept {
                connection = kept
            } else {
                connection = try await RawConnection.connect(port: port)
            }
            do {
                try await connection.send(request)
                _ = try await connection.receive { $0.getInteger(at: $0.readerIndex, as: UInt8.self) }
            } catch {
                connection.close()
                guard kept != nil else { throw error }
                connection = try await RawConnection.connect(port: port)
                try await connection.send(request)
            }
            let answer = try await connection.response()
            guard answer.status == 200, answer.body.readableBytes == (number % 5 == 0 ? RollingRestartTests.big : 200)
            else { throw Unexpected(status: answer.status, text: answer.text.prefix(200) + "") }
            guard answer.head["Connection"] != ["close"] else {
                connection.close()
                return nil
            }
            return connection
        }
    }

    private struct Unexpected: Error {
        var status: Int
        var text: String
    }
}

/// A gateway of its own that can be told to end, as by SIGTERM.
private final class RunningGateway: Sendable {
    private let services: ServiceGroup
    private let ports = Ports()
    private let ended = Box<Bool>()

    init(_ parts: Parts, _ options: StackOptions) throws {
        let ports = ports
        let services = try parts.gateway(options) { isFront, port in ports.set(isFront, port) }
        self.services = ServiceGroup(
            configuration: .init(
                services: services.map { .init(service: $0) }, logger: parts.gatewayLog.logger("services")))
    }

    var hasEnded: Bool { ended.value == true }

    func run() async throws {
        try await services.run()
        ended.set(true)
    }

    func end() async { await services.triggerGracefulShutdown() }

    func port(isFront: Bool) async throws -> Int {
        try await eventually("it listens") { ports.port(isFront) != nil }
        return try #require(ports.port(isFront))
    }

    private final class Ports: Sendable {
        private let ports = Mutex<[Bool: Int]>([:])

        func set(_ isFront: Bool, _ port: Int) { ports.withLock { $0[isFront] = port } }
        func port(_ isFront: Bool) -> Int? { ports.withLock { $0[isFront] } }
    }
}
