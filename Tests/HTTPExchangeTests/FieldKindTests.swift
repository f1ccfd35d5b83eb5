import HTTPExchange
import Testing
import TunnelProtocol

@Suite("What a field is to a proxy")
struct FieldKindTests {
    private func kind(_ name: String) -> FieldKind {
        Array(name.utf8).withUnsafeBytes { FieldKind($0) }
    }

    private static let known: [(String, FieldKind)] = [
        ("Host", .host), ("Content-Length", .contentLength), ("Transfer-Encoding", .transferEncoding),
        ("Connection", .connection), ("TE", .te), ("Keep-Alive", .hopByHop), ("Proxy-Connection", .hopByHop),
        ("Upgrade", .hopByHop), ("Proxy-Authenticate", .hopByHop), ("Proxy-Authorization", .hopByHop),
        ("X-Forwarded-For", .forwardedFor), ("X-Forwarded-Proto", .forwardedProto),
        ("X-Forwarded-Host", .forwardedHost), ("Forwarded", .forwarding), ("X-Real-IP", .forwarding),
        ("X-Request-Id", .requestID), ("Traceparent", .traceParent), ("tracestate", .traceState),
        ("X-Forwarded-Port", .forwarding), ("X-Forwarded-Server", .forwarding), ("X-Forwarded-Ssl", .forwarding),
        ("X-Forwarded-By", .forwarding), ("X-Forwarded-", .forwarding), ("X-Forwarded-Client-Cert", .forwarding),
        ("X-Forwarded-Scheme", .forwarding), ("X-Forwarded-Prefix1", .forwarding), ("X-Forwarded-Fox", .forwarding),
    ]

    @Test("each that matters is known, whatever the case of its letters")
    func names() {
        for (name, expected) in Self.known {
            for spelling in [name, name.lowercased(), name.uppercased()] {
                #expect(kind(spelling) == expected, "\(spelling)")
            }
        }
    }

    @Test("with underscores it is a look-alike, and no field of its kind")
    func lookAlikes() {
        func isLookAlike(_ name: String) -> Bool { Array(name.utf8).withUnsafeBytes { FieldKind.isLookAlike($0) } }
        for (name, expected) in Self.known {
            let underscored = name.replacing("-", with: "_")
            #expect(isLookAlike(underscored) == (underscored != name), "\(underscored)")
            #expect(isLookAlike(underscored.lowercased()) == (underscored != name))
            #expect(!isLookAlike(name))
            if underscored != name { #expect(kind(underscored) != expected) }
        }
        for name in ["X-Forwarded_For", "X_Forwarded-For", "x-real_ip"] { #expect(isLookAlike(name), "\(name)") }
        for name in ["", "_", "X_Custom", "Content_Type", "X_Forward", "Host_"] {
            #expect(!isLookAlike(name), "\(name)")
        }
        #expect(FieldKind.folded("X_Custom-Field") == "x-custom-field")
    }

    @Test("a name that differs in one byte, or has one more or less, is another")
    func nearMisses() {
        for (name, expected) in Self.known where !name.hasPrefix("X-Forwarded-") {
            let bytes = Array(name.utf8)
            for index in bytes.indices {
                var changed = bytes
                // Also where only bit 0x20 differs, which makes a letter of another case but no other byte.
                for byte in [UInt8(ascii: "!"), bytes[index] ^ 0x20] {
                    changed[index] = byte
                    let text = String(decoding: changed, as: UTF8.self)
                    let isSame = text.lowercased() == name.lowercased()
                    #expect(kind(text) == (isSame ? expected : .other), "\(text)")
                }
            }
            #expect(kind(name + "s") == .other)
            #expect(kind(" " + name) == .other)
            #expect(kind(String(name.dropLast())) == .other)
        }
        for name in ["", "x", "X-Forwarded", "XX-Forwarded-For", "X_Forwarded-For", "X-Forwarded_Host", "Accept"] {
            #expect(kind(name) == .other, "\(name)")
        }
        // It still claims how the request came.
        #expect(kind("X-Forwarded-Foe") == .forwarding)
    }
}
