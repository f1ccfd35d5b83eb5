import ClusterAgent
import EdgeGateway
import NIOCore
import NIOSSL
import Settings
import TestSupport
import Testing
import TunnelProtocol

@testable import TunnelTransport

@Suite("Client certificates on the agents' listener", .timeLimit(.minutes(1)))
struct ClientCertificateTests {
    private static func options(requires: Bool = true, admits: Bool = false) throws -> StackOptions {
        let certificates = try TestCertificates.made.get()
        var options = StackOptions()
        options.hasAgent = false
        options.credentialInterval = .milliseconds(20)
        options.files["tls.crt"] = certificates.server.certificate
        options.files["tls.key"] = certificates.server.key
        options.files["ca.crt"] = certificates.authority
        options.agentTLS = .init(
            certificate: "@tls.crt", key: "@tls.key", clientAuthority: "@ca.crt", requiresClientCertificate: requires)
        options.authentication[.agentClientCA] = "@ca.crt"
        options.authentication[.agentClientCertificateAdmits] = "\(admits)"
        return options
    }

    /// Dials with a client certificate or without one. A gateway that refuses a certificate says so only after the
    /// client has finished its own half of the TLS handshake.
    private func dial(
        _ stack: Stack, token: String, _ client: TestCertificates.Pair?, observer: any TunnelObserver = DeafObserver()
    ) async throws -> Tunnel {
        let certificates = try TestCertificates.made.get()
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(certificates.authority.utf8)))
        if let client {
            tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(Array(client.certificate.utf8)).map {
                .certificate($0)
            }
            tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: Array(client.key.utf8), format: .pem))
        }
        let dialer = TunnelDialer(
            host: "127.0.0.1", port: stack.agentPort, tls: try NIOSSLContext(configuration: tls), group: Loops.tunnels)
        return try await dialer.dial(
            token: token, configuration: TunnelConfiguration(role: .agent), observer: observer)
    }

    @Test("a certificate of the token's cluster is let in, by URI or by common name; another cluster's is not")
    func sameCluster() async throws {
        let certificates = try TestCertificates.made.get()
        let good = try certificates.client(uri: "spiffe://pipeops.test/cluster/cluster-a")
        let byName = try certificates.client(uri: nil, commonName: "Cluster-A")
        let other = try certificates.client(uri: "spiffe://pipeops.test/cluster/cluster-b", commonName: "cluster-a")
        let nobody = try certificates.client(uri: "https://example.com/cluster/cluster-a", commonName: "cluster-a")
        try await withStack(Self.options()) { _ in
        } _: { stack in
            for pair in [good, byName] {
                let tunnel = try await dial(stack, token: "token-a", pair)
                #expect(tunnel.channel.isActive)
                tunnel.close(.goingAway)
            }
            for (token, pair, detail) in [
                ("token-a", other, "the token and the client certificate belong to different clusters"),
                ("token-a", nobody, "the client certificate belongs to no cluster"),
                ("wrong", good, "the token belongs to no cluster"),
            ] {
                let error = await #expect(throws: TunnelDialError.self) { try await dial(stack, token: token, pair) }
                #expect(error == .refused(status: 401, detail: "unauthorized: \(detail)", retryAfter: nil))
            }
        }
    }

    @Test("where a certificate is required, none or one of another authority does not get through the TLS handshake")
    func required() async throws {
        let stranger = try TestCertificates().client(uri: "spiffe://pipeops.test/cluster/cluster-a")
        try await withStack(Self.options()) { _ in
        } _: { stack in
            for pair in [nil, stranger] {
                let error = await #expect(throws: TunnelDialError.self) {
                    try await dial(stack, token: "token-a", pair)
                }
                guard let error, case .refused = error else { continue }
                Issue.record("answered in HTTP: \(error)")
            }
            #expect(stack.gatewayLog.lines("Tunnel accepted").isEmpty)
        }
    }

    @Test("where it is optional a token alone gets in, and a stranger's certificate still does not")
    func optional() async throws {
        let stranger = try TestCertificates().client(uri: "spiffe://pipeops.test/cluster/cluster-a")
        try await withStack(Self.options(requires: false)) { _ in
        } _: { stack in
            let tunnel = try await dial(stack, token: "token-a", nil)
            tunnel.close(.goingAway)
            await #expect(throws: TunnelDialError.self) { try await dial(stack, token: "token-a", stranger) }
        }
    }

    @Test("a changed server certificate is shown to new connections, and open tunnels stay")
    func reloaded() async throws {
        let certificates = try TestCertificates.made.get()
        let client = try certificates.client(uri: "spiffe://pipeops.test/cluster/cluster-a")
        let next = try certificates.anotherServer()
        try await withStack(Self.options()) { _ in
        } _: { stack in
            let before = try await dial(stack, token: "token-a", client)
            let shown = try await before.channel.nioSSL_peerCertificate().get()
            try stack.rewrite("tls.key", next.key)
            try stack.rewrite("tls.crt", next.certificate)
            try await eventually("new connections see the new certificate") {
                let after = try await dial(stack, token: "token-a", client)
                defer { after.close(.goingAway) }
                return try await after.channel.nioSSL_peerCertificate().get() != shown
            }
            #expect(before.channel.isActive)
            before.close(.goingAway)
        }
    }
}
