import Foundation
import KubernetesAPI
import Logging
import NIOHTTP1
import NIOSSL
import TestSupport
import Testing

@Suite("TLS to the API server")
struct ClientTLSTests {
    private var certificates: TestCertificates {
        get throws { try TestCertificates.made.get() }
    }

    private func context(
        _ pair: TestCertificates.Pair? = nil, clientAuthority: String? = nil
    ) throws -> NIOSSLContext {
        let pair = try pair ?? certificates.server
        var settings = try pair.serverConfiguration()
        if let clientAuthority {
            settings.certificateVerification = .noHostnameVerification
            settings.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(clientAuthority.utf8)))
        }
        return try NIOSSLContext(configuration: settings)
    }

    private func fetch(
        _ context: NIOSSLContext, _ change: (inout KubernetesConfiguration) -> Void = { _ in }
    ) async throws -> [ScriptedServer.Request] {
        try await withScriptedServer(tls: context) { _, exchange in
            try await exchange.reply(200, #"{"metadata":{"name":"kube-system"}}"#)
        } _: { server in
            var configuration = KubernetesConfiguration(
                server: ServerAddress(isTLS: true, host: "127.0.0.1", port: server.port),
                certificateAuthority: Array(try certificates.authority.utf8))
            change(&configuration)
            let client = try KubernetesClient(
                configuration: configuration, logger: Logger(label: "test"), userAgent: "tests",
                options: .init(retry: .never))
            try await withClient(client) { _ = try await $0.get(Namespace.self, ObjectKey(name: "kube-system")) }
            return server.requests
        }
    }

    @Test("a server vouched for by the configured authority is trusted, by address")
    func trusted() async throws {
        #expect(try await fetch(context()).count == 1)
    }

    @Test("a server vouched for by another authority is not, and nothing was sent to it")
    func untrusted() async throws {
        let error = await #expect(throws: KubernetesError.self) {
            let other = try certificates.otherAuthority
            return try await fetch(context()) { $0.certificateAuthority = Array(other.utf8) }
        }
        #expect(error?.kind == .connection)
        #expect(error?.mayHaveBeenProcessed == false)
    }

    @Test("insecure-skip-tls-verify trusts anybody")
    func insecure() async throws {
        let requests = try await fetch(context()) {
            $0.certificateAuthority = nil
            $0.insecureSkipTLSVerify = true
        }
        #expect(requests.count == 1)
    }

    @Test("tls-server-name is the name that is verified, while the address stays")
    func serverName() async throws {
        let named = try context(certificates.namedServer)
        await #expect(throws: KubernetesError.self) { try await fetch(named) }
        let requests = try await fetch(named) { $0.tlsServerName = TestCertificates.name }
        #expect(requests.first?.headers["host"].count == 1)
        #expect(requests.first?.headers.first(name: "host")?.hasPrefix("127.0.0.1:") == true)
        await #expect(throws: KubernetesError.self) { try await fetch(named) { $0.tlsServerName = "other.test" } }
    }

    @Test("tls-server-name may be an address, which the certificate must carry")
    func serverAddressAsName() async throws {
        let requests = try await fetch(context()) { $0.tlsServerName = "127.0.0.1" }
        #expect(requests.count == 1)
        let error = await #expect(throws: KubernetesError.self) {
            try await fetch(context()) { $0.tlsServerName = "127.0.0.9" }
        }
        #expect(error?.message == "the server's certificate is not for 127.0.0.9")
    }

    @Test("a client certificate that a plugin has printed is shown to a server that asks for one")
    func pluginCertificate() async throws {
        let demanding = try context(clientAuthority: certificates.authority)
        let client = try certificates.client
        try await withTemporaryDirectory { directory in
            func config(_ certificate: String) throws -> String {
                let status = ["clientCertificateData": certificate, "clientKeyData": client.key]
                let answer = try directory.write(
                    "answer.json",
                    #"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":"#
                        + String(decoding: try KubernetesJSON.encoder.encode(status), as: UTF8.self) + "}")
                let plugin = try directory.write("plugin.sh", "#!/bin/sh\ncat '\(answer)'\n", executable: true)
                return try directory.write(
                    "config",
                    """
                    current-context: dev
                    clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
                    users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: \(plugin)}}}]
                    contexts: [{name: dev, context: {cluster: c, user: u}}]
                    """)
            }
            func credentials(_ certificate: String) throws -> KubernetesConfiguration.Credentials {
                try KubernetesConfiguration.load(kubeconfig: try config(certificate), environment: [:]).credentials
            }
            let good = try credentials(client.certificate)
            #expect(try await fetch(demanding) { $0.credentials = good }.count == 1)
            let broken = try credentials("nonsense")
            let error = await #expect(throws: KubernetesError.self) {
                try await fetch(demanding) { $0.credentials = broken }
            }
            #expect(error?.kind == .credentials)
        }
    }

    @Test("a client certificate is shown to a server that asks for one")
    func clientCertificate() async throws {
        let demanding = try context(clientAuthority: certificates.authority)
        let client = try certificates.client
        await #expect(throws: KubernetesError.self) { try await fetch(demanding) }
        let requests = try await fetch(demanding) {
            $0.clientCertificate = .init(
                certificate: Array(client.certificate.utf8), key: Array(client.key.utf8))
        }
        #expect(requests.count == 1)
    }

    @Test("a certificate that is none is a configuration error that names the field")
    func badCertificate() {
        let configuration = KubernetesConfiguration(
            server: ServerAddress(isTLS: true, host: "127.0.0.1", port: 1),
            certificateAuthority: Array("nonsense".utf8), origin: "file (context dev)")
        let error = #expect(throws: KubernetesConfigurationError.self) {
            try KubernetesClient(configuration: configuration, logger: Logger(label: "test"), userAgent: "tests")
        }
        #expect(error?.field == "certificate-authority")
        #expect(error?.source == "file (context dev)")
    }
}
