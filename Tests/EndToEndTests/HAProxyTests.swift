import EdgeGateway
import Foundation
import NIOCore
import Settings
import TestSupport
import Testing

/// HAProxy in front of a stack's listeners.
@Suite(
    "Clients that HAProxy speaks for",
    .enabled(if: Command.path(of: "haproxy") != nil && Command.path(of: "curl") != nil), .timeLimit(.minutes(1)))
struct HAProxyTests {
    /// Other than where HAProxy itself comes from.
    private static let client = "127.0.0.5"

    private func freePort() async throws -> Int {
        let listener = try await RawConnection.listen { _ in }
        let port = try #require(listener.localAddress?.port)
        try await listener.close()
        return port
    }

    /// Runs HAProxy with a listener for each of the servers for as long as `body` takes, which gets their ports.
    private func withHAProxy(_ servers: [String], in directory: URL, _ body: ([Int]) async throws -> Void) async throws
    {
        var ports: [Int] = []
        var text = "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n"
        for (index, server) in servers.enumerated() {
            ports.append(try await freePort())
            text += "listen l\(index)\n bind 127.0.0.1:\(ports[index])\n server s\(index) \(server)\n"
        }
        let configuration = directory.appending(path: "haproxy.cfg")
        try Data(text.utf8).write(to: configuration)
        let haproxy = Command(Command.path(of: "haproxy") ?? "")
        try await withRunning({ _ = try await haproxy.run(["-db", "-f", configuration.path]) }) {
            for port in ports {
                try await eventually("HAProxy listens") {
                    guard let connection = try? await RawConnection.connect(port: port) else { return false }
                    connection.close()
                    return true
                }
            }
            try await body(ports)
        }
    }

    @Test("the gateway understands what HAProxy says: in both versions, in front of TLS, and in its health checks")
    func haproxy() async throws {
        let certificates = try TestCertificates.made.get()
        var options = StackOptions()
        options.proxyProtocolFrom = [CIDRBlock("127.0.0.1")].compactMap(\.self)
        options.frontCertificates = ["app": try certificates.server(for: ["app.test"])]
        options.files["ca.crt"] = certificates.authority
        let seen = Box<RawHead>()
        try await withStack(options, within: .seconds(50)) { backend in
            while true { try await backend.answer(noting: seen) }
        } _: { stack in
            let front = "127.0.0.1:\(stack.frontPort)"
            let servers = [
                "\(front) send-proxy",
                "\(front) send-proxy-v2 proxy-v2-options crc32c,unique-id check inter 50ms fall 1 rise 1",
                "127.0.0.1:\(stack.tlsPort) send-proxy-v2 proxy-v2-options crc32c",
            ]
            let curl = Command(Command.path(of: "curl") ?? "")
            try await withHAProxy(servers, in: stack.directory) { ports in
                for (index, port) in ports.enumerated() {
                    let answer = try await curl.run([
                        "-sS", "-i", "--noproxy", "*", "--max-time", "10", "--interface", Self.client, "--cacert",
                        stack.directory.appending(path: "ca.crt").path, "--resolve", "app.test:\(port):127.0.0.1",
                        "\(index == 2 ? "https" : "http")://app.test:\(port)/\(index)",
                    ])
                    // By TLS clients choose HTTP/2.
                    #expect(answer.output.hasPrefix(index == 2 ? "HTTP/2 200" : "HTTP/1.1 200 OK\r\n"), "\(answer)")
                    #expect(seen.value?["X-Forwarded-For"] == [Self.client])
                    #expect(seen.value?["X-Forwarded-Proto"] == [index == 2 ? "https" : "http"])
                    #expect(try await stack.accessLine("/\(index)").fields["client"] == Self.client)
                }
            }
            // Its health checks were understood as well.
            #expect(!stack.gatewayLog.lines.contains { $0.message.hasPrefix("Refused a connection") })
        }
    }
}
