import Foundation
import Testing

@testable import KubernetesAPI

@Suite("Kubeconfig")
struct KubeconfigTests {
    private static func document(
        current: String? = "dev", server: String = "https://dev.example:6443", cluster: String = "", user: String = ""
    ) -> String {
        """
        apiVersion: v1
        kind: Config
        \(current.map { "current-context: \($0)" } ?? "")
        clusters:
        - name: dev-cluster
          cluster:
            server: \(server)
        \(cluster)
        users:
        - name: dev-user
          user:
            \(user.isEmpty ? "token: secret" : user)
        contexts:
        - name: dev
          context: {cluster: dev-cluster, user: dev-user, namespace: shop}
        """
    }

    private func load(_ text: String, context: String? = nil) async throws -> KubernetesConfiguration {
        try await withTemporaryDirectory { directory in
            try KubernetesConfiguration.load(
                kubeconfig: try directory.write("config", text), context: context, environment: [:])
        }
    }

    /// The error that loading `text` gives, with the file's path replaced by `FILE`.
    private func failure(_ text: String, context: String? = nil) async throws -> String {
        try await withTemporaryDirectory { directory in
            let file = try directory.write("config", text)
            let error = #expect(throws: KubernetesConfigurationError.self) {
                try KubernetesConfiguration.load(kubeconfig: file, context: context, environment: [:])
            }
            return (error?.description ?? "no error").replacingOccurrences(of: file, with: "FILE")
        }
    }

    @Test("the current context names server, token and namespace")
    func simple() async throws {
        let configuration = try await load(Self.document())
        #expect(configuration.server == ServerAddress(isTLS: true, host: "dev.example", port: 6443))
        #expect(configuration.credentials == .token("secret"))
        #expect(configuration.namespace == "shop")
        #expect(configuration.certificateAuthority == nil)
    }

    @Test("inline and file certificates are read, files relative to the kubeconfig")
    func certificates() async throws {
        let cluster = """
                certificate-authority: pki/ca.crt
                tls-server-name: api.internal
                proxy-url: http://proxy:3128
            """
        let user = """
            client-certificate-data: \(Data("CERT".utf8).base64EncodedString())
                client-key: pki/client.key
            """
        try await withTemporaryDirectory { directory in
            try directory.write("pki/ca.crt", "AUTHORITY")
            try directory.write("pki/client.key", "KEY")
            let file = try directory.write("config", Self.document(cluster: cluster, user: user))
            let configuration = try KubernetesConfiguration.load(kubeconfig: file, environment: [:])
            #expect(configuration.certificateAuthority == Array("AUTHORITY".utf8))
            #expect(configuration.tlsServerName == "api.internal")
            #expect(configuration.proxy == ProxyAddress(kind: .http, host: "proxy", port: 3128))
            #expect(
                configuration.clientCertificate == .init(certificate: Array("CERT".utf8), key: Array("KEY".utf8)))
        }
    }

    @Test("of several files the first to name a thing wins, and missing files do not matter")
    func merging() async throws {
        try await withTemporaryDirectory { directory in
            let first = try directory.write(
                "first",
                """
                users: [{name: dev-user, user: {token: first}}]
                contexts: [{name: prod, context: {cluster: dev-cluster, user: dev-user}}]
                """)
            let second = try directory.write("second", Self.document())
            let list = "\(directory.path("missing")):\(first):\(second)"
            let configuration = try KubernetesConfiguration.load(environment: ["KUBECONFIG": list])
            #expect(configuration.credentials == .token("first"))
            #expect(configuration.server.host == "dev.example")
            #expect(configuration.namespace == "shop")
            let other = try KubernetesConfiguration.load(context: "prod", environment: ["KUBECONFIG": list])
            #expect(other.namespace == nil)
        }
    }

    @Test("an explicit file comes before KUBECONFIG, that before the Pod's credentials, those before the home's")
    func order() async throws {
        try await withTemporaryDirectory { directory in
            func file(_ name: String, _ host: String) throws -> String {
                try directory.write(name, Self.document(server: "https://\(host)"))
            }
            let explicit = try file("explicit", "explicit")
            let listed = try file("listed", "listed")
            _ = try file(".kube/config", "home")
            try directory.write("sa/token", "t")
            try directory.write("sa/ca.crt", "CA")
            try directory.write("sa/namespace", "pipeops\n")
            var environment = [
                "KUBECONFIG": listed, "KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443",
                "HOME": directory.url.path,
            ]
            func load(_ file: String? = nil) throws -> KubernetesConfiguration {
                try KubernetesConfiguration.load(
                    kubeconfig: file, environment: environment, serviceAccountDirectory: directory.path("sa"))
            }
            #expect(try load(explicit).server.host == "explicit")
            #expect(try load().server.host == "listed")
            environment["KUBECONFIG"] = nil
            let inCluster = try load()
            #expect(inCluster.server.description == "https://[fd00::1]:6443")
            #expect(inCluster.credentials == .tokenFile(path: directory.path("sa/token")))
            #expect(inCluster.certificateAuthority == Array("CA".utf8))
            #expect(inCluster.namespace == "pipeops")
            environment["KUBERNETES_SERVICE_HOST"] = nil
            #expect(try load().server.host == "home")
        }
    }

    @Test("an error names file, context and field")
    func errors() async throws {
        #expect(
            try await failure(Self.document(), context: "prod")
                == "FILE: context prod: contexts: no such context; there is dev")
        #expect(
            try await failure(Self.document(current: nil)) == "FILE: current-context: not set; name a context")
        #expect(
            try await failure(Self.document(server: "ftp://x"))
                == "FILE: context dev: clusters[dev-cluster].cluster.server: not an http(s) address: ftp://x")
        #expect(
            try await failure(Self.document(cluster: "    certificate-authority-data: '%%%'"))
                == "FILE: context dev: clusters[dev-cluster].cluster.certificate-authority-data: not base64")
        #expect(
            try await failure(Self.document(cluster: "    certificate-authority: /nowhere/ca.crt"))
                == "FILE: context dev: clusters[dev-cluster].cluster.certificate-authority: "
                + "file /nowhere/ca.crt cannot be read")
        #expect(
            try await failure(Self.document(user: "client-certificate-data: eA=="))
                == "FILE: context dev: users[dev-user].user.client-key: missing beside client-certificate")
        #expect(
            try await failure(
                Self.document(user: "exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}"))
                == "FILE: context dev: users[dev-user].user.exec.apiVersion: must be "
                + "client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1, "
                + "not client.authentication.k8s.io/v1alpha1")
        #expect(
            try await failure("contexts: [{name: dev, context: {cluster: gone}}]\ncurrent-context: dev")
                == "FILE: context dev: contexts[dev].context.cluster: no cluster named gone")
        #expect(try await failure("clusters: 7").hasPrefix("FILE: .clusters: "))
        #expect(try await failure("a: [").hasPrefix("FILE: "))
    }

    @Test("a file that is not there is named; so is the lack of any")
    func missing() throws {
        let explicit = #expect(throws: KubernetesConfigurationError.self) {
            try KubernetesConfiguration.load(kubeconfig: "/nowhere/config", environment: [:])
        }
        #expect(explicit?.description == "/nowhere/config: cannot be read")
        let listed = #expect(throws: KubernetesConfigurationError.self) {
            try KubernetesConfiguration.load(environment: ["KUBECONFIG": "/nowhere/a:/nowhere/b"])
        }
        #expect(listed?.description == "KUBECONFIG: none of its files exists: /nowhere/a, /nowhere/b")
        #expect(throws: KubernetesConfigurationError.self) { try KubernetesConfiguration.load(environment: [:]) }
    }

    @Test("a token file wins over a token, as it does for kubectl, and must be there")
    func tokenFile() async throws {
        try await withTemporaryDirectory { directory in
            try directory.write("run/token", "t")
            let file = try directory.write("config", Self.document(user: "{token: old, tokenFile: run/token}"))
            let configuration = try KubernetesConfiguration.load(kubeconfig: file, environment: [:])
            #expect(configuration.credentials == .tokenFile(path: directory.path("run/token")))
        }
        #expect(
            try await failure(Self.document(user: "{tokenFile: /nowhere/token}"))
                == "FILE: context dev: users[dev-user].user.tokenFile: file /nowhere/token cannot be read")
    }

    @Test("a plugin that is not there is told at once, with the hint on how to get it")
    func missingPlugin() async throws {
        func failure(_ exec: String) async throws -> String {
            try await self.failure(
                Self.document(user: "exec: {apiVersion: client.authentication.k8s.io/v1, \(exec)}"))
        }
        let field = "FILE: context dev: users[dev-user].user.exec.command: "
        #expect(try await failure("command: no-such-plugin") == field + "no-such-plugin is not in PATH")
        #expect(
            try await failure("command: /nowhere/plugin, installHint: 'See https://example.com'")
                == field + "/nowhere/plugin cannot be executed; See https://example.com")
    }

    @Test("a plugin is told about its cluster what the file says, its extension included, where it asks for that")
    func clusterInfo() async throws {
        let cluster = """
                proxy-url: http://proxy:3128
                certificate-authority-data: \(Data("CA".utf8).base64EncodedString())
                extensions:
                - name: other
                  extension: 7
                - name: client.authentication.k8s.io/exec
                  extension: {audience: "06e3", count: 5, quoted: "5", on: true, list: [a, null, 1.5]}
            """
        func exec(_ provide: Bool) async throws -> String {
            let user = """
                exec:
                      apiVersion: client.authentication.k8s.io/v1beta1
                      command: sh
                      provideClusterInfo: \(provide)
                """
            let configuration = try await load(
                Self.document(server: "https://dev.example", cluster: cluster, user: user))
            guard case .exec(let plugin) = configuration.credentials else { return "no plugin" }
            return try plugin.information()
        }
        let head = #"{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","spec":{"#
        #expect(try await exec(false) == head + #""interactive":false}}"#)
        #expect(
            try await exec(true)
                == head + #""cluster":{"certificate-authority-data":"Q0E=","config":{"audience":"06e3","count":5,"#
                + #""list":["a",null,1.5],"on":true,"quoted":"5"},"proxy-url":"http://proxy:3128","#
                + #""server":"https://dev.example"},"interactive":false}}"#)
    }

    @Test(
        "server addresses",
        arguments: [
            ("https://a", "https://a:443"), ("http://a", "http://a:80"), ("a:6443", "https://a:6443"),
            ("https://[::1]:8443/k8s/", "https://[::1]:8443/k8s"), ("https://1.2.3.4:1", "https://1.2.3.4:1"),
        ])
    func addresses(text: String, expected: String) {
        #expect(ServerAddress(text)?.description == expected)
    }

    @Test(
        "what is no server address is refused",
        arguments: ["", "https://", "ftp://a", "https://a:0", "https://a:x", "https://u@a", "::1", "https://[::1"])
    func notAddresses(text: String) {
        #expect(ServerAddress(text) == nil)
    }
}
