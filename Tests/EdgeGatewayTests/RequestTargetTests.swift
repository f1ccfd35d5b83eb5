import HTTPExchange
import Testing
import TunnelProtocol

@testable import EdgeGateway

@Suite("Where a request wants to go (RFC 9112 §3.2)")
struct RequestTargetTests {
    private func read(
        _ uri: String, hosts: [String] = ["Shop.example.com:8080"], method: String = "GET",
        version: HTTP1Version = .http11
    ) throws -> RequestTarget {
        var fields = HeaderFields()
        for host in hosts { fields.add(name: "Host", value: host) }
        return try RequestTarget(HTTP1Request(method: method, target: uri, version: version, fields: fields))
    }

    @Test("the origin form keeps its bytes and takes the host from its field")
    func origin() throws {
        let target = try read("/a%2Fb/..;/c?x=1&x=2&y=%20")
        #expect(target.target == "/a%2Fb/..;/c?x=1&x=2&y=%20")
        #expect(target.path == "/a%2Fb/..;/c")
        #expect(target.authority == "Shop.example.com:8080")
        #expect(target.host == "shop.example.com")
    }

    @Test("the absolute form decides over the Host field")
    func absolute() throws {
        let target = try read("http://Real.test:81/x?y", hosts: ["other.test"])
        #expect(target.host == "real.test")
        #expect(target.authority == "Real.test:81")
        #expect(target.target == "/x?y")
        #expect(try read("http://real.test").target == "/")
        #expect(try read("http://real.test?q=1").target == "/?q=1")
        #expect(try read("HTTPS://Real.test/A").target == "/A")
        // A client that is older than the field need not send it.
        #expect(try read("http://real.test/x", hosts: [], version: .http10).host == "real.test")
    }

    @Test("a URL inside a path is part of the path")
    func urlInPath() throws {
        #expect(try read("/fetch/https://example.org/x").target == "/fetch/https://example.org/x")
        #expect(try read("/compare/a...b").path == "/compare/a...b")
    }

    @Test("OPTIONS * is a target too")
    func asterisk() throws {
        #expect(try read("*", method: "OPTIONS").target == "*")
    }

    @Test("no host, two hosts, an empty host, and what is no target are bad requests")
    func bad() {
        for hosts in [[], ["a.test", "b.test"], ["a.test", "a.test"], [""]] {
            #expect(throws: ExchangeFailure.self) { try read("/", hosts: hosts) }
        }
        #expect(throws: ExchangeFailure.self) { try read("http://a.test/", hosts: []) }
        #expect(throws: ExchangeFailure.self) { try read("/", hosts: [], version: .http10) }
        for host in ["ä.test", "a.test:80@evil", "a.test:abc/../x", "a.test:123456", "a test", "[::1", "a.test/"] {
            #expect(throws: ExchangeFailure.self) { try read("/", hosts: [host]) }
        }
        for target in ["a.test:443", "/", "http://a.test/"] {
            #expect(throws: ExchangeFailure.self) { try read(target, method: "CONNECT") }
        }
        for target in ["*", "/a#b", "http://a.test/#b", "ftp://a.test/", "a?b://a.test/", "http:/a.test/"] {
            #expect(throws: ExchangeFailure.self) { try read(target) }
        }
        #expect(throws: ExchangeFailure.self) { try read("http://a.test/", hosts: ["a test"]) }
        #expect(throws: ExchangeFailure.self) { try read("nonsense") }
        #expect(throws: ExchangeFailure.self) { try read("http:///path") }
    }
}
