import HTTPExchange
import NIOCore
import NIOEmbedded
import Testing
import TunnelProtocol
import TunnelTransport

@testable import EdgeGateway

@Suite("Informational heads for a client that does not read")
struct InformationalHeadTests {
    /// What a client gets of sixteen heads of 20,000 bytes that come in one burst, and of the final one.
    private func answer(isWritable: Bool) throws -> String {
        let handler = ProxyHandler(
            shared: ProxyContext(
                cache: RouteCache(timeouts: .init()), tunnels: TunnelRegistry(), policy: ForwardingPolicy(),
                trustedProxies: [], accessLog: AccessLog(lines: nil), redirect: nil,
                limits: FrontLimits()))
        let channel = EmbeddedChannel(handler: handler)
        channel.isWritable = isWritable
        var ids = RequestIDSource()
        let exchange = FrontExchange(
            HTTP1Request(method: "GET", target: "/", fields: ["Host": "app.test"]), id: ids.make(), hasBody: false,
            upgrade: nil, client: handler)
        for _ in 0..<16 {
            let fields: HeaderFields = ["Link": String(repeating: "x", count: 20_000)]
            exchange.received(.head(ResponseHead(status: 103, fields: fields), endStream: false))
        }
        exchange.received(.head(ResponseHead(status: 204, fields: [:]), endStream: true))
        exchange.receivedBurst()
        var text = ""
        while let bytes = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: bytes) }
        _ = try channel.finish(acceptAlreadyClosed: true)
        return text
    }

    private func count(_ status: String, in text: String) -> Int {
        text.split(separator: "\r\n").count { $0.hasPrefix("HTTP/1.1 \(status) ") }
    }

    @Test("are left out, and the final one is not")
    func stalled() throws {
        let text = try answer(isWritable: false)
        #expect(count("103", in: text) == 0)
        #expect(count("204", in: text) == 1)
    }

    @Test("and of those for one that reads no more than 64 KiB wait at once")
    func reading() throws {
        let text = try answer(isWritable: true)
        #expect(count("103", in: text) == 3)
        #expect(count("204", in: text) == 1)
        #expect(text.utf8.count < 65 * 1024)
    }
}
