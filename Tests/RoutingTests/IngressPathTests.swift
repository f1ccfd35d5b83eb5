import Routing
import Testing

/// The examples of the Ingress documentation ("Path types" and "Hostname wildcards").
@Suite("The Ingress documentation's examples")
struct IngressPathTests {
    struct Example: Sendable, CustomStringConvertible {
        var paths: [(PathType, String)]
        var request: String
        /// The path that wins, `nil` where none matches.
        var winner: (PathType, String)?

        init(_ type: PathType, _ path: String, _ request: String, _ matches: Bool) {
            paths = [(type, path)]
            self.request = request
            winner = matches ? (type, path) : nil
        }

        init(_ paths: [(PathType, String)], _ request: String, wins winner: (PathType, String)?) {
            self.paths = paths
            self.request = request
            self.winner = winner
        }

        var description: String { "\(paths.map { "\($0.0) \($0.1)" }) \(request)" }
    }

    static let examples: [Example] = [
        Example(.prefix, "/", "/", true),
        Example(.prefix, "/", "/anything/at/all", true),
        Example(.exact, "/foo", "/foo", true),
        Example(.exact, "/foo", "/bar", false),
        Example(.exact, "/foo", "/foo/", false),
        Example(.exact, "/foo/", "/foo", false),
        Example(.prefix, "/foo", "/foo", true),
        Example(.prefix, "/foo", "/foo/", true),
        Example(.prefix, "/foo/", "/foo", true),
        Example(.prefix, "/foo/", "/foo/", true),
        Example(.prefix, "/aaa/bb", "/aaa/bbb", false),
        Example(.prefix, "/aaa/bbb", "/aaa/bbb", true),
        Example(.prefix, "/aaa/bbb/", "/aaa/bbb", true),
        Example(.prefix, "/aaa/bbb", "/aaa/bbb/", true),
        Example(.prefix, "/aaa/bbb", "/aaa/bbb/ccc", true),
        Example(.prefix, "/aaa/bbb", "/aaa/bbbxyz", false),
        Example([(.prefix, "/"), (.prefix, "/aaa")], "/aaa/ccc", wins: (.prefix, "/aaa")),
        Example(
            [(.prefix, "/"), (.prefix, "/aaa"), (.prefix, "/aaa/bbb")], "/aaa/bbb", wins: (.prefix, "/aaa/bbb")),
        Example([(.prefix, "/"), (.prefix, "/aaa"), (.prefix, "/aaa/bbb")], "/ccc", wins: (.prefix, "/")),
        Example(.prefix, "/aaa", "/ccc", false),
        Example([(.prefix, "/foo"), (.exact, "/foo")], "/foo", wins: (.exact, "/foo")),
        // Served as Prefix here, as the documentation leaves it to the implementation.
        Example(.implementationSpecific, "/foo", "/foo/bar", true),
        Example(.implementationSpecific, "/foo", "/foobar", false),
    ]

    @Test("A request path is matched as the path type table says", arguments: examples)
    func paths(_ example: Example) {
        let table = HostRoutes(
            example.paths.map { (PathMatch(path: $0.1, type: $0.0), "\($0.0) \($0.1)") })
        let expected = example.winner.map { RouteLookup.found("\($0.0) \($0.1)") } ?? .noSuchPath
        #expect(table.lookup(path: example.request) == expected)
    }

    @Test("A path is compared as sent: without decoding, without resolving dots")
    func bytes() {
        func covers(_ prefix: String, _ path: String) -> Bool {
            HostRoutes([(PathMatch(path: prefix, type: .prefix), true)]).lookup(path: path) == .found(true)
        }
        #expect(covers("/a%2Fb", "/a%2Fb/c"))
        #expect(!covers("/a%2Fb", "/a/b"))
        #expect(!covers("/a%2Fb", "/a%2fb"))
        #expect(covers("/foo", "/foo/../bar"))
        #expect(!covers("/foo", "/bar/../foo"))
        #expect(!covers("/", "*"))
    }

    @Test(
        "A wildcard covers exactly one label",
        arguments: [
            ("*.foo.com", "bar.foo.com", true),
            ("*.foo.com", "baz.bar.foo.com", false),
            ("*.foo.com", "foo.com", false),
            ("*.foo.com", ".foo.com", false),
            ("foo.com", "bar.foo.com", false),
        ])
    func wildcards(host: String, request: String, matches: Bool) throws {
        let table = RouteTable([(RouteKey(host: try Hostname(host), match: .prefix("")), "x")])
        #expect(table.lookup(host: request, path: "/") == (matches ? .found("x") : .noSuchHost))
    }
}
