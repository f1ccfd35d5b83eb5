import Foundation
import NIOCore
import NIOSSL
import Settings
import TestSupport
import Testing
import TunnelTransport

@testable import ClusterAgent

@Suite("TLS to the gateway", .timeLimit(.minutes(1)))
struct MutualTLSTests {
    /// The files of an agent's certificates.
    private struct Files {
        let folder: URL
        let certificates: TestCertificates

        init() throws {
            certificates = try TestCertificates.made.get()
            folder = FileManager.default.temporaryDirectory.appending(path: "tls-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try write("ca.crt", certificates.authority)
            try writePair()
        }

        func path(_ name: String) -> String { folder.appending(path: name).path }
        func write(_ name: String, _ text: String) throws {
            try Data(text.utf8).write(to: folder.appending(path: name))
        }
        func writePair() throws {
            try write("tls.crt", certificates.client.certificate)
            try write("tls.key", certificates.client.key)
        }

        var client: GatewayTLS.ClientCertificate {
            .init(certificateFile: path("tls.crt"), keyFile: path("tls.key"))
        }
    }

    @Test("The agent shows its certificate to a gateway that asks for one, and at each dial what the files hold then")
    func clientCertificate() async throws {
        let files = try Files()
        defer { try? FileManager.default.removeItem(at: files.folder) }
        var server = try files.certificates.server.serverConfiguration()
        server.trustRoots = .file(files.path("ca.crt"))
        server.certificateVerification = .noHostnameVerification
        let tls = Box<GatewayTLS>()
        tls.set(try GatewayTLS(authorityFile: files.path("ca.crt"), client: nil))
        var options = StackOptions()
        options.pool = { configuration in
            let plain = configuration.dialer
            configuration.dialer = {
                var dialer = try plain()
                dialer.tls = try tls.value?.context()
                return dialer
            }
        }
        let gateway = FakeGateway()
        try await withPool([gateway], options, tls: try NIOSSLContext(configuration: server)) { bench in
            func failure(_ reason: String) -> Bool {
                bench.log.lines("Tunnel dial failed").contains { $0.fields["reason"] == reason }
            }
            try await eventually("without a certificate it is refused") { failure("handshake") }
            #expect(gateway.tunnelCount == 0)
            tls.set(try GatewayTLS(authorityFile: files.path("ca.crt"), client: files.client))
            try await eventually("with one it is let in") { gateway.tunnelCount == 1 }

            try files.write("tls.key", files.certificates.server.key)
            gateway.tunnels.first?.channel.close(promise: nil)
            try await eventually("the files are read again") { failure("credentials") }
            try files.writePair()
            try await eventually("and again") { gateway.tunnelCount == 2 }
        }
    }

    @Test("Files that cannot be used are named when the agent starts")
    func unusable() throws {
        let files = try Files()
        defer { try? FileManager.default.removeItem(at: files.folder) }
        func problem(_ authority: String? = nil, _ client: GatewayTLS.ClientCertificate? = nil) -> String {
            do {
                _ = try GatewayTLS(authorityFile: authority, client: client)
                return ""
            } catch {
                return error.description
            }
        }
        #expect(problem() == "")
        #expect(problem(files.path("ca.crt"), files.client) == "")
        try files.write("tls.key", files.certificates.server.key)
        #expect(problem(nil, files.client).hasPrefix("gateway-client-certificate: \"\(files.path("tls.crt"))\""))
        try files.write("tls.key", "no key")
        #expect(problem(nil, files.client).hasPrefix("gateway-client-key: \"\(files.path("tls.key"))\""))
        try files.write("tls.crt", "no certificate")
        #expect(problem(nil, files.client).hasPrefix("gateway-client-certificate: \"\(files.path("tls.crt"))\""))
        #expect(problem("/no/file").hasPrefix("gateway-ca-file: \"/no/file\""))
    }
}
