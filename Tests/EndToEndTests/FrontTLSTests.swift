import EdgeGateway
import Foundation
import Logging
import NIOCore
import NIOSSL
import Settings
import TestSupport
import Testing

/// `curl` and `openssl` as clients of a stack's listener with TLS.
private struct Clients {
    let stack: Stack

    static let areInstalled = Command.path(of: "curl") != nil && Command.path(of: "openssl") != nil

    private var authority: String { stack.directory.appending(path: "ca.crt").path }

    /// A request; the answer with its head.
    /// By HTTP/1.1 unless the arguments say otherwise.
    func curl(_ url: String, _ arguments: [String] = []) async throws -> Command.Result {
        let host = URL(string: url)?.host() ?? ""
        let resolve = [stack.tlsPort, stack.frontPort].flatMap { ["--resolve", "\(host):\($0):127.0.0.1"] }
        return try await Command(Command.path(of: "curl") ?? "").run(
            ["-sS", "-i", "--http1.1", "--noproxy", "*", "--max-time", "20", "--cacert", authority] + resolve
                + arguments
                + [url])
    }

    /// A handshake and one request; what `openssl` says about it and the answer.
    func openssl(_ arguments: [String]) async throws -> Command.Result {
        try await Command(Command.path(of: "openssl") ?? "").run(
            ["s_client", "-connect", "127.0.0.1:\(stack.tlsPort)", "-CAfile", authority, "-ign_eof"] + arguments,
            input: "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
    }

    /// A connection that stays open.
    func connect(to name: String) async throws -> RawConnection {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(authority)
        let context = try NIOSSLContext(configuration: configuration)
        return try await RawConnection.connect(port: stack.tlsPort) {
            try NIOSSLClientHandler(context: context, serverHostname: name)
        }
    }

    func url(_ host: String, _ path: String = "/") -> String { "https://\(host):\(stack.tlsPort)\(path)" }
    func plainURL(_ host: String, _ path: String = "/") -> String { "http://\(host):\(stack.frontPort)\(path)" }
}

@Suite("TLS at the front door", .enabled(if: Clients.areInstalled), .timeLimit(.minutes(2)))
struct FrontTLSTests {
    private let certificates: TestCertificates

    init() throws { certificates = try TestCertificates.made.get() }

    private func options(_ names: [String: [String]]) throws -> StackOptions {
        var options = StackOptions()
        options.routes = ["app.test", "one.apps.test", "other.test"].map { ($0, "/") }
        options.files["ca.crt"] = certificates.authority
        options.frontCertificates = try names.mapValues { try certificates.server(for: $0) }
        return options
    }

    @Test("the certificate is the one for the name asked for: exact, wildcard, default")
    func choice() async throws {
        let options = try options([
            "app": ["app.test"], "wild": ["*.apps.test"], "default": ["other.test"],
        ])
        let seen = Box<RawHead>()
        try await withStack(options, within: .seconds(60)) { backend in
            while true { try await backend.answer(noting: seen) }
        } _: { stack in
            let clients = Clients(stack: stack)
            for host in ["app.test", "one.apps.test", "other.test"] {
                let answer = try await clients.curl(clients.url(host))
                #expect(answer.code == 0, "\(answer.errors)")
                #expect(answer.output.hasPrefix("HTTP/1.1 200 OK\r\n"))
                let head = try #require(seen.value)
                #expect(head["X-Forwarded-Proto"] == ["https"])
                #expect(head["Host"] == ["\(host):\(stack.tlsPort)"])
            }
            for (name, subject) in [("app.test", "app.test"), ("APP.test", "app.test"), ("x.app.test", "other.test")] {
                #expect(try await clients.openssl(["-servername", name]).output.contains("subject=CN = \(subject)\n"))
            }
            #expect(try await clients.openssl(["-noservername"]).output.contains("subject=CN = other.test\n"))
        }
    }

    @Test("without a default a name that no certificate has is refused with unrecognized_name, no name is not")
    func unrecognizedName() async throws {
        try await withStack(options(["app": ["app.test"]]), within: .seconds(60)) { backend in
            try await backend.answerAll()
        } _: { stack in
            let clients = Clients(stack: stack)
            let refused = try await clients.openssl(["-servername", "nobody.test"])
            #expect(refused.code != 0)
            #expect(refused.errors.contains("SSL alert number 112"), "\(refused.errors)")
            #expect(try await clients.openssl(["-noservername"]).output.contains("HTTP/1.1 200 OK"))
        }
    }

    @Test("TLS 1.2 and 1.3 with authenticated encryption, and nothing older; h2 rather than http/1.1 by ALPN")
    func versions() async throws {
        try await withStack(options(["app": ["app.test"]]), within: .seconds(60)) { backend in
            try await backend.answerAll()
        } _: { stack in
            let clients = Clients(stack: stack)
            let old = "DEFAULT@SECLEVEL=0"
            for (arguments, expected) in [
                (["-tls1_3"], "New, TLSv1.3, Cipher is TLS_AES_"),
                (["-tls1_2"], "New, TLSv1.2, Cipher is ECDHE-ECDSA-AES"),
                (["-tls1_2", "-alpn", "http/1.1"], "ALPN protocol: http/1.1"),
            ] {
                let result = try await clients.openssl(arguments)
                #expect(result.output.contains(expected), "\(result)")
                #expect(result.output.contains("HTTP/1.1 200 OK"))
            }
            for arguments in [
                ["-tls1_1", "-cipher", old], ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"],
            ] {
                let result = try await clients.openssl(arguments)
                #expect(result.errors.contains("alert"), "\(result)")
                #expect(!result.output.contains("HTTP/1.1"))
            }
            let curl = try await clients.curl(clients.url("app.test"), ["--http2", "-v"])
            #expect(curl.errors.contains("server accepted h2"), "\(curl.errors)")
            #expect(curl.output.hasPrefix("HTTP/2 200"))
        }
    }

    @Test("sessions are resumed by their tickets, also after another certificate has changed")
    func resumption() async throws {
        let options = try options(["app": ["app.test"], "other": ["other.test"]])
        try await withStack(options, within: .seconds(90)) { backend in
            try await backend.answerAll()
        } _: { stack in
            let clients = Clients(stack: stack)
            for version in ["1_2", "1_3"] {
                let session = stack.directory.appending(path: "session-\(version)").path
                let named = ["-servername", "app.test", "-tls\(version)"]
                let first = try await clients.openssl(named + ["-sess_out", session])
                #expect(first.output.contains("\nNew, TLSv"), "\(first)")
                let loads = stack.gatewayLog.lines("Certificate loaded").count
                try Parts.write(
                    certificates.server(for: ["other.test"]),
                    to: stack.directory.appending(path: "certificates/other"))
                try await eventually("the other certificate is loaded") {
                    stack.gatewayLog.lines("Certificate loaded").count > loads
                }
                let second = try await clients.openssl(named + ["-sess_in", session])
                #expect(second.output.contains("\nReused, TLSv"), "\(second)")
                #expect(second.output.contains("HTTP/1.1 200 OK"))
                // A session belongs to its certificate.
                let other = try await clients.openssl(
                    ["-servername", "other.test", "-tls\(version)", "-sess_in", session])
                #expect(other.output.contains("\nNew, TLSv"), "\(other)")
            }
        }
    }

    @Test("a changed certificate is shown to new connections, those that are open go on, and a bad one changes nothing")
    func reload() async throws {
        try await withStack(options(["app": ["app.test"]]), within: .seconds(60)) { backend in
            try await backend.answerAll()
        } _: { stack in
            let clients = Clients(stack: stack)
            let request = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
            let open = try await clients.connect(to: "app.test")
            try await open.send(request)
            #expect(try await open.response().status == 200)

            let folder = stack.directory.appending(path: "certificates/app")
            try Parts.write(certificates.server(for: ["new.test", "app.test"]), to: folder)
            try await eventually("the new certificate is shown") {
                try await clients.openssl(["-servername", "app.test"]).output.contains("subject=CN = new.test\n")
            }
            try await open.send(request)
            #expect(try await open.response().status == 200)

            try Data("no key".utf8).write(to: folder.appending(path: "tls.key"))
            try await eventually("the bad key is told") {
                stack.gatewayLog.lines("Certificate refused").contains {
                    $0.level == .error && $0.fields["error"]?.contains("app/tls.key has no private key") == true
                        && $0.fields["instead"] == "the one before"
                }
            }
            #expect(try await clients.curl(clients.url("app.test")).output.hasPrefix("HTTP/1.1 200 OK"))
            try await open.send(request)
            #expect(try await open.response().status == 200)
            open.close()
        }
    }

    @Test("large bodies pass both ways, whole")
    func bodies() async throws {
        let size = 5 << 20
        let body = String(repeating: "0123456789abcdef", count: size / 16)
        try await withStack(options(["app": ["app.test"]]), within: .seconds(60)) { backend in
            let head = try await backend.head()
            let (bytes, _, _) = try await backend.body(of: head)
            try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: \(bytes.readableBytes)\r\n\r\n")
            try await backend.send(bytes)
        } _: { stack in
            let clients = Clients(stack: stack)
            let file = stack.directory.appending(path: "body")
            try Data(body.utf8).write(to: file)
            let answer = try await clients.curl(clients.url("app.test"), ["--data-binary", "@\(file.path)"])
            #expect(answer.code == 0, "\(answer.errors)")
            #expect(answer.output.hasSuffix("\r\n\r\n" + body))
        }
    }

    @Test("another protocol passes through TLS, both ways")
    func upgrade() async throws {
        try await withStack(options(["app": ["app.test"]]), within: .seconds(60)) { backend in
            _ = try await backend.head()
            try await backend.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            while let bytes = try await backend.some() { try await backend.send(bytes) }
        } _: { stack in
            let client = try await Clients(stack: stack).connect(to: "app.test")
            try await client.send(
                "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            #expect(try await client.head().status == 101)
            try await client.send("hello")
            #expect(String(buffer: try await client.bytes(5)) == "hello")
            client.close()
        }
    }

    @Test("HSTS is in every answer by TLS, in none without it, and an application's own stands")
    func transportSecurity() async throws {
        var options = try options(["app": ["app.test"], "default": ["nobody.test"]])
        options.transportSecurity = .seconds(31_536_000)
        try await withStack(options, within: .seconds(60)) { backend in
            while true {
                let head = try await backend.head()
                let own = head.target == "/own" ? "Strict-Transport-Security: max-age=1\r\n" : ""
                try await backend.send("HTTP/1.1 200 OK\r\n\(own)Content-Length: 2\r\n\r\nok")
            }
        } _: { stack in
            let clients = Clients(stack: stack)
            let ours = "\r\nStrict-Transport-Security: max-age=31536000\r\n"
            #expect(try await clients.curl(clients.url("app.test")).output.contains(ours))
            let failed = try await clients.curl(clients.url("nobody.test")).output
            #expect(failed.hasPrefix("HTTP/1.1 404 "))
            #expect(failed.contains(ours))
            let own = try await clients.curl(clients.url("app.test", "/own")).output
            #expect(own.contains("\r\nStrict-Transport-Security: max-age=1\r\n"))
            #expect(!own.contains(ours))
            #expect(!(try await clients.curl(clients.plainURL("app.test")).output.contains("Strict-Transport")))
        }
    }

    @Test(
        "plain requests are sent to the same URL by HTTPS, but for challenges and what came to a trusted proxy by TLS")
    func redirect() async throws {
        var options = try options(["app": ["app.test"]])
        options.redirect = HTTPSRedirect()
        options.trustedProxies = [CIDRBlock("127.0.0.1")].compactMap(\.self)
        let seen = Box<RawHead>()
        try await withStack(options, within: .seconds(60)) { backend in
            while true { try await backend.answer(noting: seen) }
        } _: { stack in
            let clients = Clients(stack: stack)
            let url = clients.plainURL("app.test", "/a%2Fb?x=1&x=2")
            for arguments in [[], ["-X", "POST", "--data", "body"]] {
                let answer = try await clients.curl(url, arguments)
                #expect(answer.output.hasPrefix("HTTP/1.1 308 Permanent Redirect\r\n"), "\(answer)")
                #expect(answer.output.contains("\r\nLocation: https://app.test/a%2Fb?x=1&x=2\r\n"))
            }
            #expect(try await stack.accessLine("/a%2Fb").fields["status"] == "308")
            #expect(seen.value == nil)
            let challenge = "/.well-known/acme-challenge/token"
            #expect(try await clients.curl(clients.plainURL("app.test", challenge)).output.hasSuffix("ok"))
            #expect(seen.value?.target == challenge)
            let proxied = try await clients.curl(url, ["-H", "X-Forwarded-Proto: https"])
            #expect(proxied.output.hasPrefix("HTTP/1.1 200 OK"))
            #expect(try await clients.curl(clients.url("app.test")).output.hasPrefix("HTTP/1.1 200 OK"))
        }
    }

    @Test("a client whose first message comes in several records gets the certificate for its name, too")
    func fragmentedHello() async throws {
        let options = try options(["app": ["app.test"], "default": ["other.test"]])
        let seen = Box<RawHead>()
        try await withStack(options, within: .seconds(60)) { backend in
            while true { try await backend.answer(noting: seen) }
        } _: { stack in
            // More than fits a record of 512 bytes.
            let protocols = ["a", "b", "c"].map { String(repeating: $0, count: 250) } + ["http/1.1"]
            let result = try await Clients(stack: stack).openssl([
                "-servername", "app.test", "-max_send_frag", "512", "-alpn", protocols.joined(separator: ","),
            ])
            #expect(result.output.contains("subject=CN = app.test\n"))
            #expect(result.output.contains("HTTP/1.1 200 OK"))
        }
    }

    @Test("a client that does not finish its handshake is cut off")
    func handshakeTimeout() async throws {
        var options = try options(["app": ["app.test"]])
        options.tlsHandshakeTimeout = .milliseconds(100)
        try await withStack(options) { _ in
        } _: { stack in
            for start: [UInt8] in [[], [22, 3, 1, 2, 0, 1]] {
                let client = try await RawConnection.connect(port: stack.tlsPort)
                // On a busy machine its time may be over before it has said anything.
                try? await client.send(ByteBuffer(bytes: start))
                try await client.waitForEnd()
            }
            // What is no TLS is refused at once, and nobody waits for more.
            let client = try await RawConnection.connect(port: stack.tlsPort)
            try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try await client.waitForEnd()
        }
    }
}
