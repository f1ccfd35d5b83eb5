package import HTTPExchange
package import NIOCore
package import Settings
import TunnelProtocol

/// What bounds the clients of the front door.
package struct FrontLimits: Hashable, Sendable {
    /// Connections open at a time, with TLS and without; nil: what file descriptors allow.
    package var connections: Int?
    /// Those of one client; nil: any number. Trusted proxies may have any number.
    package var connectionsPerAddress: Int?
    /// From the first byte of a request to the end of its head, and for what precedes TLS.
    package var header = TimeAmount.seconds(15)
    /// For a connection without a request.
    package var keepAlive = TimeAmount.seconds(75)
    /// What is taken of a request beside its body.
    package var http1 = HTTP1Limits()
    /// The longest body of a request, in bytes; nil for any.
    package var bodySize: Int?
    /// Requests at a time on one connection of HTTP/2.
    package var http2Streams = 128
    /// From a request's head to the end of its answer; nil for any time.
    package var request: TimeAmount?

    package init() { http1.fieldCount = 1000 }

    /// Throws the first problem found.
    package init(_ reader: SettingsReader<GatewaySettings.Name>) throws(SettingsError) {
        self.init()
        let connections = try reader.int(.maxConnections, default: 0, in: 0...10_000_000)
        self.connections = connections > 0 ? connections : nil
        let perAddress = try reader.int(.maxConnectionsPerAddress, default: 0, in: 0...10_000_000)
        connectionsPerAddress = perAddress > 0 ? perAddress : nil
        let times: ClosedRange<Duration> = .milliseconds(100) ... .seconds(3600)
        header = TimeAmount(try reader.duration(.headerTimeout, default: .seconds(15), in: times))
        keepAlive = TimeAmount(try reader.duration(.keepAliveTimeout, default: .seconds(75), in: times))
        let request = try reader.duration(.requestTimeout, default: .zero, in: .zero ... .seconds(86_400))
        self.request = request > .zero ? TimeAmount(request) : nil
        http1.head = try reader.bytes(.maxHeaderSize, default: 64 << 10, in: 1 << 10...Self.mostHeaderBytes)
        http1.startLine = try reader.bytes(
            .maxRequestLine, default: min(32 << 10, http1.head), in: 256...Self.mostHeaderBytes)
        guard http1.startLine <= http1.head else {
            throw reader.refusal(
                of: .maxRequestLine,
                problem: "must not be more than max-header-size, which is \(ByteCountText.format(http1.head))")
        }
        http1.fieldCount = try reader.int(.maxHeaderCount, default: 1000, in: 8...10_000)
        http2Streams = try reader.int(.http2MaxStreams, default: 128, in: 1...10_000)
        bodySize = try reader.value(.maxBodySize, expected: BodySize.expected) { BodySize($0) }?.bytes
    }

    /// What a HEADERS frame carries (`FrameLimits.maxHeaderBlockSize`), with a quarter of it for what the gateway adds.
    private static let mostHeaderBytes = FrameLimits.maxHeaderBlockSize / 4 * 3

    /// So many connections are no matter of files any more, but of memory.
    private static let mostUnasked = 50_000

    /// The connections there may be in a process that may have so many files open: the rest is for tunnels and all else.
    ///
    /// - Parameter files: of the process.
    package func connections(files: Int) -> Int { connections ?? min(max(1, files / 4 * 3), Self.mostUnasked) }
}
