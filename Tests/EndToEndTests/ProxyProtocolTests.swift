import EdgeGateway
import Foundation
import NIOCore
import NIOSSL
import Settings
import TestSupport
import Testing

@Suite("Clients that a proxy speaks for", .timeLimit(.minutes(1)))
struct ProxyProtocolTests {
    private static let line = "PROXY TCP4 192.0.2.7 10.0.0.1 32768 443\r\n"
    private static let request = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
    private static let signature = "\r\n\r\n\0\r\nQUIT\n"

    private func options(from range: String = "127.0.0.1") -> StackOptions {
        var options = StackOptions()
        options.proxyProtocolFrom = [CIDRBlock(range)].compactMap(\.self)
        return options
    }

    private func binary(_ command: UInt8, _ family: UInt8, _ body: [UInt8]) -> ByteBuffer {
        var buffer = ByteBuffer(string: Self.signature)
        buffer.writeBytes([command, family, 0, UInt8(body.count)] + body)
        return buffer
    }

    @Test("the client it names is the client: for the application and in the access log")
    func named() async throws {
        let seen = Box<RawHead>()
        try await withStack(options()) { backend in
            try await backend.answer(noting: seen)
        } _: { stack in
            let six: [UInt8] = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]
            let headers: [(ByteBuffer, String)] = [
                (ByteBuffer(string: Self.line), "192.0.2.7"),
                (ByteBuffer(string: "PROXY TCP6 2001:db8::9 ::1 1 2\r\n"), "2001:db8::9"),
                (ByteBuffer(string: "PROXY UNKNOWN\r\n"), "127.0.0.1"),
                (binary(0x21, 0x11, [192, 0, 2, 8, 10, 0, 0, 1, 0x80, 0, 1, 0xBB]), "192.0.2.8"),
                (binary(0x21, 0x21, six + six + [0, 1, 0, 2]), "2001:db8::7"),
                (binary(0x20, 0x00, []), "127.0.0.1"),
            ]
            for (index, (header, client)) in headers.enumerated() {
                let connection = try await stack.connect()
                // Byte by byte the header; the last comes with the request.
                for byte in header.readableBytesView.dropLast() { try await connection.send(ByteBuffer(bytes: [byte])) }
                var rest = ByteBuffer(bytes: header.readableBytesView.suffix(1))
                rest.writeString("GET /\(index) HTTP/1.1\r\nHost: app.test\r\n\r\n")
                try await connection.send(rest)
                #expect(try await connection.response().status == 200)
                #expect(seen.value?["X-Forwarded-For"] == [client])
                #expect(try await stack.accessLine("/\(index)").fields["client"] == client)
                connection.close()
            }
        }
    }

    @Test("it stands in front of TLS, too")
    func encrypted() async throws {
        let certificates = try TestCertificates.made.get()
        var options = options()
        options.frontCertificates = ["app": try certificates.server(for: ["app.test"])]
        let seen = Box<RawHead>()
        let authority = certificates.authority
        try await withStack(options) { backend in
            try await backend.answer(noting: seen)
        } _: { stack in
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(authority.utf8)))
            let context = try NIOSSLContext(configuration: configuration)
            let connection = try await RawConnection.connect(
                port: stack.tlsPort, preface: ByteBuffer(string: Self.line)
            ) {
                try NIOSSLClientHandler(context: context, serverHostname: "app.test")
            }
            try await connection.send(Self.request)
            #expect(try await connection.response().status == 200)
            #expect(seen.value?["X-Forwarded-For"] == ["192.0.2.7"])
            #expect(seen.value?["X-Forwarded-Proto"] == ["https"])
            connection.close()
        }
    }

    @Test("fields of the client it names are believed where that is a trusted proxy, and the proxy's own are not")
    func trust() async throws {
        var options = options()
        options.trustedProxies = [CIDRBlock("192.0.2.0/24")].compactMap(\.self)
        let seen = Box<RawHead>()
        try await withStack(options) { backend in
            try await backend.answer(noting: seen)
        } _: { stack in
            for (line, chain) in [
                (Self.line, "203.0.113.1, 192.0.2.7"), ("PROXY TCP4 198.51.100.1 10.0.0.1 1 2\r\n", "198.51.100.1"),
            ] {
                let connection = try await stack.connect()
                try await connection.send(
                    line + "GET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n")
                #expect(try await connection.response().status == 200)
                #expect(seen.value?["X-Forwarded-For"] == [chain])
                connection.close()
            }
        }
    }

    @Test("a connection without it is closed without a word, and the log says what to do")
    func missing() async throws {
        try await withStack(options()) { backend in
            try await backend.answerAll()
        } _: { stack in
            for start in [Self.request, "PROXY TCP4 1.2.3.4\r\n", "\u{16}\u{03}\u{01}\u{02}"] {
                let connection = try await stack.connect()
                try await connection.send(start)
                #expect(try await connection.rest().readableBytes == 0)
            }
            let lines = stack.gatewayLog.lines.filter { $0.message.hasPrefix("Refused a connection without its PROXY") }
            // One for many.
            #expect(lines.count == 1)
            #expect(lines.first?.fields["peer"] == "127.0.0.1")
            #expect(stack.backend.connections.isEmpty)
        }
    }

    @Test("whoever does not send it all in time is cut off")
    func slow() async throws {
        var options = options()
        options.limits.header = .milliseconds(100)
        try await withStack(options) { _ in
        } _: { stack in
            for start in ["", "PROXY TCP4 1.2"] {
                let connection = try await stack.connect()
                // On a busy machine it is cut off before.
                try? await connection.send(start)
                #expect(try await connection.rest().readableBytes == 0)
            }
        }
    }

    @Test("what others send of it is refused, and no application sees it; without it they are served as ever")
    func others() async throws {
        let seen = Box<RawHead>()
        for range in [nil, "127.0.0.9"] {
            var options = StackOptions()
            if let range { options = self.options(from: range) }
            try await withStack(options) { backend in
                try await backend.answer(noting: seen)
            } _: { stack in
                for start in [Self.line, Self.signature + "\u{21}\u{11}\0\u{0C}123456789012"] {
                    let connection = try await stack.connect()
                    try await connection.send(start + Self.request)
                    #expect(try await connection.head().status == 400)
                    _ = try await connection.rest()
                }
                #expect(stack.backend.connections.isEmpty)
                #expect(try await stack.request().status == 200)
                #expect(seen.value?["X-Forwarded-For"] == ["127.0.0.1"])
            }
        }
    }
}
