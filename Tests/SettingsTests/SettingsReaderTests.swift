import Routing
import Settings
import Testing

private enum Name: String, SettingName {
    case config
    case gatewayURL = "gateway-url"
    case maxStreams = "max-streams"
    case idleTimeout = "idle-timeout"
    case tunnelMemory = "tunnel-memory"
    case sync
    case trustedProxies = "trusted-proxies"
    case tokenFile = "token-file"
    case caFile = "ca-file"
    case listen
    case plaintext
    case label
    case domain
}

private enum Mode: String, CaseIterable {
    case auto
    case always
    case never
}

private func reader(
    flags: [Name: String?] = [:], environment: [String: String] = [:]
) throws(SettingsError) -> SettingsReader<Name> {
    try SettingsReader(flags: flags, environment: environment, prefix: "TEST_AGENT")
}

@Suite("Settings")
struct SettingsReaderTests {
    // MARK: Precedence

    @Test(
        "The flag counts before the environment, the environment before the file, the file before the default",
        arguments: [
            (flag: "1", environment: "2", file: "3", expected: 1),
            (flag: "1", environment: nil, file: "3", expected: 1),
            (flag: "1", environment: nil, file: nil, expected: 1),
            (flag: nil, environment: "2", file: "3", expected: 2),
            (flag: nil, environment: "2", file: nil, expected: 2),
            (flag: nil, environment: "", file: "3", expected: 3),
            (flag: nil, environment: nil, file: "3", expected: 3),
            (flag: nil, environment: "", file: nil, expected: 4),
            (flag: nil, environment: nil, file: nil, expected: 4),
        ] as [(flag: String?, environment: String?, file: String?, expected: Int)])
    func precedence(flag: String?, environment: String?, file: String?, expected: Int) throws {
        for (suffix, content) in [
            (".yaml", file.map { "max-streams: \($0)\n" } ?? "# nothing\n"),
            (".json", file.map { "{\"max-streams\": \($0)}" } ?? "{}"),
        ] {
            try withTemporaryFile(content, suffix: suffix) { path in
                let reader = try reader(
                    flags: [.config: path, .maxStreams: flag],
                    environment: environment.map { ["TEST_AGENT_MAX_STREAMS": $0] } ?? [:])
                try #expect(reader.int(.maxStreams, default: 4, in: 1...10) == expected)
            }
        }
    }

    @Test("The environment may name the settings file, and a flag names another")
    func fileFromEnvironment() throws {
        try withTemporaryFile("label: first", suffix: ".yml") { first in
            try withTemporaryFile("label: second", suffix: ".yml") { second in
                let environment = ["TEST_AGENT_CONFIG": first]
                try #expect(reader(environment: environment).string(.label) == "first")
                try #expect(reader(flags: [.config: second], environment: environment).string(.label) == "second")
            }
        }
    }

    @Test("Variables with the prefix that are no settings do no harm, as Kubernetes sets such for Services")
    func serviceVariables() throws {
        let reader = try reader(environment: ["TEST_AGENT_PORT": "tcp://10.0.0.1:80", "TEST_AGENT_LABEL": "x"])
        try #expect(reader.string(.label) == "x")
    }

    // MARK: Errors

    @Test("A bad value gives one line that names the flag, the value and what is allowed")
    func badFlag() throws {
        let reader = try reader(flags: [.maxStreams: "many"])
        #expect(
            line { _ = try reader.int(.maxStreams, default: 1, in: 1...10) }
                == #"--max-streams: "many" must be a whole number between 1 and 10"#)
    }

    @Test("A bad value gives one line that names the environment variable")
    func badVariable() throws {
        let reader = try reader(environment: ["TEST_AGENT_MAX_STREAMS": "11"])
        #expect(
            line { _ = try reader.int(.maxStreams, default: 1, in: 1...10) }
                == #"TEST_AGENT_MAX_STREAMS: "11" must be a whole number between 1 and 10"#)
    }

    @Test("A bad value gives one line that names the key, the file and the line")
    func badFileValue() throws {
        try withTemporaryFile("# comment\nlabel: x\nmax-streams: 1.5\n", suffix: ".yaml") { path in
            let reader = try reader(flags: [.config: path])
            #expect(
                line { _ = try reader.int(.maxStreams, default: 1, in: 1...10) }
                    == #"max-streams in \#(path), line 3: "1.5" must be a whole number between 1 and 10"#)
        }
        try withTemporaryFile(#"{"max-streams": "x"}"#, suffix: ".json") { path in
            let reader = try reader(flags: [.config: path])
            #expect(
                line { _ = try reader.int(.maxStreams, default: 1, in: 1...10) }
                    == #"max-streams in \#(path): "x" must be a whole number between 1 and 10"#)
        }
    }

    @Test("A value with line breaks and control characters still gives one line")
    func valueWithLineBreaks() throws {
        let reader = try reader(flags: [.maxStreams: "a\nb\r\u{1B}[31m\u{2028}c"])
        let line = line { _ = try reader.int(.maxStreams, default: 1, in: 1...10) }
        #expect(line?.contains { $0.isNewline || $0 == "\u{1B}" } == false)
        #expect(line?.hasPrefix("--max-streams: ") == true)
    }

    @Test("A very long value is shortened")
    func longValue() throws {
        let reader = try reader(flags: [.maxStreams: String(repeating: "9", count: 5000)])
        #expect((line { _ = try reader.int(.maxStreams, default: 1, in: 1...10) }?.count ?? 0) < 250)
    }

    @Test("An unknown key of the file is refused with the nearest known name")
    func unknownKey() throws {
        try withTemporaryFile("label: x\nmax_stream: 3\n", suffix: ".yaml") { path in
            #expect(
                line { _ = try reader(flags: [.config: path]) }
                    == "max_stream in \(path), line 2 is not a setting; did you mean max-streams?")
        }
        try withTemporaryFile("frobnicate-the-whole-thing: 3\n", suffix: ".yaml") { path in
            #expect(line { _ = try reader(flags: [.config: path]) }?.contains("--help") == true)
        }
        try withTemporaryFile(#"{"config": "other.yaml"}"#, suffix: ".json") { path in
            #expect(line { _ = try reader(flags: [.config: path]) }?.contains("is not a setting") == true)
        }
    }

    @Test(
        "A settings file that cannot be used gives one line that names it",
        arguments: [
            ("a: [\nb", ".yaml", "is not YAML"), ("- 1\n- 2\n", ".yaml", "must be a mapping"),
            ("label: x\nlabel: y\n", ".yaml", "is not YAML"), ("label: {a: b}\n", ".yaml", "must be a text"),
            ("{\"label\": }", ".json", "is not JSON"), ("[1]", ".json", "must be an object"),
            ("", ".json", "is not JSON"), ("{\"label\": {\"a\": 1}}", ".json", "must be a text"),
            ("label: x", ".toml", "must end in .yaml, .yml or .json"),
        ])
    func badFile(content: String, suffix: String, problem: String) throws {
        try withTemporaryFile(content, suffix: suffix) { path in
            let line = line { _ = try reader(environment: ["TEST_AGENT_CONFIG": path]) }
            #expect(line?.contains(path) == true)
            #expect(line?.contains(problem) == true, "\(line ?? "no error")")
            #expect(line?.contains(where: \.isNewline) == false)
        }
    }

    @Test("A settings file that is not there is an error that names the flag")
    func missingFile() throws {
        #expect(
            line { _ = try reader(flags: [.config: "/no/such.yaml"]) }
                == #"--config: "/no/such.yaml" cannot be read: No such file or directory"#)
    }

    @Test("An empty settings file and a key without value set nothing")
    func emptyFile() throws {
        for content in ["", "# only this\n", "label:\n", "label: ~\n"] {
            try withTemporaryFile(content, suffix: ".yaml") { path in
                try #expect(reader(flags: [.config: path]).string(.label, default: "d") == "d")
            }
        }
    }

    @Test("A setting that is missing is named in all three ways of giving it")
    func missing() throws {
        let text = try reader().missing(.gatewayURL, expected: "wss://host:port").description
        for part in ["--gateway-url", "TEST_AGENT_GATEWAY_URL", "gateway-url in the --config file", "wss://host:port"] {
            #expect(text.contains(part))
        }
    }

    // MARK: Types

    @Test(
        "Each type of setting refuses what it cannot read, naming the setting",
        arguments: [
            (.maxStreams, "0x10"), (.maxStreams, ""), (.maxStreams, "0"), (.idleTimeout, "30"), (.idleTimeout, "1h1h"),
            (.idleTimeout, "2d"), (.idleTimeout, "-1s"), (.idleTimeout, "25h"), (.tunnelMemory, "64MB"),
            (.tunnelMemory, "1.5GiB"), (.tunnelMemory, "9999999999GiB"), (.sync, "Auto"), (.sync, ""),
            (.trustedProxies, "10.0.0.0/33"), (.trustedProxies, "10.0.0.1/8"), (.trustedProxies, "example.com"),
            (.listen, "8080"), (.listen, ":8080"), (.listen, "127.0.0.1:65536"), (.listen, "::1:80"),
            (.plaintext, "maybe"), (.gatewayURL, "http://x"), (.gatewayURL, "wss://"), (.gatewayURL, "wss://a b"),
            (.gatewayURL, "wss://user@host"), (.gatewayURL, "wss://host:0"), (.gatewayURL, "wss://host/?q"),
            (.label, ""), (.caFile, "/no/such/file"), (.caFile, "/"), (.tokenFile, "/no/such/file"),
        ] as [(Name, String)])
    fileprivate func refusals(name: Name, value: String) throws {
        let reader = try reader(flags: [name: value])
        let line = line { try readEverything(reader) }
        #expect(line?.hasPrefix("--\(name.rawValue): \"\(value)\" must be ") == true, "\(line ?? "no error")")
    }

    private func readEverything(_ reader: SettingsReader<Name>) throws {
        _ = try reader.int(.maxStreams, default: 1, in: 1...10)
        _ = try reader.duration(.idleTimeout, default: .seconds(1), in: .zero ... .seconds(86_400))
        _ = try reader.bytes(.tunnelMemory, default: 1, in: 0...1 << 40)
        _ = try reader.choice(.sync, default: Mode.auto)
        _ = try reader.cidrs(.trustedProxies)
        _ = try reader.address(.listen, default: HostAndPort(host: "127.0.0.1", port: 1))
        _ = try reader.bool(.plaintext, default: false)
        _ = try reader.url(.gatewayURL, schemes: ["wss", "ws"])
        _ = try reader.string(.label)
        _ = try reader.readableFile(.caFile)
        _ = try reader.secretFile(.tokenFile)
    }

    @Test("Each type of setting reads its forms")
    func acceptance() throws {
        let reader = try reader(flags: [
            .maxStreams: "10", .idleTimeout: "1h30m", .tunnelMemory: "64MiB", .sync: "never",
            .listen: "[::1]:8080", .plaintext: "yes", .gatewayURL: "WSS://gateway.example.com",
            .trustedProxies: "10.0.0.0/8, fd00::/8",
        ])
        try #expect(reader.int(.maxStreams, default: 1, in: 1...10) == 10)
        try #expect(
            reader.duration(.idleTimeout, default: .zero, in: .zero ... .seconds(86_400)) == .seconds(5400))
        try #expect(reader.bytes(.tunnelMemory, default: 1, in: 0...1 << 40) == 67_108_864)
        try #expect(reader.choice(.sync, default: Mode.auto) == .never)
        try #expect(
            reader.address(.listen, default: HostAndPort(host: "x", port: 1))
                == HostAndPort(host: "::1", port: 8080))
        try #expect(reader.bool(.plaintext, default: false))
        let url = try #require(try reader.url(.gatewayURL, schemes: ["wss", "ws"]))
        #expect(url.description == "wss://gateway.example.com:443")
        #expect(url.usesTLS)
        try #expect(reader.cidrs(.trustedProxies).map(\.description) == ["10.0.0.0/8", "fd00::/8"])
    }

    @Test("A list may be a list of the file or a text with commas")
    func lists() throws {
        for content in [
            "trusted-proxies: [10.0.0.0/8, 192.0.2.1]", "trusted-proxies: 10.0.0.0/8,192.0.2.1",
            "trusted-proxies:\n  - 10.0.0.0/8\n  - 192.0.2.1\n",
        ] {
            try withTemporaryFile(content, suffix: ".yaml") { path in
                try #expect(
                    reader(flags: [.config: path]).cidrs(.trustedProxies).map(\.description)
                        == ["10.0.0.0/8", "192.0.2.1"])
            }
        }
        try withTemporaryFile("label: [a, b]", suffix: ".yaml") { path in
            let reader = try reader(flags: [.config: path])
            #expect(line { _ = try reader.string(.label) } != nil)
        }
    }

    /// The line of the error that the body throws.
    private func line(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch {
            #expect(error is SettingsError)
            return "\(error)"
        }
    }

    @Test("A domain is a DNS name; a wildcard, an address with a port or nothing is not")
    func domain() throws {
        try #expect(reader().domain(.domain, default: "cluster.local") == Hostname("cluster.local"))
        let given = try reader(flags: [.domain: "Gateway.Example.COM"])
        try #expect(given.domain(.domain, default: "cluster.local") == Hostname("gateway.example.com"))
        for text in ["*.example.com", "example.com:80", "-"] {
            let error = #expect(throws: SettingsError.self) {
                try reader(flags: [.domain: text]).domain(.domain, default: "cluster.local")
            }
            #expect(error?.description == "--domain: \"\(text)\" must be a DNS name, such as cluster.local")
        }
    }

    @Test("The host has a name without asking anybody")
    func hostName() throws {
        let name = try #require(LocalHost.name)
        #expect(!name.isEmpty && !name.contains("\0"))
    }
}
