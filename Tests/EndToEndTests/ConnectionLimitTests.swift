import EdgeGateway
import NIOCore
import Settings
import TestSupport
import Testing

@Suite("Limits on connections", .timeLimit(.minutes(1)))
struct ConnectionLimitTests {
    private static let request = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"

    /// Whether a connection is served; one that is refused is closed without a word.
    private func isServed(_ connection: RawConnection, preface: String = "") async throws -> Bool {
        do {
            try await connection.send(preface + Self.request)
            #expect(try await connection.response().status == 200)
            return true
        } catch {
            return false
        }
    }

    @Test("a connection beyond the limit is closed at once, and there is room again when another has gone")
    func total() async throws {
        var options = StackOptions()
        options.limits.connections = 3
        try await withStack(options) { backend in
            try await backend.answerAll()
        } _: { stack in
            var open: [RawConnection] = []
            for _ in 0..<3 {
                open.append(try await stack.connect())
                #expect(try await isServed(open[open.count - 1]))
            }
            for _ in 0..<5 { #expect(try await !isServed(stack.connect())) }
            // One line for many.
            let lines = stack.gatewayLog.lines.filter { $0.message.hasPrefix("Closed a connection beyond max-conn") }
            #expect(lines.count == 1)
            // Those that were there before are as well as ever.
            for connection in open { #expect(try await isServed(connection)) }
            open[0].close()
            try await eventually("there is room") {
                let connection = try await stack.connect()
                defer { connection.close() }
                return try await isServed(connection)
            }
        }
    }

    @Test("a client has so many connections, whether it comes by itself or a proxy speaks for it; others have theirs")
    func perAddress() async throws {
        var options = StackOptions()
        options.limits.connectionsPerAddress = 2
        options.proxyProtocolFrom = [CIDRBlock("127.0.0.1")].compactMap(\.self)
        try await withStack(options) { backend in
            try await backend.answerAll()
        } _: { stack in
            var open: [RawConnection] = []
            func serves(_ family: String, _ client: String) async throws -> Bool {
                let connection = try await stack.connect()
                open.append(connection)
                let other = family == "TCP4" ? "10.0.0.1" : "::1"
                return try await isServed(connection, preface: "PROXY \(family) \(client) \(other) 1 2\r\n")
            }
            #expect(try await serves("TCP4", "192.0.2.1"))
            #expect(try await serves("TCP4", "192.0.2.1"))
            #expect(try await !serves("TCP4", "192.0.2.1"))
            #expect(try await serves("TCP4", "192.0.2.2"))
            // One network of 64 bits is one client.
            #expect(try await serves("TCP6", "2001:db8::1"))
            #expect(try await serves("TCP6", "2001:db8::2:1"))
            #expect(try await !serves("TCP6", "2001:db8::3:1"))
            // The proxy itself has no limit.
            for _ in 0..<4 {
                let connection = try await stack.connect()
                open.append(connection)
                #expect(try await isServed(connection, preface: "PROXY UNKNOWN\r\n"))
            }
            open[0].close()
            try await eventually("there is room for the first client") { try await serves("TCP4", "192.0.2.1") }
            for connection in open { connection.close() }
        }
    }

    @Test("trusted proxies are not limited: all their clients come from one address")
    func trusted() async throws {
        for isTrusted in [false, true] {
            var options = StackOptions()
            options.limits.connectionsPerAddress = 2
            if isTrusted { options.trustedProxies = [CIDRBlock("127.0.0.0/8")].compactMap(\.self) }
            try await withStack(options) { backend in
                try await backend.answerAll()
            } _: { stack in
                var open: [RawConnection] = []
                for _ in 0..<2 {
                    open.append(try await stack.connect())
                    #expect(try await isServed(open[open.count - 1]))
                }
                #expect(try await isServed(stack.connect()) == isTrusted)
                for connection in open { connection.close() }
            }
        }
    }
}
