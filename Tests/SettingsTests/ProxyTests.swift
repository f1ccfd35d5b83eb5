import Settings
import Testing

@Suite("Where a proxy is, and for whom")
struct ProxyTests {
    @Test(
        "A proxy's URL",
        arguments: [
            ("http://proxy:3128", "http://proxy:3128"), ("proxy.corp:3128", "http://proxy.corp:3128"),
            ("http://proxy/", "http://proxy:80"), ("HTTPS://proxy", "https://proxy:443"),
            ("http://[fd00::1]:8080", "http://[fd00::1]:8080"), ("http://u:p@proxy:1", "http://proxy:1"),
        ])
    func url(text: String, meaning: String) throws {
        #expect(try #require(ProxyURL(text)).description == meaning)
    }

    @Test(
        "What is none",
        arguments: [
            "", "socks5://proxy:1", "http://", "http://proxy:0", "http://proxy:99999", "http://proxy/path",
            "http://proxy?x", "http://@proxy:1", "http://:p@proxy:1", "http://a b:1", "http://%zz:p@proxy:1",
        ])
    func notURL(text: String) { #expect(ProxyURL(text) == nil) }

    @Test("User and password become the Basic scheme, percent-decoded, and are shown nowhere")
    func credentials() throws {
        let proxy = try #require(ProxyURL("http://user:p%40ss:word@proxy:3128"))
        #expect(proxy.authorization?.reveal() == "Basic dXNlcjpwQHNzOndvcmQ=")
        #expect(try #require(ProxyURL("http://user@proxy:3128")).authorization?.reveal() == "Basic dXNlcjo=")
        #expect(try #require(ProxyURL("http://proxy:3128")).authorization == nil)
        var shown = "\(proxy) \(String(reflecting: proxy))"
        dump(proxy, to: &shown)
        for secret in ["user", "p@ss", "p%40ss", "dXNlcjpwQHNzOndvcmQ="] { #expect(!shown.contains(secret)) }
    }

    @Test(
        "Who is reached without a proxy",
        arguments: [
            ("*", "anything.test", true), ("", "anything.test", false),
            ("example.com", "example.com", true), ("example.com", "gw.example.com", true),
            ("example.com", "badexample.com", false), ("example.com", "com", false),
            (".example.com", "gw.example.com", true), (".example.com", "example.com", true),
            ("*.example.com", "gw.example.com", true), ("EXAMPLE.com", "GW.Example.COM.", true),
            ("other.test, example.com", "example.com", true), ("other.test example.com", "example.com", true),
            ("example.com:443", "example.com", true), ("example.com:80", "example.com", false),
            ("10.0.0.0/8", "10.1.2.3", true), ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/8", "10.example.com", false), ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7:443", "192.0.2.7", true), ("192.0.2.7:80", "192.0.2.7", false),
            ("fd00::/8", "fd12::1", true), ("2001:db8::1", "2001:db8::1", true),
            ("[2001:db8::1]:443", "2001:db8::1", true), ("[2001:db8::1]:80", "2001:db8::1", false),
            ("2.7", "192.0.2.7", false), ("10.0.0.1/8", "10.0.0.1", false), ("a/b,example.com", "example.com", true),
        ])
    func exclusions(list: String, host: String, isExcluded: Bool) {
        #expect(ProxyExclusions(list).contains(host: host, port: 443) == isExcluded)
    }
}
