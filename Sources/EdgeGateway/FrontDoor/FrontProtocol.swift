import NIOCore

/// The protocols that are offered by TLS, the preferred one first; the raw values are those of ALPN (RFC 7301 §6).
enum FrontProtocol: String, CaseIterable, Sendable {
    case http2 = "h2"
    case http11 = "http/1.1"

    /// As the access log and metrics have it.
    var name: String {
        switch self {
        case .http2: "HTTP/2"
        case .http11: "HTTP/1.1"
        }
    }

    /// What a client with prior knowledge of HTTP/2 begins with (RFC 9113 §3.4).
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    /// The protocol of a connection without TLS, by its first bytes, which stay; `nil` until more arrive.
    static func byPreface(_ bytes: inout ByteBuffer) -> FrontProtocol? {
        let count = min(bytes.readableBytes, preface.count)
        guard bytes.readableBytesView.prefix(count).elementsEqual(preface.prefix(count)) else { return .http11 }
        return count == preface.count ? .http2 : nil
    }

    /// Adds the handlers to a connection.
    func serve(_ channel: any Channel, _ shared: ProxyContext, _ client: ClientAddress, isDraining: Bool) throws {
        shared.metrics.connections.follow(channel, self, scheme: shared.scheme)
        switch self {
        case .http2: try HTTP2FrontHandler.install(in: channel, shared: shared, client: client, isDraining: isDraining)
        case .http11:
            try channel.pipeline.syncOperations.addHandler(
                ProxyHandler(shared: shared, client: client, isDraining: isDraining))
        }
    }
}
