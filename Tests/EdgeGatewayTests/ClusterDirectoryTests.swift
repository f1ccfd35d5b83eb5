import Routing
import Testing

@testable import EdgeGateway

extension ClusterDirectory {
    fileprivate func cluster(token: String) -> String? { grant(for: TokenDigest(of: token))?.cluster }
}

@Suite("The clusters file")
struct ClusterDirectoryTests {
    /// SHA-256 of "foo" and of "bar".
    private static let foo = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    private static let bar = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"

    @Test("a token leads to its cluster, in YAML and in JSON, whatever the case of the digits")
    func good() throws {
        let yaml = """
            clusters:
              - uuid: Alpha-1
                tokenSHA256: \(Self.foo.uppercased())
              - uuid: beta
                tokenSHA256: \(Self.bar)
            """
        let directory = try ClusterDirectory(text: yaml, path: "f")
        #expect(directory.cluster(token: "foo") == "alpha-1")
        #expect(directory.cluster(token: "bar") == "beta")
        #expect(directory.cluster(token: "baz") == nil)
        #expect(directory.cluster(token: "") == nil)
        let json = #"{"clusters":[{"uuid":"a","tokenSHA256":"\#(Self.foo)"}]}"#
        #expect(try ClusterDirectory(text: json, path: "f").cluster(token: "foo") == "a")
        #expect(try ClusterDirectory(text: "clusters: []", path: "f").cluster(token: "foo") == nil)
    }

    @Test("a cluster may have two tokens, for rotation")
    func rotation() throws {
        let text = "clusters: [{uuid: a, tokenSHA256: \(Self.foo)}, {uuid: a, tokenSHA256: \(Self.bar)}]"
        let directory = try ClusterDirectory(text: text, path: "f")
        #expect(directory.cluster(token: "foo") == "a")
        #expect(directory.cluster(token: "bar") == "a")
    }

    @Test("several tokens of a cluster stand in a list; a cluster without tokens is there for certificates")
    func lists() throws {
        let text = "clusters: [{uuid: a, tokenSHA256: [\(Self.foo), \(Self.bar)]}, {uuid: b, tokenSHA256: []}]"
        let directory = try ClusterDirectory(text: text, path: "f")
        #expect(directory.cluster(token: "foo") == "a")
        #expect(directory.cluster(token: "bar") == "a")
        #expect(directory.grant(ofCluster: "b")?.hostnames == .all)
        #expect(directory.grant(ofCluster: "c") == nil)
    }

    @Test("host names restrict a cluster to what they match, an empty list to its own names")
    func hostnames() throws {
        let text = """
            clusters:
            - {uuid: a, tokenSHA256: \(Self.foo), hostnames: [Shop.example.com, '*.apps.example.com']}
            - {uuid: b, tokenSHA256: \(Self.bar), hostnames: []}
            revoked: [C]
            """
        let directory = try ClusterDirectory(text: text, path: "f")
        let allowed = try #require(directory.grant(for: TokenDigest(of: "foo"))?.hostnames)
        for (host, isAllowed) in [
            ("shop.example.com", true), ("x.apps.example.com", true), ("*.apps.example.com", true),
            ("apps.example.com", false), ("y.x.apps.example.com", false), ("*.example.com", false),
            ("*.shop.example.com", false), ("example.com", false),
        ] {
            #expect(allowed.allows(try Hostname(host)) == isAllowed, "\(host)")
        }
        #expect(directory.grant(for: TokenDigest(of: "bar"))?.hostnames == AllowedHostnames.none)
        #expect(directory.isRevoked("c"))
        #expect(!directory.isRevoked("a"))
    }

    static let defects: [(String, String)] = [
        ("", "is not a list"),
        ("clusters: 5", "is not a list"),
        ("clusters: [{uuid: a}]", "is not a list"),
        ("[{", "is not a list"),
        ("clusters: [{uuid: 'a b', tokenSHA256: \(foo)}]", "clusters[0].uuid"),
        ("clusters: [{uuid: '', tokenSHA256: \(foo)}]", "clusters[0].uuid"),
        ("clusters: [{uuid: \(String(repeating: "a", count: 64)), tokenSHA256: \(foo)}]", "clusters[0].uuid"),
        ("clusters: [{uuid: a.b, tokenSHA256: \(foo)}]", "clusters[0].uuid"),
        ("clusters: [{uuid: a, tokenSHA256: \(foo)}, {uuid: b, tokenSHA256: abc}]", "clusters[1].tokenSHA256"),
        ("clusters: [{uuid: a, tokenSHA256: \(String(repeating: "g", count: 64))}]", "clusters[0].tokenSHA256"),
        ("clusters: [{uuid: a, tokenSHA256: \(foo)}, {uuid: b, tokenSHA256: \(foo)}]", "clusters[1].tokenSHA256"),
        ("clusters: [{uuid: a, tokenSHA256: [\(foo), \(foo)]}]", "clusters[0].tokenSHA256"),
        ("clusters: [{uuid: a, tokenSHA256: \(foo), hostname: [x.test]}]", "clusters[0].hostname is not known"),
        ("clusters: [{uuid: a, tokenSHA256: \(foo), hostnames: }]", "is not a list"),
        ("clusters: [{uuid: a, tokenSHA256: \(foo), hostnames: x.test}]", "is not a list"),
        ("clusters: [{uuid: a, tokenSHA256: \(foo), hostnames: [x..test]}]", "clusters[0].hostnames: host"),
        (
            "clusters: [{uuid: a, tokenSHA256: \(foo), hostnames: []}, {uuid: a, tokenSHA256: \(bar)}]",
            "clusters[1].hostnames"
        ),
        ("clusters: [{uuid: a, tokenSHA256: \(foo), rateLimit: fast}]", "clusters[0].rateLimit must be off, or"),
        ("clusters: [{uuid: a, tokenSHA256: \(foo), rateLimit: }]", "clusters[0].rateLimit"),
        (
            "clusters: [{uuid: a, tokenSHA256: \(foo), rateLimit: 5}, {uuid: a, tokenSHA256: \(bar), rateLimit: 6}]",
            "clusters[1].rateLimit is another"
        ),
        ("clusters: []\nrevoke: []", "revoke is not known"),
        ("clusters: []\nrevoked: [a.b]", "revoked[0]"),
    ]

    @Test("a cluster may have a limit of its own, written as a number or as rate and burst, or none")
    func rateLimits() throws {
        let entries = [
            ("a", Self.foo, "50:500"), ("b", Self.bar, "7"), ("c", String(repeating: "0", count: 64), "off"),
        ]
        .map { "{uuid: \($0), tokenSHA256: \($1), rateLimit: \($2)}" }
        let directory = try ClusterDirectory(
            text: "clusters: [\(entries.joined(separator: ", "))]", path: "/etc/clusters.yaml")
        #expect(
            directory.rateLimits == [
                "a": .requests(rate: 50, burst: 500), "b": .requests(rate: 7, burst: 70), "c": .off,
            ])
    }

    @Test("each defect is one line that names the file and the entry", arguments: defects)
    func defect(text: String, names: String) {
        let error = #expect(throws: CredentialFileError.self) {
            try ClusterDirectory(text: text, path: "/etc/clusters.yaml")
        }
        let line = error?.description ?? ""
        #expect(line.hasPrefix("clusters-file /etc/clusters.yaml "))
        #expect(line.contains(names), "\(line)")
        #expect(!line.contains("\n"))
    }

    @Test("a file that is not there is named")
    func missing() {
        let error = #expect(throws: CredentialFileError.self) { try ClusterDirectory(path: "/nowhere/clusters.yaml") }
        #expect(error?.description == "clusters-file /nowhere/clusters.yaml cannot be read")
    }
}
