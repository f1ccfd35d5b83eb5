import NIOHTTP1
import Testing

@testable import TunnelTransport

@Suite("The request that opens a tunnel")
struct TunnelHandshakeTests {
    private static let good: HTTPHeaders = [
        "Host": "gateway", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "chat, gateway-tunnel.v1",
    ]

    private func refusal(
        method: HTTPMethod = .GET, uri: String = "/agent/v1/tunnel", _ change: (inout HTTPHeaders) -> Void = { _ in }
    ) -> TunnelRefusal.Kind? {
        var fields = Self.good
        change(&fields)
        do throws(TunnelRefusal) {
            try TunnelHandshake.check(HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: fields))
            return nil
        } catch {
            return error.kind
        }
    }

    @Test("the accept value is that of RFC 6455 §1.3")
    func accept() {
        #expect(TunnelHandshake.accept(for: "dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }

    @Test("a complete request is accepted, with a query too, and answered with the subprotocol")
    func accepted() {
        #expect(refusal() == nil)
        #expect(refusal(uri: "/agent/v1/tunnel?region=eu") == nil)
        #expect(refusal { $0.replaceOrAdd(name: "upgrade", value: "WebSocket") } == nil)
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/agent/v1/tunnel", headers: Self.good)
        let answer = TunnelHandshake.answer(to: head)
        #expect(answer["Sec-WebSocket-Accept"] == ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="])
        #expect(answer["Sec-WebSocket-Protocol"] == ["gateway-tunnel.v1"])
        #expect(!answer.contains(name: "Sec-WebSocket-Extensions"))
    }

    @Test("what is missing or wrong is refused by name")
    func refused() {
        #expect(refusal(uri: "/") == .notFound)
        #expect(refusal(uri: "/agent/v1/tunnel/") == .notFound)
        #expect(refusal(method: .POST) == .methodNotAllowed)
        #expect(refusal { $0.remove(name: "Upgrade") } == .upgradeRequired)
        #expect(refusal { $0.replaceOrAdd(name: "Upgrade", value: "h2c") } == .upgradeRequired)
        #expect(refusal { $0.replaceOrAdd(name: "Connection", value: "keep-alive") } == .upgradeRequired)
        #expect(refusal { $0.replaceOrAdd(name: "Sec-WebSocket-Version", value: "8") } == .upgradeRequired)
        #expect(refusal { $0.remove(name: "Sec-WebSocket-Version") } == .upgradeRequired)
        #expect(refusal { $0.remove(name: "Sec-WebSocket-Key") } == .badRequest)
        #expect(refusal { $0.replaceOrAdd(name: "Sec-WebSocket-Key", value: "c2hvcnQ=") } == .badRequest)
        #expect(refusal { $0.replaceOrAdd(name: "Sec-WebSocket-Key", value: "not base64!") } == .badRequest)
        #expect(
            refusal { $0.add(name: "Sec-WebSocket-Key", value: "dGhlIHNhbXBsZSBub25jZQ==") } == .badRequest)
        #expect(refusal { $0.remove(name: "Sec-WebSocket-Protocol") } == .badRequest)
        #expect(refusal { $0.replaceOrAdd(name: "Sec-WebSocket-Protocol", value: "gateway-tunnel.v2") } == .badRequest)
    }

    @Test("each refusal has its status")
    func statuses() {
        let statuses = [
            (TunnelRefusal.Kind.notFound, 404), (.methodNotAllowed, 405), (.upgradeRequired, 426), (.badRequest, 400),
            (.unauthorized, 401), (.overloaded, 503),
        ]
        for (kind, status) in statuses { #expect(TunnelRefusal(kind, "").status.code == UInt(status)) }
    }

    @Test("a bearer token is read whatever the case of its scheme, and only if it stands there once")
    func token() {
        #expect(TunnelHandshake.bearerToken(["Authorization": "Bearer abc"]) == "abc")
        #expect(TunnelHandshake.bearerToken(["authorization": "bearer a.b-c_d=="]) == "a.b-c_d==")
        #expect(TunnelHandshake.bearerToken([:]) == nil)
        #expect(TunnelHandshake.bearerToken(["Authorization": "Basic abc"]) == nil)
        #expect(TunnelHandshake.bearerToken(["Authorization": "Bearer"]) == nil)
        var twice: HTTPHeaders = ["Authorization": "Bearer abc"]
        twice.add(name: "Authorization", value: "Bearer def")
        #expect(TunnelHandshake.bearerToken(twice) == nil)
    }

    @Test("keys are 16 random bytes")
    func keys() {
        let keys = Set((0..<20).map { _ in TunnelHandshake.makeKey() })
        #expect(keys.count == 20)
        #expect(keys.allSatisfy { $0.utf8.count == 24 })
    }
}
