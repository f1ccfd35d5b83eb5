import HTTPExchange
import Testing
import TunnelProtocol

@testable import EdgeGateway

@Suite("Sending clients to HTTPS")
struct HTTPSRedirectTests {
    private func location(
        _ target: String, host: String = "Shop.example.com:8080", port: Int = 443, proto: String? = nil,
        isTrusted: Bool = false, method: String = "GET"
    ) throws -> String? {
        var fields = HeaderFields()
        fields.add(name: "Host", value: host)
        if let proto { fields.add(name: "X-Forwarded-Proto", value: proto) }
        let request = try RequestTarget(HTTP1Request(method: method, target: target, fields: fields))
        let answer = HTTPSRedirect(port: port).answer(to: request, fields, isTrusted: isTrusted)
        if let answer { #expect(answer.status == 308) }
        return answer?.fields.first(name: "Location")
    }

    @Test("host, path and query are kept as they are, and the port is that of HTTPS")
    func kept() throws {
        #expect(try location("/a%2Fb/..;/c?x=1&x=2") == "https://shop.example.com/a%2Fb/..;/c?x=1&x=2")
        #expect(try location("/", port: 8443) == "https://shop.example.com:8443/")
        #expect(try location("/", host: "[::1]:80") == "https://[::1]/")
        #expect(try location("//evil.test/x") == "https://shop.example.com//evil.test/x")
        #expect(try location("http://real.test/x?y") == "https://real.test/x?y")
    }

    @Test("challenges of certificate authorities pass, and nothing that only looks like one")
    func challenges() throws {
        #expect(try location("/.well-known/acme-challenge/token") == nil)
        #expect(try location("/.well-known/acme-challenge/token?x") == nil)
        #expect(try location("/x?/.well-known/acme-challenge/token") != nil)
        #expect(try location("/.well-known/acme-challenges") != nil)
        #expect(try location("*", method: "OPTIONS") == nil)
    }

    @Test("what came to a trusted proxy by TLS passes; nobody else is believed")
    func proxies() throws {
        #expect(try location("/", proto: "https", isTrusted: true) == nil)
        #expect(try location("/", proto: "HTTPS", isTrusted: true) == nil)
        #expect(try location("/", proto: "http", isTrusted: true) != nil)
        #expect(try location("/", isTrusted: true) != nil)
        #expect(try location("/", proto: "https") != nil)
    }
}
