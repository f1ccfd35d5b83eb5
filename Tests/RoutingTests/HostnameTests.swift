import Routing
import Testing

@Suite("Host names")
struct HostnameTests {
    @Test(
        "A name is kept lower-case and without its trailing dot",
        arguments: [
            ("example.com", "example.com"),
            ("My-App.Example.COM", "my-app.example.com"),
            ("example.com.", "example.com"),
            ("localhost", "localhost"),
            ("a_b.example.com", "a_b.example.com"),
            ("*.foo.com", "*.foo.com"),
            ("*.Foo.com.", "*.foo.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            (String(repeating: "a", count: 63) + ".com", String(repeating: "a", count: 63) + ".com"),
        ])
    func canonical(source: String, text: String) throws {
        let name = try Hostname(source)
        #expect(name.text == text)
        #expect(name.isWildcard == text.hasPrefix("*"))
        #expect(name.description == text)
    }

    @Test(
        "What is not a DNS name is refused with the reason",
        arguments: [
            ("", "is empty"),
            (".", "is empty"),
            ("foo..com", "has an empty label"),
            (".foo.com", "has an empty label"),
            ("foo.com..", "has an empty label"),
            ("-foo.com", "has a label that starts or ends with a hyphen"),
            ("foo-.com", "has a label that starts or ends with a hyphen"),
            ("foo com", "has a character other than letters, digits, hyphens and underscores"),
            ("foo.com:80", "has a character other than letters, digits, hyphens and underscores"),
            ("foo/bar", "has a character other than letters, digits, hyphens and underscores"),
            ("*", "has a character other than letters, digits, hyphens and underscores"),
            ("foo.*.com", "has a character other than letters, digits, hyphens and underscores"),
            ("*foo.com", "has a character other than letters, digits, hyphens and underscores"),
            ("bücher.example", "has a character other than letters, digits, hyphens and underscores"),
            ("\u{212A}ubernetes.io", "has a character other than letters, digits, hyphens and underscores"),
            (String(repeating: "a", count: 64) + ".com", "has a label longer than 63 characters"),
            (
                Array(repeating: String(repeating: "a", count: 60), count: 5).joined(separator: "."),
                "is longer than 253 characters"
            ),
        ])
    func refused(source: String, reason: String) {
        do {
            let name = try Hostname(source)
            Issue.record("taken as \(name)")
        } catch {
            #expect(error.source == source)
            #expect(error.reason == reason)
            #expect(error.description == "host \"\(source)\" \(reason)")
        }
    }

    @Test("Names are ordered by their text")
    func order() throws {
        #expect(try Hostname("a.com") < Hostname("b.com"))
        #expect(try !(Hostname("b.com") < Hostname("b.com")))
    }

    @Test(
        "A request's host is looked up without port, trailing dot and capitals",
        arguments: [
            ("example.com", "example.com"),
            ("example.com:8080", "example.com"),
            ("EXAMPLE.com:8080", "example.com"),
            ("example.com.", "example.com"),
            ("Example.Com.:443", "example.com"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("[::1", "[::1"),
            ("127.0.0.1:80", "127.0.0.1"),
            (":80", ""),
            ("", ""),
        ])
    func requestHost(authority: String, host: String) {
        #expect(RequestHost.normalize(authority) == host)
    }
}
