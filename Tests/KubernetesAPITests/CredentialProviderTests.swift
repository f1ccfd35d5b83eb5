import Foundation
import TestSupport
import Testing

@testable import KubernetesAPI

@Suite("Credentials")
struct CredentialProviderTests {
    @Test("a token file is read again after 60 s, and not before")
    func rotation() async throws {
        try await withTemporaryDirectory { directory in
            let clock = ManualClock()
            let provider = CredentialProvider(
                credentials: .tokenFile(path: try directory.write("token", "one\n")), time: MonotonicTime(clock))
            #expect(try await provider.authorization().header == "Bearer one")
            try directory.write("token", "two\n")
            clock.advance(by: .seconds(59))
            #expect(try await provider.authorization().header == "Bearer one")
            clock.advance(by: .seconds(1))
            #expect(try await provider.authorization().header == "Bearer two")
        }
    }

    @Test("a refused token is read again at once; one that was replaced meanwhile is kept")
    func refused() async throws {
        try await withTemporaryDirectory { directory in
            let provider = CredentialProvider(
                credentials: .tokenFile(path: try directory.write("token", "one")), time: MonotonicTime(ManualClock()))
            let one = try await provider.authorization()
            try directory.write("token", "two")
            #expect(provider.refused(one))
            #expect(try await provider.authorization().header == "Bearer two")
            try directory.write("token", "three")
            #expect(provider.refused(one))
            #expect(try await provider.authorization().header == "Bearer two")
        }
    }

    @Test("a token file that vanishes leaves the last token in use; one that never was is an error")
    func vanished() async throws {
        try await withTemporaryDirectory { directory in
            let clock = ManualClock()
            let path = try directory.write("token", "one")
            let provider = CredentialProvider(credentials: .tokenFile(path: path), time: MonotonicTime(clock))
            _ = try await provider.authorization()
            try FileManager.default.removeItem(atPath: path)
            clock.advance(by: .seconds(120))
            #expect(try await provider.authorization().header == "Bearer one")
            let other = CredentialProvider(
                credentials: .tokenFile(path: directory.path("none")), time: MonotonicTime(clock))
            await #expect(throws: ExecPlugin.Failure.self) { try await other.authorization() }
        }
    }

    @Test("a password travels as basic authentication, and nothing can be done about its refusal")
    func basic() async throws {
        let provider = CredentialProvider(
            credentials: .basic(username: "u", password: "p"), time: MonotonicTime(ManualClock()))
        let authorization = try await provider.authorization()
        #expect(authorization.header == "Basic dTpw")
        #expect(!provider.refused(authorization))
    }

    /// A plugin that answers with `token-<number of its run>` and leaves what it was told in `info`.
    private func plugin(_ directory: TemporaryDirectory, expires: String? = nil) throws -> ExecPlugin {
        let expiry = expires.map { #", "expirationTimestamp": "\#($0)""# } ?? ""
        let script = """
            #!/bin/sh
            echo run >> "$COUNT_FILE"
            n=$(wc -l < "$COUNT_FILE" | tr -d ' ')
            printf '%s' "$KUBERNETES_EXEC_INFO" > "$COUNT_FILE.info"
            sleep 0.05
            echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
            echo '"status": {"token": "token-'$n'"\(expiry)}}'
            """
        return ExecPlugin(
            version: .v1, command: try directory.write("plugin.sh", script, executable: true), arguments: [],
            environment: ["COUNT_FILE": directory.path("count")],
            cluster: .init(server: "https://s:443", certificateAuthorityData: "Q0E="))
    }

    @Test("a plugin is told about the cluster, run once for many requests, and again after a refusal")
    func execPlugin() async throws {
        try await withTemporaryDirectory { directory in
            let provider = CredentialProvider(
                credentials: .exec(try plugin(directory)), time: MonotonicTime(ManualClock()))
            let headers = try await withThrowingTaskGroup(of: String?.self) { group in
                for _ in 0..<20 { group.addTask { try await provider.authorization().header } }
                return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
            }
            #expect(headers == ["Bearer token-1"])
            let info = try String(contentsOfFile: directory.path("count.info"), encoding: .utf8)
            #expect(
                info == #"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":"#
                    + #"{"cluster":{"certificate-authority-data":"Q0E=","server":"https://s:443"},"interactive":false}}"#
            )
            #expect(provider.refused(try await provider.authorization()))
            #expect(try await provider.authorization().header == "Bearer token-2")
        }
    }

    @Test("a plugin's credential is used until shortly before it expires")
    func expiry() async throws {
        try await withTemporaryDirectory { directory in
            let soon = RFC3339.string(from: Date().addingTimeInterval(5))
            let short = CredentialProvider(
                credentials: .exec(try plugin(directory, expires: soon)), time: MonotonicTime(ManualClock()))
            #expect(try await short.authorization().header == "Bearer token-1")
            #expect(try await short.authorization().header == "Bearer token-2")
            let late = RFC3339.string(from: Date().addingTimeInterval(3600))
            let long = CredentialProvider(
                credentials: .exec(try plugin(directory, expires: late)), time: MonotonicTime(ManualClock()))
            #expect(try await long.authorization().header == "Bearer token-3")
            #expect(try await long.authorization().header == "Bearer token-3")
        }
    }

    @Test("a plugin that fails, is missing, or speaks another version is an error that says so")
    func failures() async throws {
        try await withTemporaryDirectory { directory in
            func failure(_ command: String) async -> String {
                let plugin = ExecPlugin(
                    version: .v1beta1, command: command, arguments: [], environment: [:], cluster: nil)
                do {
                    _ = try await plugin.run()
                    return "none"
                } catch {
                    return "\(error)".replacingOccurrences(of: "\(command) ", with: "")
                }
            }
            let bad = try directory.write("bad.sh", "#!/bin/sh\nexit 3\n", executable: true)
            #expect(await failure(bad) == "ended with status 3")
            let other = try directory.write(
                "other.sh",
                "#!/bin/sh\necho '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{\"token\":\"t\"}}'\n",
                executable: true)
            #expect(
                await failure(other)
                    == "answered in client.authentication.k8s.io/v1, not client.authentication.k8s.io/v1beta1")
            #expect(await failure("no-such-plugin-anywhere") == "is not in PATH")
        }
    }

    /// What `credential(from:)` makes of an answer with this `status`.
    private func credential(_ version: ExecPlugin.Version, _ status: String) throws -> ExecPlugin.Credential {
        let plugin = ExecPlugin(version: version, command: "p", arguments: [], environment: [:], cluster: nil)
        let text = #"{"apiVersion":"\#(version.rawValue)","kind":"ExecCredential","status":\#(status)}"#
        return try plugin.credential(from: Data(text.utf8))
    }

    @Test("both versions of the answer are read", arguments: ExecPlugin.Version.allCases)
    func answers(version: ExecPlugin.Version) throws {
        let both = try credential(
            version,
            #"{"token":"t","clientCertificateData":"C","clientKeyData":"K","expirationTimestamp":"2030-01-02T03:04:05Z"}"#
        )
        #expect(
            both
                == ExecPlugin.Credential(
                    token: "t", clientCertificate: .init(certificate: Array("C".utf8), key: Array("K".utf8)),
                    expires: RFC3339.date(from: "2030-01-02T03:04:05Z")))
    }

    @Test("half a key pair is refused, also beside a token, and so is an answer with nothing in it")
    func incompleteAnswers() {
        let half = "p printed only one of clientCertificateData and clientKeyData"
        for (status, problem) in [
            (#"{"token":"t","clientCertificateData":"C"}"#, half), (#"{"clientKeyData":"K"}"#, half),
            (#"{"token":"","clientCertificateData":""}"#, "p printed neither a token nor a client certificate"),
        ] {
            let error = #expect(throws: ExecPlugin.Failure.self) { try credential(.v1, status) }
            #expect(error?.description == problem)
        }
    }

    @Test("a plugin or a token file that fails later on is told with file, context and field")
    func located() async throws {
        try await withTemporaryDirectory { directory in
            let plugin = try directory.write("plugin.sh", "#!/bin/sh\nexit 3\n", executable: true)
            let token = try directory.write("token", "t")
            let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: \(plugin)}}"
            for (user, expected) in [
                (exec, "users[u].user.exec.command: \(plugin) ended with status 3"),
                (
                    "{tokenFile: \(token)}",
                    "users[u].user.tokenFile: token file \(token) is empty or cannot be read"
                ),
            ] {
                let file = try directory.write(
                    "config",
                    """
                    current-context: dev
                    clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
                    users: [{name: u, user: \(user)}]
                    contexts: [{name: dev, context: {cluster: c, user: u}}]
                    """)
                let configuration = try KubernetesConfiguration.load(kubeconfig: file, environment: [:])
                try directory.write("token", "")
                let client = try KubernetesClient(configuration: configuration, logger: .silent, userAgent: "tests")
                let error = try await withClient(client) { client in
                    await #expect(throws: KubernetesError.self) {
                        try await client.get(Namespace.self, ObjectKey(name: "a"))
                    }
                }
                #expect(error?.kind == .credentials)
                #expect(error?.message == "\(file): context dev: \(expected)")
            }
        }
    }

    @Test("a plugin that hangs is ended")
    func hangs() async throws {
        try await withTemporaryDirectory { directory in
            let script = "#!/bin/sh\necho $$ > \(directory.path("pid"))\nsleep 60\n"
            let slow = try directory.write("slow.sh", script, executable: true)
            let plugin = ExecPlugin(version: .v1, command: slow, arguments: [], environment: [:], cluster: nil)
            let failure = try await within(.seconds(40)) {
                await #expect(throws: ExecPlugin.Failure.self) { try await plugin.run(timeout: .seconds(1)) }
            }
            #expect(failure?.description.contains("did not finish within") == true)
            let text = FileManager.default.contents(atPath: directory.path("pid")).map {
                String(decoding: $0, as: UTF8.self)
            }
            // A machine under load may not have come to start it.
            guard let pid = text.flatMap({ pid_t($0.trimmingCharacters(in: .whitespacesAndNewlines)) }) else { return }
            // A zombie until its output has ended: what matters is that it does not run.
            try await eventually("the plugin is ended") {
                let status = FileManager.default.contents(atPath: "/proc/\(pid)/stat")
                return status.map { String(decoding: $0, as: UTF8.self).contains(") Z ") } ?? true
            }
        }
    }
}
