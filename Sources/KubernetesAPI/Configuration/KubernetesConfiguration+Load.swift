import Foundation

extension KubernetesConfiguration {
    /// Finds the configuration: the file `kubeconfig` if given, else those of `KUBECONFIG`, else the credentials of the
    /// Pod this runs in, else `~/.kube/config`. `context` overrides the file's current context.
    ///
    /// Throws `KubernetesConfigurationError`, which names file, context and field.
    package static func load(
        kubeconfig: String? = nil, context: String? = nil, environment: [String: String],
        serviceAccountDirectory: String = "/var/run/secrets/kubernetes.io/serviceaccount"
    ) throws -> KubernetesConfiguration {
        if let kubeconfig, !kubeconfig.isEmpty {
            return try load(files: [kubeconfig], mustExist: true, context: context)
        }
        if let list = environment["KUBECONFIG"], !list.isEmpty {
            return try load(
                files: list.split(separator: ":").map(String.init), mustExist: false, context: context)
        }
        if let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty, context == nil {
            return try inCluster(
                host: host, port: environment["KUBERNETES_SERVICE_PORT"] ?? "443", directory: serviceAccountDirectory)
        }
        if let home = environment["HOME"], !home.isEmpty {
            let file = "\(home)/.kube/config"
            if FileManager.default.fileExists(atPath: file) {
                return try load(files: [file], mustExist: true, context: context)
            }
        }
        throw KubernetesConfigurationError(
            source: "~/.kube/config",
            problem: "no cluster is configured: give a kubeconfig file, set KUBECONFIG, or run inside a cluster")
    }

    /// The credentials that the kubelet mounts into every Pod with a service account.
    static func inCluster(host: String, port: String, directory: String) throws -> KubernetesConfiguration {
        guard let port = Int(port), (1...65_535).contains(port) else {
            throw KubernetesConfigurationError(
                source: "in-cluster", field: "KUBERNETES_SERVICE_PORT", problem: "not a port number: \(port)")
        }
        let tokenFile = "\(directory)/token"
        guard FileManager.default.isReadableFile(atPath: tokenFile) else {
            throw KubernetesConfigurationError(
                source: "in-cluster", field: tokenFile,
                problem: "cannot be read; does the Pod mount its service account token?")
        }
        let authority = try contents(
            ofFile: "\(directory)/ca.crt", source: "in-cluster", context: nil, field: "\(directory)/ca.crt")
        let namespace = FileManager.default.contents(atPath: "\(directory)/namespace")
            .map { String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines) }
        return KubernetesConfiguration(
            server: ServerAddress(isTLS: true, host: host, port: port), certificateAuthority: authority,
            credentials: .tokenFile(path: tokenFile), namespace: namespace, origin: "in-cluster",
            credentialsField: FieldReference(source: "in-cluster", field: tokenFile))
    }

    private static func load(files: [String], mustExist: Bool, context: String?) throws -> KubernetesConfiguration {
        var merged = Kubeconfig()
        var found = false
        for file in files {
            guard let data = FileManager.default.contents(atPath: file) else {
                guard !mustExist, !FileManager.default.fileExists(atPath: file) else {
                    throw KubernetesConfigurationError(source: file, problem: "cannot be read")
                }
                continue
            }
            found = true
            try merged.merge(yaml: String(decoding: data, as: UTF8.self), file: file)
        }
        guard found else {
            throw KubernetesConfigurationError(
                source: "KUBECONFIG", problem: "none of its files exists: \(files.joined(separator: ", "))")
        }
        return try merged.configuration(context: context, files: files)
    }

    static func contents(
        ofFile path: String, source: String, context: String?, field: String
    ) throws(KubernetesConfigurationError) -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw KubernetesConfigurationError(
                source: source, context: context, field: field, problem: "file \(path) cannot be read")
        }
        return Array(data)
    }
}

extension Kubeconfig {
    /// Resolves `context`, or the current context, to a configuration. `files` are named where an entry is missing.
    func configuration(context requested: String?, files: [String]) throws -> KubernetesConfiguration {
        let all = files.joined(separator: ":")
        guard let name = requested ?? currentContext?.value else {
            throw KubernetesConfigurationError(
                source: all, field: "current-context", problem: "not set; name a context")
        }
        guard let context = contexts[name] else {
            let known = contexts.keys.sorted().joined(separator: ", ")
            throw KubernetesConfigurationError(
                source: all, context: name, field: "contexts",
                problem: "no such context; there is \(known.isEmpty ? "none" : known)")
        }
        guard let clusterName = context.value.cluster, let cluster = clusters[clusterName] else {
            throw KubernetesConfigurationError(
                source: context.file, context: name, field: "contexts[\(name)].context.cluster",
                problem: "no cluster named \(context.value.cluster ?? "")")
        }
        var user = Sourced(value: User(), file: context.file)
        var userName = ""
        if let wanted = context.value.user, !wanted.isEmpty {
            guard let found = users[wanted] else {
                throw KubernetesConfigurationError(
                    source: context.file, context: name, field: "contexts[\(name)].context.user",
                    problem: "no user named \(wanted)")
            }
            (user, userName) = (found, wanted)
        }
        let clusterFields = Fields(
            file: cluster.file, context: name, prefix: "clusters[\(clusterName)].cluster")
        let userFields = Fields(file: user.file, context: name, prefix: "users[\(userName)].user")
        var configuration = try clusterFields.configuration(of: cluster.value)
        configuration.clientCertificate = try userFields.clientCertificate(of: user.value)
        configuration.credentials = try userFields.credentials(
            of: user.value, cluster: cluster.value, authority: configuration.certificateAuthority)
        configuration.credentialsField = userFields.credentialsField(configuration.credentials)
        configuration.impersonation = try userFields.impersonation(of: user.value)
        configuration.namespace = context.value.namespace
        configuration.origin = "\(cluster.file) (context \(name))"
        return configuration
    }

    /// Reads the fields of one entry, and knows how to name one that is at fault.
    private struct Fields {
        var file: String
        var context: String
        var prefix: String

        func fault(_ field: String, _ problem: String) -> KubernetesConfigurationError {
            KubernetesConfigurationError(
                source: file, context: context, field: "\(prefix).\(field)", problem: problem)
        }

        func configuration(of cluster: Cluster) throws -> KubernetesConfiguration {
            guard let text = cluster.server, !text.isEmpty else { throw fault("server", "missing") }
            guard let server = ServerAddress(text) else { throw fault("server", "not an http(s) address: \(text)") }
            let insecure = cluster.insecureSkipTLSVerify ?? false
            let authority = try bytes(
                inline: (cluster.certificateAuthorityData, "certificate-authority-data"),
                file: (cluster.certificateAuthority, "certificate-authority"))
            if insecure, authority != nil {
                throw fault("insecure-skip-tls-verify", "cannot be combined with a certificate authority")
            }
            var proxy: ProxyAddress?
            if let text = cluster.proxyURL, !text.isEmpty {
                do {
                    proxy = try ProxyAddress(text)
                } catch {
                    throw fault("proxy-url", error.description)
                }
            }
            return KubernetesConfiguration(
                server: server, certificateAuthority: authority, insecureSkipTLSVerify: insecure,
                tlsServerName: cluster.tlsServerName.flatMap { $0.isEmpty ? nil : $0 }, proxy: proxy)
        }

        func clientCertificate(of user: User) throws -> KubernetesConfiguration.ClientCertificate? {
            let certificate = try bytes(
                inline: (user.clientCertificateData, "client-certificate-data"),
                file: (user.clientCertificate, "client-certificate"))
            let key = try bytes(
                inline: (user.clientKeyData, "client-key-data"), file: (user.clientKey, "client-key"))
            switch (certificate, key) {
            case (nil, nil): return nil
            case (let certificate?, let key?): return .init(certificate: certificate, key: key)
            case (_?, nil): throw fault("client-key", "missing beside client-certificate")
            case (nil, _?): throw fault("client-certificate", "missing beside client-key")
            }
        }

        func impersonation(of user: User) throws -> Impersonation? {
            guard let name = user.impersonate, !name.isEmpty else {
                let others: [(String, Bool)] = [
                    ("as-uid", user.impersonateUID?.isEmpty ?? true),
                    ("as-groups", user.impersonateGroups?.isEmpty ?? true),
                    ("as-user-extra", user.impersonateExtra?.isEmpty ?? true),
                ]
                if let (field, _) = others.first(where: { !$0.1 }) { throw fault("as", "missing beside \(field)") }
                return nil
            }
            return Impersonation(
                user: name, uid: user.impersonateUID.flatMap { $0.isEmpty ? nil : $0 },
                groups: user.impersonateGroups ?? [], extra: user.impersonateExtra ?? [:])
        }

        /// Where what may fail later on is named.
        func credentialsField(
            _ credentials: KubernetesConfiguration.Credentials
        ) -> KubernetesConfiguration.FieldReference? {
            let field: String
            switch credentials {
            case .none, .token, .basic: return nil
            case .tokenFile: field = "tokenFile"
            case .exec: field = "exec.command"
            }
            return .init(source: file, context: context, field: "\(prefix).\(field)")
        }

        /// `authority`: the certificates that the server is verified with.
        func credentials(
            of user: User, cluster: Cluster, authority: [UInt8]?
        ) throws -> KubernetesConfiguration.Credentials {
            if let file = user.tokenFile, !file.isEmpty {
                let path = resolve(file)
                guard FileManager.default.isReadableFile(atPath: path) else {
                    throw fault("tokenFile", "file \(path) cannot be read")
                }
                return .tokenFile(path: path)
            }
            if let token = user.token, !token.isEmpty { return .token(token) }
            if let username = user.username, !username.isEmpty {
                return .basic(username: username, password: user.password ?? "")
            }
            guard let exec = user.exec else {
                if let provider = user.authProvider {
                    throw fault(
                        "auth-provider",
                        "\(provider.name ?? "this") is built into no client any more; use its exec plugin")
                }
                return .none
            }
            if exec.interactiveMode == "Always" {
                throw fault("exec.interactiveMode", "Always needs a terminal, which there is none of here")
            }
            let version = exec.apiVersion ?? ""
            guard let version = ExecPlugin.Version(rawValue: version) else {
                let known = ExecPlugin.Version.allCases.map(\.rawValue).joined(separator: " or ")
                throw fault("exec.apiVersion", "must be \(known), not \(version.isEmpty ? "empty" : version)")
            }
            guard !exec.command.isEmpty else { throw fault("exec.command", "missing") }
            // As kubectl does it: a name is looked up in PATH, a path with a slash is relative to the file.
            let command = exec.command.contains("/") ? resolve(exec.command) : exec.command
            var variables: [String: String] = [:]
            for variable in exec.env ?? [] { variables[variable.name] = variable.value }
            let plugin = ExecPlugin(
                version: version, command: command, arguments: exec.args ?? [], environment: variables,
                cluster: exec.provideClusterInfo == true ? told(about: cluster, authority) : nil)
            do {
                _ = try plugin.executable()
            } catch {
                let hint = exec.installHint.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) } ?? ""
                throw fault("exec.command", hint.isEmpty ? error.description : "\(error.description); \(hint)")
            }
            return .exec(plugin)
        }

        /// What a plugin is told about a cluster: what the file says, but for certificates, which are read for it.
        private func told(about cluster: Cluster, _ authority: [UInt8]?) -> ExecPlugin.Cluster {
            func given(_ text: String?) -> String? { text.flatMap { $0.isEmpty ? nil : $0 } }
            return ExecPlugin.Cluster(
                server: cluster.server ?? "", tlsServerName: given(cluster.tlsServerName),
                insecureSkipTLSVerify: cluster.insecureSkipTLSVerify == true ? true : nil,
                certificateAuthorityData: authority.map { Data($0).base64EncodedString() },
                proxyURL: given(cluster.proxyURL),
                config: cluster.extensions?.first { $0.name == ExecPlugin.Cluster.extensionName }?.extension)
        }

        private func bytes(
            inline: (value: String?, field: String), file: (value: String?, field: String)
        ) throws -> [UInt8]? {
            if let text = inline.value, !text.isEmpty {
                guard let data = Data(base64Encoded: text, options: .ignoreUnknownCharacters), !data.isEmpty else {
                    throw fault(inline.field, "not base64")
                }
                return Array(data)
            }
            guard let path = file.value, !path.isEmpty else { return nil }
            return try KubernetesConfiguration.contents(
                ofFile: resolve(path), source: self.file, context: context, field: "\(prefix).\(file.field)")
        }

        private func resolve(_ path: String) -> String {
            if path.hasPrefix("/") { return path }
            return URL(fileURLWithPath: file).deletingLastPathComponent().appendingPathComponent(path).path
        }
    }
}
