import NIOCore
package import NIOHTTP1
import NIOPosix
package import NIOSSL
import Synchronization

/// An HTTP/1.1 server that does exactly what a test tells it, byte by byte if need be.
package final class ScriptedServer: Sendable {
    package struct Request: Sendable {
        package var method: String
        package var path: String
        package var query: [String: String]
        package var headers: HTTPHeaders
        package var body: String

        package var isWatch: Bool { query["watch"] == "true" }
    }

    package typealias Handler = @Sendable (Request, Exchange) async throws -> Void

    /// The answer to one request.
    package struct Exchange: Sendable {
        fileprivate typealias Part = HTTPPart<HTTPResponseHead, ByteBuffer>

        fileprivate let channel: any Channel

        /// Sends a whole answer.
        package func reply(_ status: Int, _ body: String, headers: [(String, String)] = []) async throws {
            var fields = HTTPHeaders(headers)
            fields.add(name: "Content-Type", value: "application/json")
            fields.add(name: "Content-Length", value: String(body.utf8.count))
            try await send(.head(.init(version: .http1_1, status: .init(statusCode: status), headers: fields)))
            try await chunk(body)
            try await end()
        }

        /// Begins an answer of unknown length.
        package func begin(_ status: Int = 200) async throws {
            let fields = HTTPHeaders([("Content-Type", "application/json")])
            try await send(.head(.init(version: .http1_1, status: .init(statusCode: status), headers: fields)))
        }

        package func chunk(_ text: String) async throws { try await send(.body(ByteBuffer(string: text))) }

        package func end() async throws { try await send(.end(nil)) }

        /// Breaks the connection in the middle of whatever it carries.
        package func cut() async throws { try await channel.close() }

        /// Keeps the answer open until the client leaves or the test is over.
        package func hold() async throws { try await Task.sleep(for: .seconds(60)) }

        private func send(_ part: Part) async throws { try await channel.writeAndFlush(part) }
    }

    private struct State {
        var requests: [Request] = []
        var connections: [ObjectIdentifier: any Channel] = [:]
        var isOver = false
    }

    private let state = Mutex(State())
    private let listener = Mutex<(any Channel)?>(nil)

    /// All requests so far, in the order of their arrival.
    package var requests: [Request] { state.withLock { $0.requests } }

    /// The port it listens on.
    package var port: Int { listener.withLock { $0?.localAddress?.port ?? 0 } }

    fileprivate init() {}

    fileprivate func start(port: Int, tls: NIOSSLContext?, _ handler: @escaping Handler) async throws {
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    try pipeline.configureHTTPServerPipeline()
                    try pipeline.addHandler(BufferToIOData())
                    try pipeline.addHandler(Script(server: self, handler: handler))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        listener.withLock { $0 = channel }
    }

    /// Closes it and all its connections.
    package func stop() async {
        try? await listener.withLock { $0 }?.close()
        let connections = state.withLock { state in
            state.isOver = true
            return Array(state.connections.values)
        }
        for connection in connections { try? await connection.close() }
    }

    fileprivate func record(_ request: Request) { state.withLock { $0.requests.append(request) } }

    fileprivate func opened(_ channel: any Channel) {
        let isOver = state.withLock { state in
            state.connections[ObjectIdentifier(channel)] = channel
            return state.isOver
        }
        if isOver { channel.close(promise: nil) }
    }

    fileprivate func closed(_ channel: any Channel) {
        state.withLock { _ = $0.connections.removeValue(forKey: ObjectIdentifier(channel)) }
    }
}

/// Runs a server for as long as `body` runs. `port` 0 picks a free one.
package func withScriptedServer<Result>(
    port: Int = 0, tls: NIOSSLContext? = nil, _ handler: @escaping ScriptedServer.Handler,
    _ body: (ScriptedServer) async throws -> Result
) async throws -> Result {
    let server = ScriptedServer()
    try await server.start(port: port, tls: tls, handler)
    do {
        let result = try await body(server)
        await server.stop()
        return result
    } catch {
        await server.stop()
        throw error
    }
}

/// Gathers the requests of one connection and lets the script answer each.
private final class Script: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart

    private let server: ScriptedServer
    private let handler: ScriptedServer.Handler
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()
    private var answers: [Task<Void, Never>] = []

    init(server: ScriptedServer, handler: @escaping ScriptedServer.Handler) {
        self.server = server
        self.handler = handler
    }

    func channelActive(context: ChannelHandlerContext) {
        server.opened(context.channel)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        for answer in answers { answer.cancel() }
        server.closed(context.channel)
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let next): (head, body) = (next, ByteBuffer())
        case .body(var bytes): body.writeBuffer(&bytes)
        case .end:
            guard let head else { return }
            let request = ScriptedServer.Request(head, body)
            let exchange = ScriptedServer.Exchange(channel: context.channel)
            server.record(request)
            answers.append(Task { [handler] in try? await handler(request, exchange) })
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

extension ScriptedServer.Request {
    fileprivate init(_ head: HTTPRequestHead, _ body: ByteBuffer) {
        let parts = head.uri.split(separator: "?", maxSplits: 1)
        method = head.method.rawValue
        path = String(parts.first ?? "")
        query = [:]
        for item in parts.dropFirst().first?.split(separator: "&") ?? [] {
            let pair = item.split(separator: "=", maxSplits: 1)
            query[String(pair[0]).unescaped] = pair.count > 1 ? String(pair[1]).unescaped : ""
        }
        headers = head.headers
        self.body = String(buffer: body)
    }
}

extension String {
    fileprivate var unescaped: String {
        var bytes: [UInt8] = []
        var rest = Array(utf8)[...]
        while let byte = rest.popFirst() {
            let code = String(decoding: rest.prefix(2), as: UTF8.self)
            if byte == UInt8(ascii: "%"), let value = UInt8(code, radix: 16) {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The HTTP encoder wants `IOData`, the scripts speak buffers.
private final class BufferToIOData: ChannelOutboundHandler {
    typealias OutboundIn = HTTPPart<HTTPResponseHead, ByteBuffer>
    typealias OutboundOut = HTTPServerResponsePart

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let part: HTTPServerResponsePart =
            switch unwrapOutboundIn(data) {
            case .head(let head): .head(head)
            case .body(let bytes): .body(.byteBuffer(bytes))
            case .end(let trailers): .end(trailers)
            }
        context.write(wrapOutboundOut(part), promise: promise)
    }
}
