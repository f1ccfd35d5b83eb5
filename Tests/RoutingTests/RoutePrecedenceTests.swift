import Routing
import Testing

@Suite("Which route wins")
struct RoutePrecedenceTests {
    private func key(_ host: String, _ path: String, _ type: PathType = .prefix) throws -> RouteKey {
        RouteKey(host: try Hostname(host), match: PathMatch(path: path, type: type))
    }

    @Test("The exact host wins over the wildcard that covers it")
    func exactHost() throws {
        let table = RouteTable([
            (try key("*.foo.com", "/"), "wildcard"), (try key("bar.foo.com", "/"), "exact"),
        ])
        #expect(table.lookup(host: "bar.foo.com", path: "/") == .found("exact"))
        #expect(table.lookup(host: "baz.foo.com", path: "/") == .found("wildcard"))
        #expect(table.hostCount == 2)
    }

    @Test("A listed host hides the wildcard even for paths it does not serve")
    func hidden() throws {
        let table = RouteTable([
            (try key("*.foo.com", "/"), "wildcard"), (try key("bar.foo.com", "/only"), "exact"),
        ])
        #expect(table.lookup(host: "bar.foo.com", path: "/other") == .noSuchPath)
        #expect(table.lookup(host: "bar.foo.com", path: "/only/this") == .found("exact"))
    }

    @Test("An exact path wins over every prefix, and only for itself")
    func exactPath() throws {
        let table = RouteTable([
            (try key("a.com", "/long/prefix/path"), "long"), (try key("a.com", "/long"), "short"),
            (try key("a.com", "/long/prefix", .exact), "exact"),
        ])
        #expect(table.lookup(host: "a.com", path: "/long/prefix") == .found("exact"))
        #expect(table.lookup(host: "a.com", path: "/long/prefix/") == .found("short"))
        #expect(table.lookup(host: "a.com", path: "/long/prefix/path/x") == .found("long"))
        #expect(table.lookup(host: "a.com", path: "/") == .noSuchPath)
    }

    @Test("The longest prefix wins in whatever order the routes come")
    func longestPrefix() throws {
        let paths = ["/", "/a", "/a/b", "/a/b/c"]
        for order in [paths, paths.reversed(), ["/a/b", "/", "/a/b/c", "/a"]] {
            let table = RouteTable(try order.map { (try key("a.com", $0), $0) })
            #expect(table.lookup(host: "a.com", path: "/a/b/c/d") == .found("/a/b/c"))
            #expect(table.lookup(host: "a.com", path: "/a/b/x") == .found("/a/b"))
            #expect(table.lookup(host: "a.com", path: "/ab") == .found("/"))
        }
    }

    @Test("Among many prefixes of one host the longest is found that covers the path by whole segments")
    func manyPrefixes() throws {
        // Few segments, of bytes before and behind the slash, so that many cover each other or nearly do.
        let segments = ["a", "ab", "a-b", "a.b", "b", "!", "", "%2F"]
        var generator = SystemRandomNumberGenerator()
        func path(_ most: Int) -> String {
            (0..<Int.random(in: 0...most, using: &generator)).map { _ in
                "/" + segments.randomElement(using: &generator)!
            }
            .joined()
        }
        for count in [0, 1, 2, 3, 10, 100, 1000] {
            let prefixes = Set((0..<count).map { _ in path(5) }).filter { !$0.hasSuffix("/") }
            let routes = HostRoutes(prefixes.map { (PathMatch.prefix($0), $0) })
            for _ in 0..<2000 {
                let asked = path(7) + (Bool.random() ? "/" : "")
                let longest = prefixes.filter { asked == $0 || asked.hasPrefix($0 + "/") }.max { $0.count < $1.count }
                #expect(
                    routes.lookup(path: asked) == longest.map { .found($0) } ?? .noSuchPath, "\(asked) of \(prefixes)")
            }
        }
    }

    @Test("Of two entries with one key the later wins")
    func laterWins() throws {
        let table = RouteTable([
            (try key("a.com", "/x/"), 1), (try key("a.com", "/x"), 2), (try key("a.com", "/y", .exact), 3),
            (try key("a.com", "/y", .exact), 4),
        ])
        #expect(table.lookup(host: "a.com", path: "/x") == .found(2))
        #expect(table.lookup(host: "a.com", path: "/y") == .found(4))
    }

    @Test("A host's routes are replaced and removed as a whole")
    func replace() throws {
        var table = RouteTable([(try key("a.com", "/old"), "old"), (try key("b.com", "/"), "other")])
        table.replace(host: try Hostname("a.com"), with: HostRoutes([(.prefix("/new"), "new")]))
        #expect(table.lookup(host: "a.com", path: "/old") == .noSuchPath)
        #expect(table.lookup(host: "a.com", path: "/new") == .found("new"))
        table.replace(host: try Hostname("a.com"), with: nil)
        #expect(table.lookup(host: "a.com", path: "/new") == .noSuchHost)
        #expect(table.lookup(host: "b.com", path: "/") == .found("other"))
        #expect(RouteTable<Int>().lookup(host: "a.com", path: "/") == .noSuchHost)
    }
}
